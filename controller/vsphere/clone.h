// "Make a copy of this template": what all three ways share. Which way a host goes is decided by
// what it is (host_facts.h); the ways are create_and_copy.h, vcenter_clone.h and shell_copy.h.
//
// A copy is known as ours by the uid in its own configuration, together with its name, or by the
// object id the operation remembered. Nothing else is ever changed or removed.
//
// Thread promise: as each class says. What survives a restart is what the StepContext remembers.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/ports.h"
#include "controller/vsphere/clone_plan.h"
#include "controller/vsphere/vim_client.h"

namespace drover::vsphere {

// Lets a few copies at a time write to one datastore, in the order they came: an ESXi host has no
// queue of its own, and more copies at once only make all of them slower.
//
// Thread promise: all methods from any thread.
class CopyQueue {
 public:
  explicit CopyQueue(int at_once) : at_once_(at_once) {}

  // A place in use; given back by its destructor.
  class Place {
   public:
    Place(CopyQueue* queue, std::string datastore)
        : queue_(queue), datastore_(std::move(datastore)) {}
    Place(Place&& other) noexcept
        : queue_(std::exchange(other.queue_, nullptr)), datastore_(std::move(other.datastore_)) {}
    Place& operator=(Place&&) = delete;
    ~Place();

   private:
    CopyQueue* queue_;
    std::string datastore_;
  };
  // Waits for its turn. CANCELLED.
  absl::StatusOr<Place> Enter(absl::string_view datastore, core::StepContext& context);

 private:
  struct Line {
    int running = 0;
    std::deque<int64_t> waiting;
  };
  void Leave(const std::string& datastore);

  const int at_once_;
  absl::Mutex mutex_;
  absl::CondVar moved_;
  int64_t next_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, Line, std::less<>> lines_ ABSL_GUARDED_BY(mutex_);
};

// Where a copy comes from and goes to, looked up on the server and found possible.
struct Placement {
  TemplateHardware hardware;
  std::string datastore;
  MoRef datastore_ref;
  // Of the first adapter; "" when there is none.
  std::string port_group;
  // New backing for that adapter where it differs from the template's; "" else.
  std::string network_backing;
};

// Our copy of this spec, or an empty reference.
absl::StatusOr<MoRef> FindCopy(VimClient& client, const core::CopySpec& spec,
                               core::StepContext* context, std::stop_token stop);
// Looks everything up and finds what would make the copy fail. `fresh`: nothing of the copy may
// exist yet, neither name, folder nor a lack of space.
absl::StatusOr<Placement> Place(VimClient& client, const core::CopySpec& spec, bool fresh,
                                std::stop_token stop);
// The finished copy as its record.
absl::StatusOr<core::CopiedVm> DescribeCopy(VimClient& client, const MoRef& vm,
                                            std::stop_token stop);

// One way to copy. Errors are faults or the port's.
//
// Thread promise: all methods from any thread.
class CopyRoute {
 public:
  virtual ~CopyRoute() = default;
  virtual absl::StatusOr<core::CopiedVm> Copy(const core::CopySpec& spec,
                                              core::StepContext& context) = 0;
  virtual absl::Status Discard(const core::CopySpec& spec, core::StepContext& context) = 0;
};

// Starts a task and remembers it under `key`: "started" before the call, so that a lost answer is
// known as such, the task's id after it.
absl::StatusOr<MoRef> StartRemembered(VimClient& client, core::StepContext& context,
                                      absl::string_view key, const MoRef& self,
                                      absl::string_view method, absl::string_view parameters);
// The remembered task, if its id is known.
std::optional<MoRef> RecallTask(core::StepContext& context, absl::string_view key);
// Whether the call was made but its answer never seen.
bool AnswerLost(core::StepContext& context, absl::string_view key);
// Waits until no task of this kind ("Folder.createVm") runs on the server, so that one whose answer
// was lost has had its effect.
absl::Status AwaitTasksOf(VimClient& client, absl::string_view description, std::stop_token stop);

}  // namespace drover::vsphere
