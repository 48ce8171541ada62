#include "controller/api/gateway_key.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "proto/support/status.h"

namespace drover::api {
namespace {

constexpr size_t kLeastLength = 32;

absl::Status Failed(absl::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", what, " ", path));
}

// Whole or not at all, so that a crash leaves no half of a key.
absl::Status WriteNew(const std::string& path, const std::string& line) {
  const std::string fresh = path + ".new";
  unlink(fresh.c_str());
  const int file = open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return Failed("make", fresh);
  const bool written = write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size()) &&
                       fsync(file) == 0;
  const absl::Status status = written ? absl::OkStatus() : Failed("write", fresh);
  close(file);
  if (!status.ok()) return status;
  return rename(fresh.c_str(), path.c_str()) == 0 ? absl::OkStatus() : Failed("make", path);
}

}  // namespace

absl::StatusOr<std::string> OpenGatewayKey(const std::string& path,
                                           const std::function<std::string()>& fresh) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    if (errno != ENOENT) return Failed("read", path);
    const std::string key = fresh();
    DROVER_RETURN_IF_ERROR(WriteNew(path, key + "\n"));
    return key;
  }
  if ((info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " can be read by others; chmod 600 it"));
  }
  std::ifstream file(path);
  std::string key;
  std::getline(file, key);
  if (key.size() < kLeastLength) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " holds no key; remove it, and a new one is made"));
  }
  return key;
}

}  // namespace drover::api
