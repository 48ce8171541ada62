#include "controller/secrets/key_file.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "proto/support/status.h"

namespace drover::secrets {
namespace {

constexpr absl::string_view kPrefix = "drover-key-1 ";
constexpr int kKeyBytes = 32;

// Closes the file at the end of a block.
struct File {
  explicit File(int number) : number(number) {}
  ~File() {
    if (number >= 0) close(number);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  const int number;
};

absl::Status Refuse(absl::string_view reason, const std::string& message) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason, message);
}

absl::Status CheckOwnerAndMode(const std::string& path, const struct stat& found) {
  if (!S_ISREG(found.st_mode)) {
    return Refuse("KEY_FILE_DAMAGED", absl::StrCat("key file ", path, " is not a plain file"));
  }
  if (found.st_uid != geteuid()) {
    return Refuse("UNSAFE_PERMISSIONS",
                  absl::StrFormat("key file %s belongs to user %d, not to the user droverd runs as "
                                  "(%d); run chown on it",
                                  path, found.st_uid, geteuid()));
  }
  if ((found.st_mode & 0177) != 0) {
    return Refuse(
        "UNSAFE_PERMISSIONS",
        absl::StrFormat("key file %s has mode %04o, so that others may read it; run chmod "
                        "0600 on it, and think of its key as known to them",
                        path, found.st_mode & 07777));
  }
  return absl::OkStatus();
}

absl::Status WriteAll(int file, absl::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path));
    text.remove_prefix(written);
  }
  if (fsync(file) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path));
  return absl::OkStatus();
}

// The file appears whole or not at all, and never replaces another.
absl::Status Publish(const std::string& draft, const std::string& path) {
  if (link(draft.c_str(), path.c_str()) != 0) {
    if (errno == EEXIST) return absl::AlreadyExistsError(absl::StrCat(path, " is there already"));
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot make ", path));
  }
  const std::string directory = std::filesystem::path(path).parent_path().string();
  const File folder(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.number < 0 || fsync(folder.number) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot make ", path, " durable"));
  }
  return absl::OkStatus();
}

absl::Status MakeFolders(const std::filesystem::path& folder) {
  if (folder.empty()) return absl::OkStatus();
  std::error_code error;
  if (std::filesystem::exists(folder, error)) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(MakeFolders(folder.parent_path()));
  if (mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot make ", folder.string()));
}

}  // namespace

absl::StatusOr<std::string> ReadKeyFile(const std::string& path) {
  const File file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.number < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot open key file ", path));
  }
  struct stat found {};
  if (fstat(file.number, &found) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("key file ", path));
  }
  DROVER_RETURN_IF_ERROR(CheckOwnerAndMode(path, found));
  std::string text(256, '\0');
  const ssize_t count = read(file.number, text.data(), text.size());
  if (count < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read key file ", path));
  absl::string_view hex = absl::StripAsciiWhitespace(absl::string_view(text.data(), count));
  const bool marked = absl::ConsumePrefix(&hex, kPrefix);
  const bool whole = marked && hex.size() == 2 * kKeyBytes &&
                     hex.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
  std::string key = whole ? absl::HexStringToBytes(hex) : "";
  OPENSSL_cleanse(text.data(), text.size());
  if (!whole) {
    return Refuse("KEY_FILE_DAMAGED",
                  absl::StrCat("key file ", path,
                               " is damaged; restore it from where you keep a copy: "
                               "without it the passwords in the store cannot be read"));
  }
  return key;
}

absl::Status CreateKeyFile(const std::string& path) {
  DROVER_RETURN_IF_ERROR(
      MakeFolders(std::filesystem::absolute(std::filesystem::path(path)).parent_path()));
  std::string key(kKeyBytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(key.data()), kKeyBytes) != 1) {
    return absl::InternalError("OpenSSL has no random bytes");
  }
  const std::string target = std::filesystem::absolute(std::filesystem::path(path)).string();
  const std::string draft = absl::StrCat(target, ".", getpid(), ".new");
  const File file(open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.number < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot make ", draft));
  std::string text = absl::StrCat(kPrefix, absl::BytesToHexString(key), "\n");
  absl::Status status = WriteAll(file.number, text, draft);
  if (status.ok()) status = Publish(draft, target);
  unlink(draft.c_str());
  OPENSSL_cleanse(key.data(), key.size());
  OPENSSL_cleanse(text.data(), text.size());
  return status;
}

}  // namespace drover::secrets
