// The controllers a person is signed in to: address, confirmed authority and session token, by
// name.
//
// Thread promise: for one thread. Survives: the file contexts.toml (0600) below
// $XDG_CONFIG_HOME/drover or ~/.config/drover; it is replaced as a whole, so that a program that
// dies leaves the old one.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/terminal.h"

namespace drover::cli {

struct Context {
  // "HOST:PORT".
  std::string server;
  // PEM of the certificate that signs the controller's.
  std::string authority;
  std::string user;
  // "" when signed out.
  std::string token;
};

class ContextStore {
 public:
  // FAILED_PRECONDITION when the file is there and other people can read it, or it cannot be
  // understood.
  static absl::StatusOr<ContextStore> Load(const Terminal& terminal);

  const std::map<std::string, Context>& contexts() const { return contexts_; }
  const std::string& current() const { return current_; }
  const std::string& path() const { return path_; }

  void Put(absl::string_view name, const Context& context);
  // Makes it the one that is used without --context. NOT_FOUND names those there are.
  absl::Status Use(absl::string_view name);
  absl::Status Remove(absl::string_view name);
  absl::Status Save() const;

 private:
  std::string path_;
  std::string current_;
  std::map<std::string, Context> contexts_;
};

// The text of a small file that holds a secret. FAILED_PRECONDITION when others than its owner can
// read it.
absl::StatusOr<std::string> ReadPrivateFile(const std::string& path);
absl::StatusOr<std::string> ReadFile(const std::string& path);
// Writes a file of its owner's alone, at once as a whole.
absl::Status WritePrivateFile(const std::string& path, absl::string_view text);

}  // namespace drover::cli
