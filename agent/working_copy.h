// One working copy: looked at, and brought to a revision with nothing lost.
//
//   end an own svn that outlived its agent; wait for another's; clear a dead lock
//   -> local edits: refuse, try the merge first, or save and revert
//   -> svn update -> look again: one revision everywhere, nothing missing, externals at theirs
//   -> conflicts that nobody foresaw: back to where it came from (working_copy_return)
//
// Thread promise: belongs to the event loop's thread. Survives a restart: what WorkingCopyMemory
// keeps, and saved edits. An update that was interrupted is begun anew and comes to the same end.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/event_loop.h"
#include "agent/svn_run.h"
#include "agent/svn_text.h"
#include "agent/working_copy_memory.h"
#include "agent/working_copy_return.h"
#include "drover/agent/v1/agent_link.pb.h"

namespace drover::agent {

// What working copies of one agent share; outlives them.
struct SvnSurroundings {
  EventLoop* loop = nullptr;
  WorkingCopyMemory* memory = nullptr;
  // Below it, a folder for each time that edits were saved: edits.patch, files.tar and their list.
  std::string saved_edits_directory;
};

// Looks without talking to the repository; changes nothing.
class WorkingCopyLook {
 public:
  struct Seen {
    // With `problem` when `status` is not OK.
    v1::WorkingCopyState state;
    SvnStatus svn;
    // One revision everywhere; 0 = mixed, or not asked for.
    int64_t whole_revision = 0;
    // WORKING_COPY_MISSING, WORKING_COPY_SWITCHED, SVN_MISSING, or as svn says.
    absl::Status status;
  };
  using Then = std::function<void(Seen)>;
  // Each answer costs the start of a program, most of which is svn finding itself.
  struct Questions {
    // Whether it is at this revision everywhere; asked where the folder is; 0 = not asked.
    int64_t whole_at = 0;
    // Where it comes from is known already, as by the look before an update.
    std::string known_url;
  };

  WorkingCopyLook(const SvnSurroundings* surroundings, SvnRun* run,
                  const v1::SvnWorkingCopy& working_copy)
      : surroundings_(surroundings), run_(run), copy_(working_copy) {}
  // `then` is called once, from the loop, while this lives.
  void Begin(Questions questions, Then then);

 private:
  void ReadInfo(std::function<void()> next);
  void ReadStatus();
  void ReadVersion();
  void ReadExternals();
  void CheckExternals(std::vector<PinnedExternal> externals);
  void Conclude();
  void End(absl::Status status);

  const SvnSurroundings* const surroundings_;
  SvnRun* const run_;
  const v1::SvnWorkingCopy copy_;
  Questions questions_;
  Seen seen_;
  Then then_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class WorkingCopyUpdate {
 public:
  using Then = std::function<void(absl::Status, v1::WorkingCopyState)>;

  WorkingCopyUpdate(const SvnSurroundings* surroundings,
                    const v1::UpdateWorkingCopies::Target& target,
                    drover::v1::RolloutSpec::LocalEdits local_edits, SvnRun::OnOutput output);
  ~WorkingCopyUpdate();

  // `then` is called once, from the loop, unless Abort or the end of this comes first. Errors: the
  // reasons of UpdateWorkingCopies; the state is the last one seen.
  void Begin(Then then);
  void Abort(std::function<void(absl::Status)> ended);

 private:
  void EndOwn();
  void Look(WorkingCopyLook::Questions questions, std::function<void()> then);
  // Before anything is changed.
  void LookFirst();
  void Looked();
  void ClearLock();
  void TreatEdits();
  void TryMerge();
  void SaveEdits(std::function<void()> then);
  void SaveFiles(const std::string& folder, std::function<void()> then);
  void Revert();
  void Update();
  void Verify();
  void GoBack();
  void IsBack(const std::vector<std::string>& conflicts);
  void Fail(const absl::Status& status);
  void End(const absl::Status& status);
  // Goes on with `next` when the program went well.
  SvnRun::Then Or(absl::string_view what, std::function<void()> next);
  std::vector<std::string> WithExternals() const;

  const SvnSurroundings* const surroundings_;
  const v1::SvnWorkingCopy copy_;
  const int64_t revision_;
  const drover::v1::RolloutSpec::LocalEdits local_edits_;
  const SvnRun::OnOutput output_;
  SvnRun run_;
  std::unique_ptr<WorkingCopyLook> look_;
  WorkingCopyLook::Seen seen_;
  int waits_ = 0;
  int clears_ = 0;
  EventLoop::TimerId wait_ = 0;
  UniqueFd patch_;
  // Where the edits of before are saved; empty while they are not.
  std::string saved_;
  std::unique_ptr<WorkingCopyReturn> return_;
  Then then_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace drover::agent
