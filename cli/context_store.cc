#include "cli/context_store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/nearest.h"
#include "proto/support/status.h"
#include "toml++/toml.h"

namespace drover::cli {
namespace {

absl::Status FileError(absl::string_view what, const std::string& path, int error) {
  const std::string text = absl::StrCat(what, " ", path, ": ", strerror(error));
  if (error == ENOENT) return absl::NotFoundError(text);
  return absl::FailedPreconditionError(text);
}

absl::StatusOr<std::string> ReadDescriptor(int fd, const std::string& path) {
  std::string text;
  char buffer[8192];
  while (true) {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got == 0) return text;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError("cannot read", path, errno);
    text.append(buffer, static_cast<size_t>(got));
  }
}

absl::StatusOr<std::string> Read(const std::string& path, bool must_be_private) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError("cannot read", path, errno);
  const absl::Cleanup close_file = [fd] { close(fd); };
  struct stat info = {};
  if (fstat(fd, &info) != 0) return FileError("cannot read", path, errno);
  if (must_be_private && (info.st_mode & 077) != 0) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_NOT_PRIVATE",
                     absl::StrFormat("%s holds a secret and has mode %04o: others can read it; run "
                                     "chmod 600 %s",
                                     path, info.st_mode & 07777, path));
  }
  return ReadDescriptor(fd, path);
}

std::string StorePath(const Terminal& terminal) {
  const std::string xdg = terminal.Env("XDG_CONFIG_HOME");
  if (!xdg.empty()) return xdg + "/drover/contexts.toml";
  const std::string home = terminal.Env("HOME");
  return absl::StrCat(home.empty() ? "/root" : home, "/.config/drover/contexts.toml");
}

}  // namespace

absl::StatusOr<std::string> ReadPrivateFile(const std::string& path) { return Read(path, true); }
absl::StatusOr<std::string> ReadFile(const std::string& path) { return Read(path, false); }

absl::Status WritePrivateFile(const std::string& path, absl::string_view text) {
  const std::string fresh = absl::StrCat(path, ".", getpid(), ".new");
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return FileError("cannot write", fresh, errno);
  int error = 0;
  while (!text.empty() && error == 0) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written > 0) text.remove_prefix(static_cast<size_t>(written));
    if (written < 0 && errno != EINTR) error = errno;
  }
  if (error == 0 && fsync(fd) != 0) error = errno;
  if (close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && rename(fresh.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return absl::OkStatus();
  unlink(fresh.c_str());
  return FileError("cannot write", path, error);
}

absl::StatusOr<ContextStore> ContextStore::Load(const Terminal& terminal) {
  ContextStore store;
  store.path_ = StorePath(terminal);
  auto text = ReadPrivateFile(store.path_);
  if (absl::IsNotFound(text.status())) return store;
  if (!text.ok()) return text.status();
  toml::table file;
  try {
    file = toml::parse(*text, store.path_);
  } catch (const toml::parse_error& error) {
    return absl::FailedPreconditionError(absl::StrCat(store.path_, ":", error.source().begin.line,
                                                      ": ", std::string(error.description())));
  }
  store.current_ = file["current"].value_or(std::string());
  if (const toml::table* contexts = file["context"].as_table()) {
    for (const auto& [name, node] : *contexts) {
      const auto value = [&node = node](const char* key) {
        const toml::table* table = node.as_table();
        return table == nullptr ? std::string() : (*table)[key].value_or(std::string());
      };
      store.contexts_[std::string(name.str())] = {value("server"), value("authority"),
                                                  value("user"), value("token")};
    }
  }
  return store;
}

void ContextStore::Put(absl::string_view name, const Context& context) {
  contexts_[std::string(name)] = context;
}

absl::Status ContextStore::Use(absl::string_view name) {
  if (contexts_.count(std::string(name)) == 0) {
    std::vector<std::string> names;
    for (const auto& [known, context] : contexts_) names.push_back(known);
    return absl::NotFoundError(
        absl::StrCat("there is no context \"", name, "\"", DidYouMean(name, names),
                     names.empty() ? "; sign in with: drover login HOST:PORT"
                                   : absl::StrCat("; there are: ", absl::StrJoin(names, ", "))));
  }
  current_ = std::string(name);
  return absl::OkStatus();
}

absl::Status ContextStore::Remove(absl::string_view name) {
  if (contexts_.erase(std::string(name)) == 0) {
    return absl::NotFoundError(absl::StrCat("there is no context \"", name, "\""));
  }
  if (current_ == name) current_ = contexts_.empty() ? "" : contexts_.begin()->first;
  return absl::OkStatus();
}

absl::Status ContextStore::Save() const {
  const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  std::error_code error;
  if (std::filesystem::create_directories(folder, error)) {
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  }
  if (error) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make ", folder.string(), ": ", error.message()));
  }
  toml::table contexts;
  for (const auto& [name, context] : contexts_) {
    contexts.insert(name, toml::table{{"server", context.server},
                                      {"authority", context.authority},
                                      {"user", context.user},
                                      {"token", context.token}});
  }
  std::ostringstream text;
  text << "# Written by drover. Holds session tokens: keep it to yourself.\n"
       << toml::table{{"current", current_}, {"context", contexts}} << "\n";
  return WritePrivateFile(path_, text.str());
}

}  // namespace drover::cli
