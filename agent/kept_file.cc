#include "agent/kept_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/durable_file.h"
#include "agent/unique_fd.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

// Readers of whole folders pass names with it over, or it is gone before they look.
constexpr char kAside[] = ".drover-tmp";

void ReadAttributes(const std::string& path, v1::SavedFile& file) {
  char names[4096];
  const ssize_t size = listxattr(path.c_str(), names, sizeof(names));
  if (size <= 0) return;
  for (const absl::string_view name :
       absl::StrSplit(absl::string_view(names, size), '\0', absl::SkipEmpty())) {
    char value[4096];
    const ssize_t length = getxattr(path.c_str(), std::string(name).c_str(), value, sizeof(value));
    if (length >= 0) (*file.mutable_attributes())[std::string(name)] = std::string(value, length);
  }
}

absl::Status SyncFolder(const std::string& path) {
  const std::string folder = path.substr(0, path.rfind('/'));
  const UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || fsync(fd.get()) != 0) return FileError(folder, "syncing");
  return absl::OkStatus();
}

absl::Status WriteAll(int fd, absl::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0) return FileError(path, "writing");
    text.remove_prefix(written);
  }
  return fsync(fd) == 0 ? absl::OkStatus() : FileError(path, "writing");
}

}  // namespace

absl::StatusOr<v1::SavedFile> ReadKeptFile(const std::string& root, const std::string& path) {
  v1::SavedFile file;
  file.set_path(path);
  file.set_mode(0600);
  const std::string full = root + path;
  absl::StatusOr<std::string> text = ReadWholeFile(full);
  if (absl::IsNotFound(text.status())) return file;
  DROVER_RETURN_IF_ERROR(text.status());
  struct stat info;
  if (stat(full.c_str(), &info) != 0) return FileError(full, "reading");
  file.set_existed(true);
  file.set_text(*std::move(text));
  file.set_mode(info.st_mode & 07777);
  file.set_owner(info.st_uid);
  file.set_group(info.st_gid);
  ReadAttributes(full, file);
  return file;
}

absl::Status WriteKeptFile(const std::string& root, const v1::SavedFile& file,
                           absl::string_view text) {
  const std::string path = root + file.path();
  const std::string aside = path + kAside;
  unlink(aside.c_str());
  const UniqueFd fd(open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return FileError(aside, "making");
  absl::Status done = WriteAll(fd.get(), text, aside);
  if (done.ok() && file.existed() && fchown(fd.get(), file.owner(), file.group()) != 0) {
    done = FileError(aside, "giving it its owner");
  }
  if (done.ok() && fchmod(fd.get(), file.mode()) != 0) done = FileError(aside, "setting its mode");
  for (const auto& [name, value] : file.attributes()) {
    // One that the file system gives by itself may refuse to be set.
    (void)!fsetxattr(fd.get(), name.c_str(), value.data(), value.size(), 0);
  }
  if (done.ok() && rename(aside.c_str(), path.c_str()) != 0) done = FileError(path, "replacing");
  if (!done.ok()) {
    unlink(aside.c_str());
    return done;
  }
  return SyncFolder(path);
}

absl::Status RestoreKeptFile(const std::string& root, const v1::SavedFile& file) {
  if (file.existed()) return WriteKeptFile(root, file, file.text());
  const std::string path = root + file.path();
  unlink((path + kAside).c_str());
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return FileError(path, "removing");
  return SyncFolder(path);
}

}  // namespace drover::agent
