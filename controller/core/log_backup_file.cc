#include "controller/core/log_backup_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

constexpr size_t kBuffer = 1 << 20;

absl::Status FileError(absl::string_view what, const std::string& path) {
  const int error = errno;
  const std::string message =
      absl::StrCat("log backup ", path, ": ", absl::ErrnoToStatus(error, what).message());
  if (error == ENOSPC || error == EDQUOT) {
    return MakeError(absl::StatusCode::kResourceExhausted, "NO_SPACE", message);
  }
  return MakeError(absl::StatusCode::kUnavailable, "BACKUP_NOT_WRITTEN", message);
}

absl::Status SyncDirectory(const std::string& directory) {
  const int file = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return FileError("cannot open the folder", directory);
  absl::Status status =
      fsync(file) == 0 ? absl::OkStatus() : FileError("cannot sync the folder", directory);
  close(file);
  return status;
}

absl::Status Damaged(const drover::v1::LogBackup& backup, absl::string_view how) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "LOG_BACKUP_DAMAGED",
                   absl::StrCat(backup.name(), " (", backup.path(), ") ", how));
}

}  // namespace

LogBackupFile::LogBackupFile(std::string directory, std::string path, int file,
                             std::unique_ptr<Digest> digest)
    : directory_(std::move(directory)),
      path_(std::move(path)),
      draft_(absl::StrCat(path_, ".part")),
      file_(file),
      digest_(std::move(digest)) {}

absl::StatusOr<std::unique_ptr<LogBackupFile>> LogBackupFile::Begin(const std::string& directory,
                                                                    const std::string& name,
                                                                    Vault& vault) {
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return FileError("cannot make the folder", directory);
  }
  const std::string path = absl::StrCat(directory, "/", name);
  const int file = open(absl::StrCat(path, ".part").c_str(),
                        O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return FileError("cannot make it", path);
  return std::unique_ptr<LogBackupFile>(
      new LogBackupFile(directory, path, file, vault.NewSha256()));
}

LogBackupFile::~LogBackupFile() {
  if (file_ < 0) return;
  close(file_);
  unlink(draft_.c_str());
}

absl::Status LogBackupFile::AddLine(absl::string_view json) {
  absl::StrAppend(&buffer_, json, "\n");
  return buffer_.size() < kBuffer ? absl::OkStatus() : Flush();
}

absl::Status LogBackupFile::Flush() {
  digest_->Add(buffer_);
  bytes_ += static_cast<int64_t>(buffer_.size());
  absl::string_view rest = buffer_;
  while (!rest.empty()) {
    const ssize_t written = write(file_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FileError("cannot write", path_);
    rest.remove_prefix(static_cast<size_t>(written));
  }
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status LogBackupFile::Finish(drover::v1::LogBackup* backup) {
  DROVER_RETURN_IF_ERROR(Flush());
  if (fsync(file_) != 0) return FileError("cannot sync", path_);
  if (rename(draft_.c_str(), path_.c_str()) != 0) return FileError("cannot rename", path_);
  close(std::exchange(file_, -1));
  DROVER_RETURN_IF_ERROR(SyncDirectory(directory_));
  backup->set_path(path_);
  backup->set_bytes(bytes_);
  backup->set_sha256(absl::BytesToHexString(digest_->Finish()));
  return absl::OkStatus();
}

absl::Status CheckLogBackup(const drover::v1::LogBackup& backup, Vault& vault) {
  const int file = open(backup.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0) return Damaged(backup, "cannot be opened");
  std::unique_ptr<Digest> digest = vault.NewSha256();
  std::string buffer(kBuffer, '\0');
  ssize_t count = 0;
  while ((count = read(file, buffer.data(), buffer.size())) > 0 || (count < 0 && errno == EINTR)) {
    if (count > 0) digest->Add(absl::string_view(buffer.data(), static_cast<size_t>(count)));
  }
  close(file);
  if (count < 0) return Damaged(backup, "cannot be read");
  if (absl::BytesToHexString(digest->Finish()) != backup.sha256()) {
    return Damaged(backup, "is not what was written: its checksum differs");
  }
  return absl::OkStatus();
}

}  // namespace drover::core
