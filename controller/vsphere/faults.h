// What a fault means in the words of the port: fault class -> code, reason and a sentence.
//
// Thread promise: pure functions.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace drover::vsphere {

// A status without fault is returned as it is. `where` names the host, `what` the object or deed,
// e.g. "VM web-1"; both come into the message.
absl::Status Interpret(const absl::Status& status, absl::string_view where,
                       absl::string_view what = "");

// The same for guest operations, where a file or a login is the guest's.
absl::Status InterpretGuest(const absl::Status& status, absl::string_view where,
                            absl::string_view what);

// FAILED_PRECONDITION, reason HYPERVISOR_LOGIN_REFUSED.
absl::Status LoginRefused(const absl::Status& status, absl::string_view where,
                          absl::string_view user);

}  // namespace drover::vsphere
