// A repository served by the real svnserve on a free port of the loopback address, and the
// committer's working copy of it.
//
// Thread promise: one thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace drover::agent {

// Runs a shell command that must succeed; its standard output.
std::string Shell(const std::string& command);

class SvnServer {
 public:
  static constexpr char kUser[] = "deployer";
  static constexpr char kPassword[] = "canary-9f2e71 $'\"";

  // `directory` is empty and stays. Revision 1 has trunk/ and lib/.
  explicit SvnServer(const std::string& directory);
  ~SvnServer();

  // "svn://127.0.0.1:PORT/repo/trunk".
  std::string trunk() const { return url("trunk"); }
  std::string url(const std::string& path) const;
  // Writes a file of the trunk and commits it; the new revision.
  int64_t Commit(const std::string& path, const std::string& contents,
                 const std::string& message = "change");
  // What `edit` does in the committer's working copy of the whole repository (its "$C"), committed.
  int64_t CommitAfter(const std::string& edit, const std::string& message = "change");
  // A working copy, as a guest has it.
  void CheckOut(const std::string& path, int64_t revision);
  void Stop();
  void Start();

 private:
  const std::string directory_;
  int port_ = 0;
};

}  // namespace drover::agent
