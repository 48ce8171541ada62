#include "agent/file_swap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/durable_file.h"
#include "agent/unique_fd.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

constexpr off_t kLargest = 4 << 20;

std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }
std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

absl::Status Failed(absl::string_view what, const std::string& path) {
  const int error = errno;
  const std::string message = absl::StrCat("cannot ", what, " ", path, ": ", strerror(error));
  if (error == ENOSPC || error == EDQUOT) {
    return MakeError(absl::StatusCode::kResourceExhausted, "NO_SPACE", message);
  }
  return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_NOT_WRITABLE", message);
}

absl::Status Unfit(const std::string& path, absl::string_view why) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_UNFIT",
                   absl::StrCat(path, " ", why));
}

absl::Status MetadataLost(const std::string& path, absl::string_view what) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "METADATA_LOST",
                   absl::StrCat("a new ", path, " cannot have the ", what,
                                " of the old one: ", strerror(errno)));
}

absl::Status WriteTo(int fd, absl::string_view contents, const std::string& path) {
  while (!contents.empty()) {
    const ssize_t count = write(fd, contents.data(), contents.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Failed("write", path);
    contents.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

absl::Status SyncDirectoryOf(const std::string& path) {
  const std::string directory = FolderOf(path);
  UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || fsync(fd.get()) != 0) return Failed("sync", directory);
  return absl::OkStatus();
}

// ACL, SELinux label, capabilities and whatever else there is.
absl::Status CopyAttributes(int from, int to, const std::string& path) {
  const ssize_t size = flistxattr(from, nullptr, 0);
  if (size < 0 && errno == ENOTSUP) return absl::OkStatus();
  if (size < 0) return MetadataLost(path, "attributes");
  std::string names(static_cast<size_t>(size), '\0');
  if (size > 0 && flistxattr(from, names.data(), names.size()) < 0) {
    return MetadataLost(path, "attributes");
  }
  const std::vector<std::string> each = absl::StrSplit(names, '\0', absl::SkipEmpty());
  for (const std::string& name : each) {
    const ssize_t length = fgetxattr(from, name.c_str(), nullptr, 0);
    if (length < 0) return MetadataLost(path, absl::StrCat("attribute ", name));
    std::string value(static_cast<size_t>(length), '\0');
    if (fgetxattr(from, name.c_str(), value.data(), value.size()) != length) {
      return MetadataLost(path, absl::StrCat("attribute ", name));
    }
    if (fsetxattr(to, name.c_str(), value.data(), value.size(), 0) == 0) continue;
    // Given by the directory already, and not to be set.
    std::string now(value.size(), '\0');
    if (fgetxattr(to, name.c_str(), now.data(), now.size()) == length && now == value) continue;
    return MetadataLost(path, absl::StrCat("attribute ", name));
  }
  return absl::OkStatus();
}

absl::Status MakeLike(const std::string& target, const std::string& path,
                      absl::string_view contents) {
  UniqueFd from(open(target.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat old = {};
  if (!from.valid() || fstat(from.get(), &old) != 0) return Failed("open", target);
  UniqueFd to(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!to.valid()) return Failed("make", path);
  DROVER_RETURN_IF_ERROR(WriteTo(to.get(), contents, path));
  // The owner first: to change it takes mode bits away.
  if (fchown(to.get(), old.st_uid, old.st_gid) != 0) return MetadataLost(target, "owner");
  if (fchmod(to.get(), old.st_mode & 07777) != 0) return MetadataLost(target, "mode");
  DROVER_RETURN_IF_ERROR(CopyAttributes(from.get(), to.get(), target));
  if (fsync(to.get()) != 0) return Failed("write", path);
  return absl::OkStatus();
}

bool SameFile(const std::string& a, const std::string& b) {
  struct stat first = {};
  struct stat second = {};
  return lstat(a.c_str(), &first) == 0 && lstat(b.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

}  // namespace

std::string Sha256Hex(absl::string_view data) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(data.data()), data.size(), digest);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), sizeof(digest)));
}

absl::StatusOr<std::string> ResolveFile(const std::string& path) {
  const std::unique_ptr<char, decltype(&free)> real(realpath(path.c_str(), nullptr), &free);
  if (real == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, "FILE_MISSING",
                     absl::StrCat(path, ": ", strerror(errno)));
  }
  struct stat its = {};
  if (lstat(real.get(), &its) != 0) return Failed("look at", real.get());
  if (!S_ISREG(its.st_mode)) return Unfit(path, "is no regular file");
  if (its.st_nlink > 1) {
    return Unfit(path, absl::StrCat("has ", its.st_nlink, " names, which would be parted"));
  }
  return std::string(real.get());
}

absl::StatusOr<std::string> ReadConfigFile(const std::string& target) {
  struct stat its = {};
  if (stat(target.c_str(), &its) != 0) return Failed("look at", target);
  if (its.st_size > kLargest) return Unfit(target, "is too big to be a configuration file");
  return ReadWholeFile(target);
}

std::string StagedName(const std::string& target, absl::string_view transaction) {
  return absl::StrCat(FolderOf(target), ".drover-", transaction, "-new.", NameOf(target));
}

std::string BackupName(const std::string& target, absl::string_view transaction) {
  return absl::StrCat(FolderOf(target), ".drover-", transaction, "-old.", NameOf(target));
}

absl::Status StageFile(const std::string& target, const std::string& staged,
                       absl::string_view contents) {
  DROVER_RETURN_IF_ERROR(RemoveFile(staged));
  absl::Status made = MakeLike(target, staged, contents);
  if (made.ok()) made = SyncDirectoryOf(staged);
  if (!made.ok()) unlink(staged.c_str());
  return made;
}

absl::Status SwapIn(const std::string& target, const std::string& staged,
                    const std::string& backup) {
  if (!SameFile(target, backup)) {
    DROVER_RETURN_IF_ERROR(RemoveFile(backup));
    if (link(target.c_str(), backup.c_str()) != 0) {
      // Not every file system has hard links.
      if (errno != EPERM && errno != EOPNOTSUPP && errno != EMLINK) return Failed("keep", target);
      DROVER_ASSIGN_OR_RETURN(const std::string contents, ReadConfigFile(target));
      DROVER_RETURN_IF_ERROR(StageFile(target, backup, contents));
    }
  }
  absl::Status kept = SyncDirectoryOf(backup);
  if (kept.ok() && rename(staged.c_str(), target.c_str()) != 0) kept = Failed("replace", target);
  if (!kept.ok()) {
    unlink(backup.c_str());
    return kept;
  }
  return SyncDirectoryOf(target);
}

absl::Status SwapBack(const std::string& target, const std::string& backup) {
  // Two names of one file are not renamed.
  if (SameFile(target, backup)) return RemoveFile(backup);
  if (rename(backup.c_str(), target.c_str()) != 0 && errno != ENOENT) {
    return Failed("put back", target);
  }
  return SyncDirectoryOf(target);
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return Failed("remove", path);
  return absl::OkStatus();
}

}  // namespace drover::agent
