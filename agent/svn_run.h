// Runs svn and its companions as children, one after the other, in a locale whose words are known,
// with the password on the standard input and nowhere else. They run as the owner of the working
// copy, so that its files stay his.
//
// Thread promise: belongs to the event loop's thread; never waits, but for reading /proc. Nothing
// survives a restart; svn's own journal makes a working copy whole again.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agent/child_process.h"
#include "agent/event_loop.h"
#include "drover/agent/v1/agent_link.pb.h"

namespace drover::agent {

class SvnRun {
 public:
  struct Result {
    ExitStatus exit;
    // At most 4 MiB of each.
    std::string output;
    std::string errors;
    bool ok() const { return exit.code == 0; }
    // OK, or what svn's words mean; SVN_MISSING where there is none.
    absl::Status ToStatus(absl::string_view what) const;
  };
  using Then = std::function<void(Result)>;
  using OnOutput = std::function<void(absl::string_view)>;

  explicit SvnRun(EventLoop* loop) : loop_(loop) {}
  // Lets go of what runs.
  ~SvnRun();

  // `svn ARGUMENTS`; with `login`, which is for what speaks to the repository, user and password.
  // `to_fd` takes the output instead of the result; -1 = the result. `then` is called once, from
  // the loop, unless Abort or the end of this comes first.
  void Svn(const v1::SvnWorkingCopy& working_copy, std::vector<std::string> arguments, bool login,
           Then then, OnOutput on_output = nullptr, int to_fd = -1);
  // Another program, as root or as the owner of the working copy.
  void Other(const v1::SvnWorkingCopy& working_copy, std::vector<std::string> argv, bool as_owner,
             Then then);
  // Ends what runs with all its descendants, then calls `ended`.
  void Abort(std::function<void(absl::Status)> ended);

 private:
  void Start(Program program, Then then, OnOutput on_output, int to_fd);
  void Ended(ExitStatus exit);
  void TellOutput();
  void TellOutputSoon();

  EventLoop* const loop_;
  std::unique_ptr<ChildProcess> child_;
  std::optional<OutputFile> output_;
  std::optional<OutputFile> errors_;
  Then then_;
  OnOutput on_output_;
  off_t told_ = 0;
  EventLoop::TimerId tell_ = 0;
  bool aborted_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// The process that has a working copy's journal open, below `root` or its externals; 0 = none.
struct SvnHolder {
  pid_t pid = 0;
  // It was started by an agent that has ended since: "DROVER_RUN=...".
  std::string mark;
};
SvnHolder FindHolder(const std::string& root);

}  // namespace drover::agent
