#include "agent/durable_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "proto/support/log.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

constexpr size_t kHeader = 8;
// A length beyond this is a torn header, not a record.
constexpr uint32_t kLargestRecord = 16 << 20;

uint32_t Load32(const char* bytes) {
  const auto* b = reinterpret_cast<const unsigned char*>(bytes);
  return b[0] | b[1] << 8 | b[2] << 16 | static_cast<uint32_t>(b[3]) << 24;
}

void Store32(uint32_t value, char* bytes) {
  for (int i = 0; i < 4; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
}

uint32_t Checksum(absl::string_view data) {
  return crc32(0, reinterpret_cast<const Bytef*>(data.data()), data.size());
}

std::string Frame(absl::string_view record) {
  std::string framed(kHeader, '\0');
  Store32(record.size(), framed.data());
  Store32(Checksum(record), framed.data() + 4);
  framed.append(record.data(), record.size());
  return framed;
}

bool WriteAll(int fd, absl::string_view data) {
  while (!data.empty()) {
    const ssize_t written = write(fd, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    data.remove_prefix(written);
  }
  return true;
}

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

// Makes a rename in it last.
void SyncDirectory(const std::string& directory) {
  UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid()) fsync(fd.get());
}

}  // namespace

absl::Status FileError(absl::string_view path, absl::string_view what) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", what, " ", path));
}

absl::Status MakeDirectory(const std::string& path) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) return FileError(part, "make");
    if (slash == std::string::npos) return absl::OkStatus();
  }
}

absl::Status SyncPath(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid() || fsync(fd.get()) != 0) return FileError(path, "sync");
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadWholeFile(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return FileError(path, "open");
  std::string contents;
  char buffer[16384];
  for (;;) {
    const ssize_t count = read(fd.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError(path, "read");
    if (count == 0) return contents;
    contents.append(buffer, count);
  }
}

absl::Status WriteWholeFile(const std::string& path, absl::string_view contents, int mode) {
  const std::string beside = path + ".new";
  UniqueFd fd(open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!fd.valid()) return FileError(beside, "make");
  if (fchmod(fd.get(), mode) != 0 || !WriteAll(fd.get(), contents) || fsync(fd.get()) != 0) {
    const absl::Status error = FileError(beside, "write");
    unlink(beside.c_str());
    return error;
  }
  if (rename(beside.c_str(), path.c_str()) != 0) return FileError(path, "replace");
  SyncDirectory(DirectoryOf(path));
  return absl::OkStatus();
}

absl::Status WriteMessage(const std::string& path, const google::protobuf::MessageLite& message) {
  return WriteWholeFile(path, message.SerializeAsString());
}

absl::Status ReadMessage(const std::string& path, google::protobuf::MessageLite& message) {
  DROVER_ASSIGN_OR_RETURN(const std::string contents, ReadWholeFile(path));
  if (!message.ParseFromString(contents)) {
    return absl::DataLossError(absl::StrCat(path, " is damaged; remove it and start again"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<RecordLog>> RecordLog::Open(
    const std::string& path, absl::FunctionRef<void(absl::string_view)> each) {
  std::unique_ptr<RecordLog> log(new RecordLog(path));
  log->fd_.reset(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!log->fd_.valid()) return FileError(path, "open");
  DROVER_ASSIGN_OR_RETURN(const std::string contents, ReadWholeFile(path));
  absl::string_view rest = contents;
  while (rest.size() >= kHeader) {
    const uint32_t length = Load32(rest.data());
    if (length > kLargestRecord || rest.size() - kHeader < length) break;
    const absl::string_view record = rest.substr(kHeader, length);
    if (Checksum(record) != Load32(rest.data() + 4)) break;
    // A run of zeros, as a crash may leave, has a good checksum.
    if (length == 0) break;
    each(record);
    rest.remove_prefix(kHeader + length);
  }
  log->size_ = contents.size() - rest.size();
  if (!rest.empty()) {
    LogWarning(path, ": cut off ", rest.size(), " bytes that a crash left incomplete");
    if (ftruncate(log->fd_.get(), log->size_) != 0) return FileError(path, "cut");
  }
  lseek(log->fd_.get(), log->size_, SEEK_SET);
  return log;
}

absl::Status RecordLog::Append(absl::string_view record) {
  const std::string framed = Frame(record);
  if (!WriteAll(fd_.get(), framed) || fdatasync(fd_.get()) != 0) {
    const absl::Status error = FileError(path_, "write");
    if (ftruncate(fd_.get(), size_) == 0) lseek(fd_.get(), size_, SEEK_SET);
    return error;
  }
  size_ += framed.size();
  return absl::OkStatus();
}

absl::Status RecordLog::Rewrite(const std::vector<std::string>& records) {
  std::string contents;
  for (const std::string& record : records) contents += Frame(record);
  DROVER_RETURN_IF_ERROR(WriteWholeFile(path_, contents));
  UniqueFd fd(open(path_.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return FileError(path_, "open");
  fd_ = std::move(fd);
  size_ = contents.size();
  lseek(fd_.get(), size_, SEEK_SET);
  return absl::OkStatus();
}

}  // namespace drover::agent
