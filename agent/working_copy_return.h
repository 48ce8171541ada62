// The way back of a working copy whose update ended in conflicts: at the revision it came from,
// with its local edits and the unversioned files that were in the way as they were.
//
//   keep what is in the way -> note that it goes back -> revert -> update to where it came from
//   -> delete, unpack, add as before
//
// Thread promise: belongs to the event loop's thread. Survives a restart: it is begun anew, as
// WorkingCopyMemory says that it is under way, and comes to the same end.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/svn_run.h"
#include "agent/working_copy_memory.h"
#include "drover/agent/v1/agent_link.pb.h"

namespace drover::agent {

class WorkingCopyReturn {
 public:
  // `folder` has what SaveEdits kept, and takes what is in the way.
  WorkingCopyReturn(WorkingCopyMemory* memory, SvnRun* run, const v1::SvnWorkingCopy& working_copy,
                    std::string folder)
      : memory_(memory), run_(run), copy_(working_copy), folder_(std::move(folder)) {}

  using Then = std::function<void(absl::Status)>;
  // `in_the_way`: unversioned files that the update met, `externals`: both paths below the working
  // copy. `then` is called once, from the loop, while this lives.
  void Begin(const std::vector<std::string>& in_the_way, const std::vector<std::string>& externals,
             Then then);
  // One that ended with its agent.
  void Resume(const std::vector<std::string>& externals, Then then);

  // As they were before the update, and are again.
  const std::vector<std::string>& edits() const { return edits_; }

 private:
  void Prepare(const std::vector<std::string>& externals, Then then);
  void Note();
  void Revert();
  void Update();
  void Delete();
  void UnpackEdits();
  void Add();
  void UnpackInTheWay();
  // Unpacks an archive of the folder, if it is there.
  void Unpack(const std::string& name, std::function<void()> next);
  void Run(std::vector<std::string> arguments, bool login, std::function<void()> next);
  void End(const absl::Status& status);
  // The edits of before with one of these letters, as paths that svn takes.
  std::vector<std::string> EditsWith(absl::string_view letters) const;

  WorkingCopyMemory* const memory_;
  SvnRun* const run_;
  const v1::SvnWorkingCopy copy_;
  const std::string folder_;
  std::vector<std::string> edits_;
  std::vector<std::string> roots_;
  Then then_;
};

}  // namespace drover::agent
