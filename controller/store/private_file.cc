#include "controller/store/private_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/support/status.h"

namespace drover::store {
namespace {

// The error of the last system call, as the store tells errors of its files.
absl::Status FileError(const std::string& path) {
  const int error = errno;
  const std::string message = absl::ErrnoToStatus(error, path).ToString();
  if (error == ENOSPC || error == EDQUOT) {
    return MakeError(absl::StatusCode::kResourceExhausted, "STORE_FULL", message);
  }
  return MakeError(absl::StatusCode::kUnavailable, "STORE_FAILED", message);
}

absl::Status SyncDirectoryOf(const std::string& path) {
  const std::string directory = path.substr(0, path.find_last_of('/'));
  const int file = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return FileError(directory);
  const bool synced = fsync(file) == 0;
  absl::Status status = synced ? absl::OkStatus() : FileError(directory);
  close(file);
  return status;
}

}  // namespace

absl::Status MakePrivateDirectory(const std::string& path) {
  struct stat found {};
  if (stat(path.c_str(), &found) != 0) {
    const size_t slash = path.find_last_of('/');
    if (slash != std::string::npos && slash != 0) {
      const std::string parent = path.substr(0, slash);
      if (stat(parent.c_str(), &found) != 0) DROVER_RETURN_IF_ERROR(MakePrivateDirectory(parent));
    }
    if (mkdir(path.c_str(), 0700) == 0) return absl::OkStatus();
    if (errno != EEXIST || stat(path.c_str(), &found) != 0) return FileError(path);
  }
  if (!S_ISDIR(found.st_mode)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "STORE_FAILED",
                     absl::StrCat(path, " is not a folder"));
  }
  if ((found.st_mode & 077) != 0) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "UNSAFE_PERMISSIONS",
        absl::StrFormat("%s has mode %04o, so that others may enter it; run chmod 0700 "
                        "on it",
                        path, found.st_mode & 07777));
  }
  return absl::OkStatus();
}

absl::Status MakePrivateFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return FileError(path);
  absl::Status status = fchmod(file, 0600) == 0 ? absl::OkStatus() : FileError(path);
  close(file);
  return status;
}

absl::Status SyncFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return FileError(path);
  absl::Status status = fsync(file) == 0 ? absl::OkStatus() : FileError(path);
  close(file);
  DROVER_RETURN_IF_ERROR(status);
  return SyncDirectoryOf(path);
}

ProcessLock::~ProcessLock() {
  if (file_ >= 0) close(file_);
}

absl::Status ProcessLock::Take(const std::string& path) {
  file_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file_ < 0) return FileError(path);
  if (flock(file_, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  if (errno != EWOULDBLOCK) return FileError(path);
  return MakeError(absl::StatusCode::kFailedPrecondition, "STORE_IN_USE",
                   absl::StrCat(path, " is held by another droverd; stop it first"));
}

}  // namespace drover::store
