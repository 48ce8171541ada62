// The one place where calls become entries of the platform log (LOG-1): every call that changes
// something, however it ended, and every refused one. A call about several VMs that was let through
// is an entry per VM, so that a search by VM or type finds it.
//
// Refusals for want of a session cost nobody anything, so they are folded: one entry per address
// and method in a minute, with the number of those left out.
//
// Thread promise: Write may be called from any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "controller/core/caller.h"
#include "controller/core/ports.h"
#include "controller/core/repeat_fold.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace drover::api {

// Names of the resources the call is about, by the rule's resource_field: "vms/web-01". An id that
// the caller chose for a new resource becomes its name.
std::vector<std::string> ResourcesOf(const google::protobuf::MethodDescriptor& method,
                                     const google::protobuf::Message& request);

class CallLog {
 public:
  using Append = std::function<absl::Status(drover::v1::LogEntry)>;
  using FindVm = std::function<std::optional<drover::v1::Vm>(absl::string_view name)>;

  CallLog(Append append, FindVm find_vm, core::Clock* clock);

  struct Record {
    const google::protobuf::MethodDescriptor* method = nullptr;
    core::Caller caller;
    // As it was sent; secrets are left out here.
    const google::protobuf::Message* request = nullptr;
    // Of the VMs it names, as they were before the call.
    std::vector<drover::v1::Vm> vms_before;
    absl::Status result;
    // "operations/x" it began, "" without one.
    std::string operation;
    // It was turned away at the door: no session, or not allowed.
    bool refused = false;
  };
  // VMs of the request that are there now.
  std::vector<drover::v1::Vm> VmsOf(const google::protobuf::MethodDescriptor& method,
                                    const google::protobuf::Message& request) const;
  // Writes what there is to write. A failure of the store goes to the program's own log: the call
  // has happened by then.
  void Write(const Record& record);

 private:
  // Number left out since the last entry, nullopt when this one is left out too.
  std::optional<int> Unfold(const Record& record);
  drover::v1::LogEntry EntryOf(const Record& record) const;
  void AddVm(const Record& record, absl::string_view name, drover::v1::LogEntry* entry) const;

  const Append append_;
  const FindVm find_vm_;
  core::Clock* const clock_;
  core::RepeatFold fold_;
};

}  // namespace drover::api
