#include "controller/vsphere/faults.h"

#include <iterator>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "controller/vsphere/soap.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

using Code = absl::StatusCode;

struct Meaning {
  // Class name; a trailing '*' stands for any ending.
  absl::string_view fault;
  Code code;
  absl::string_view reason;
  absl::string_view sentence;
};

constexpr Meaning kMeanings[] = {
    {"NotAuthenticated", Code::kUnavailable, "HYPERVISOR_UNREACHABLE",
     "the session ended and could not be renewed"},
    {"InvalidLogin", Code::kFailedPrecondition, "HYPERVISOR_LOGIN_REFUSED",
     "wrong user or password, or the account is locked after failures"},
    {"NoPermission", Code::kFailedPrecondition, "HYPERVISOR_PERMISSION",
     "the account lacks a privilege there"},
    {"RestrictedVersion", Code::kFailedPrecondition, "LICENCE_FORBIDS",
     "the licence of this host (free edition or expired evaluation) does not allow changes through "
     "its API; configure SSH for it or license the host"},
    {"NotEnoughLicenses", Code::kFailedPrecondition, "LICENCE_FORBIDS", "the licence is exhausted"},
    {"LicenseExpired", Code::kFailedPrecondition, "LICENCE_FORBIDS", "the licence has expired"},
    {"NotSupported", Code::kFailedPrecondition, "HYPERVISOR_UNSUPPORTED",
     "this kind of server cannot do that"},
    {"NotImplemented", Code::kUnimplemented, "HYPERVISOR_UNSUPPORTED",
     "the server does not know this request"},
    {"MethodNotFound", Code::kUnimplemented, "HYPERVISOR_UNSUPPORTED",
     "the server does not know this request"},
    {"InvalidRequest", Code::kInternal, "HYPERVISOR_FAULT", "the server cannot read the request"},
    {"InvalidType", Code::kInternal, "HYPERVISOR_FAULT", "the server cannot read the request"},
    {"InvalidProperty", Code::kInternal, "HYPERVISOR_FAULT",
     "this version of the server lacks a property"},
    {"ManagedObjectNotFound", Code::kNotFound, "VM_NOT_FOUND", "it does not exist there any more"},
    {"InvalidPowerState", Code::kFailedPrecondition, "WRONG_POWER_STATE",
     "not possible in its power state"},
    {"ToolsUnavailable", Code::kFailedPrecondition, "TOOLS_NOT_RUNNING",
     "VMware Tools are not running"},
    {"TaskInProgress", Code::kAborted, "VM_BUSY", "another task of the host is at work on it"},
    {"VAppTaskInProgress", Code::kAborted, "VM_BUSY", "another task of the host is at work on it"},
    {"QuestionPending", Code::kFailedPrecondition, "QUESTION_PENDING",
     "the host waits for an answer to a question about it"},
    {"InvalidState", Code::kFailedPrecondition, "WRONG_STATE",
     "not possible in the present state of VM or host"},
    {"ConcurrentAccess", Code::kAborted, "VM_BUSY", "somebody else changed it meanwhile"},
    {"DuplicateName", Code::kFailedPrecondition, "VM_NAME_TAKEN", "the name is taken"},
    {"AlreadyExists", Code::kFailedPrecondition, "VM_NAME_TAKEN", "it exists already"},
    {"InvalidName", Code::kInvalidArgument, "INVALID_NAME",
     "the name has characters the host refuses, or more than 80"},
    {"NoDiskSpace", Code::kResourceExhausted, "NO_SPACE", "the datastore is full"},
    {"InsufficientStorageSpace", Code::kResourceExhausted, "NO_SPACE", "the datastore is full"},
    {"InvalidDatastore*", Code::kFailedPrecondition, "DATASTORE_NOT_FOUND",
     "the datastore is unknown or not reachable"},
    {"InaccessibleDatastore", Code::kFailedPrecondition, "DATASTORE_NOT_FOUND",
     "the datastore is not reachable"},
    {"FileNotFound", Code::kFailedPrecondition, "FILE_NOT_FOUND", "a file is missing"},
    {"FileAlreadyExists", Code::kFailedPrecondition, "FILE_EXISTS", "a file exists already"},
    {"FileLocked", Code::kFailedPrecondition, "FILE_LOCKED",
     "a file is in use: is a VM that has the disk running?"},
    {"CannotAccessFile", Code::kFailedPrecondition, "FILE_LOCKED",
     "a file cannot be opened: is a VM that has the disk running?"},
    {"Insufficient*", Code::kResourceExhausted, "HOST_FULL",
     "the host has not enough processor or memory left"},
    {"HostNotConnected", Code::kUnavailable, "HYPERVISOR_UNREACHABLE", "vCenter has lost the host"},
    {"HostNotReachable", Code::kUnavailable, "HYPERVISOR_UNREACHABLE", "vCenter has lost the host"},
    {"HostCommunication", Code::kUnavailable, "HYPERVISOR_UNREACHABLE",
     "vCenter has lost the host"},
    {"HostConnectFault", Code::kUnavailable, "HYPERVISOR_UNREACHABLE", "vCenter has lost the host"},
    {"RequestCanceled", Code::kAborted, "HYPERVISOR_CANCELLED", "it was cancelled on the host"},
    {"Timedout", Code::kDeadlineExceeded, "HYPERVISOR_FAULT", "the host gave up waiting"},
    {"InvalidDeviceSpec", Code::kFailedPrecondition, "INVALID_HARDWARE",
     "the host refuses the hardware"},
    {"GenericVmConfigFault", Code::kFailedPrecondition, "INVALID_HARDWARE",
     "the host refuses the configuration"},
    {"InvalidVmConfig", Code::kFailedPrecondition, "INVALID_HARDWARE",
     "the host refuses the configuration"},
    {"VirtualHardwareVersionNotSupported", Code::kFailedPrecondition, "INVALID_HARDWARE",
     "the host is too old for the template's hardware version"},
    {"NumVirtualCpusNotSupported", Code::kFailedPrecondition, "INVALID_HARDWARE",
     "too many processors for this host or licence"},
    {"MemorySizeNotSupported", Code::kFailedPrecondition, "INVALID_HARDWARE",
     "memory size not supported"},
    {"CpuHotPlugNotSupported", Code::kFailedPrecondition, "POWER_OFF_FIRST",
     "the VM must be off to change processors"},
    {"MemoryHotPlugNotSupported", Code::kFailedPrecondition, "POWER_OFF_FIRST",
     "the VM must be off to change memory"},
};

constexpr Meaning kGuestMeanings[] = {
    {"GuestOperationsUnavailable", Code::kUnavailable, "TOOLS_NOT_RUNNING",
     "VMware Tools are not running, or still starting"},
    {"InvalidGuestLogin", Code::kFailedPrecondition, "GUEST_LOGIN_REFUSED",
     "wrong user or password of the guest, or its account is locked"},
    {"GuestPermissionDenied", Code::kFailedPrecondition, "GUEST_PERMISSION",
     "the guest account lacks rights for it"},
    {"OperationDisabledByGuest", Code::kFailedPrecondition, "GUEST_OPERATIONS_DISABLED",
     "guest operations are switched off in the guest's tools.conf"},
    {"OperationNotSupportedByGuest", Code::kFailedPrecondition, "TOOLS_TOO_OLD",
     "the guest's VMware Tools are too old"},
    {"GuestComponentsOutOfDate", Code::kFailedPrecondition, "TOOLS_TOO_OLD",
     "the guest's VMware Tools are too old"},
    {"TooManyGuestLogons", Code::kUnavailable, "TOOLS_NOT_RUNNING",
     "too many guest operations at a time"},
    {"GuestProcessNotFound", Code::kNotFound, "GUEST_PROCESS_NOT_FOUND",
     "the guest knows no such process any more"},
    {"FileNotFound", Code::kNotFound, "GUEST_FILE_NOT_FOUND",
     "no such file or directory in the guest"},
    {"FileAlreadyExists", Code::kAlreadyExists, "GUEST_FILE_EXISTS",
     "the file exists in the guest"},
    {"CannotAccessFile", Code::kFailedPrecondition, "GUEST_PERMISSION",
     "the guest cannot open the file"},
    {"NoDiskSpace", Code::kResourceExhausted, "NO_SPACE", "no space left in the guest"},
    {"FileTooLarge", Code::kInvalidArgument, "GUEST_FILE_TOO_LARGE",
     "too large for a guest transfer"},
};

bool Matches(absl::string_view pattern, absl::string_view type) {
  if (absl::ConsumeSuffix(&pattern, "*")) return absl::StartsWith(type, pattern);
  return pattern == type;
}

template <typename Table>
const Meaning* Find(const Table& table, absl::string_view type) {
  for (const Meaning& meaning : table) {
    if (Matches(meaning.fault, type)) return &meaning;
  }
  return nullptr;
}

// The server's own words, with the fields that name the culprit.
std::string Details(const Fault& fault) {
  std::string text = fault.type;
  for (absl::string_view name : {"file", "name", "datastore", "reason", "property", "privilegeId",
                                 "invalidProperty", "existingState", "deviceIndex"}) {
    auto it = fault.fields.find(std::string(name));
    if (it != fault.fields.end()) absl::StrAppend(&text, ", ", name, " ", it->second);
  }
  absl::string_view message = absl::StripAsciiWhitespace(fault.message);
  if (!message.empty()) absl::StrAppend(&text, ": ", message);
  return text;
}

absl::Status Compose(const Meaning* meaning, const Fault& fault, absl::string_view where,
                     absl::string_view what) {
  std::string subject = what.empty() ? std::string(where) : absl::StrCat(what, " on ", where);
  if (meaning == nullptr) {
    absl::string_view text = absl::StripAsciiWhitespace(fault.message);
    return MakeError(Code::kUnknown, "HYPERVISOR_FAULT",
                     absl::StrCat(subject, ": ", text.empty() ? "the host reports a fault" : text,
                                  fault.type.empty() ? "" : absl::StrCat(" (", fault.type, ")")),
                     {{"fault", fault.type}});
  }
  return MakeError(meaning->code, meaning->reason,
                   absl::StrCat(subject, ": ", meaning->sentence, " (", Details(fault), ")"),
                   {{"fault", fault.type}});
}

}  // namespace

absl::Status Interpret(const absl::Status& status, absl::string_view where,
                       absl::string_view what) {
  auto fault = FaultOf(status);
  if (!fault) return status;
  return Compose(Find(kMeanings, fault->type), *fault, where, what);
}

absl::Status InterpretGuest(const absl::Status& status, absl::string_view where,
                            absl::string_view what) {
  auto fault = FaultOf(status);
  if (!fault) return status;
  const Meaning* meaning = Find(kGuestMeanings, fault->type);
  return Compose(meaning != nullptr ? meaning : Find(kMeanings, fault->type), *fault, where, what);
}

absl::Status LoginRefused(const absl::Status& status, absl::string_view where,
                          absl::string_view user) {
  auto fault = FaultOf(status);
  absl::string_view why = fault && fault->type == "NoPermission"
                              ? "the user exists but may not log in (no role, or lockdown mode)"
                              : "wrong user or password, or the account is locked after failures";
  return MakeError(Code::kFailedPrecondition, "HYPERVISOR_LOGIN_REFUSED",
                   absl::StrCat(where, " refuses the login of \"", user, "\": ", why,
                                "; it is not tried again until the credentials change"));
}

}  // namespace drover::vsphere
