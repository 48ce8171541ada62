// The outside world of the controller on one page. The core knows these interfaces only; adapters
// (vsphere, agents, store, secrets, reach, mail) implement them, fakes under tests/testing stand in
// for them.
//
// Thread promise: every method of every port may be called from any thread and may block, unless it
// says otherwise; nobody calls a port while holding a mutex. Ports are owned by main and outlive
// the core.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controller/core/records.pb.h"

namespace drover::core {

// ---------------------------------------------------------------- time

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
  // CANCELLED as soon as `stop` is requested, else OK after `duration`.
  virtual absl::Status Sleep(absl::Duration duration, std::stop_token stop) = 0;
};

// ---------------------------------------------------------------- hypervisors

// What a long call needs of the step it runs in: a way to tell how far it is, a memory that
// survives a crash, and the wish to stop.
class StepContext {
 public:
  virtual ~StepContext() = default;
  // For people; cheap, may be called often. `percent` 0 to 100.
  virtual void Report(int percent, absl::string_view detail) = 0;
  // Durable before it returns. Values live until the operation ends.
  virtual absl::Status Remember(absl::string_view key, absl::string_view value) = 0;
  // "" when nothing was remembered.
  virtual std::string Recall(absl::string_view key) = 0;
  // Requested on cancel and on shutdown of the controller; a call that sees it returns CANCELLED
  // soon.
  virtual std::stop_token stop() const = 0;
};

// What one VM used, as its host measured it; oldest first.
struct VmUsage {
  std::string object;
  std::vector<drover::agent::v1::Sample> samples;
};

enum class InventoryChange { kPresent, kGone };

// Receives what Follow sees. Calls come from one thread, one after the other.
class InventorySink {
 public:
  virtual ~InventorySink() = default;
  // Before the first full state: forget what was known. After it: `OnSynced`.
  virtual void OnReset() = 0;
  virtual void OnVm(InventoryChange change, const HypervisorVm& vm) = 0;
  virtual void OnSynced() = 0;
};

// One ESXi host or vCenter. Errors all methods share: UNAVAILABLE, reason HYPERVISOR_UNREACHABLE;
// FAILED_PRECONDITION, reasons HYPERVISOR_LOGIN_REFUSED, CERTIFICATE_NOT_CONFIRMED,
// LICENCE_FORBIDS, VM_NAME_TAKEN, TEMPLATE_NOT_FOUND, TOOLS_NOT_RUNNING, FOREIGN_DISK;
// RESOURCE_EXHAUSTED, reason NO_SPACE; NOT_FOUND, reason VM_NOT_FOUND; CANCELLED. Messages name
// host and object. Every changing method asks "is it already so?" first and can be repeated after a
// crash. `object` is HypervisorVm.object.
class Hypervisor {
 public:
  virtual ~Hypervisor() = default;

  virtual absl::StatusOr<HostFacts> Describe() = 0;
  virtual absl::StatusOr<std::vector<HypervisorVm>> ListVms() = 0;
  virtual absl::StatusOr<HypervisorVm> GetVm(absl::string_view object) = 0;
  // CPU and memory that the host measured of these VMs after `since`, an hour back at most; network
  // where it counts it; never disk. VMs that are off and what has no value are left out.
  virtual absl::StatusOr<std::vector<VmUsage>> ReadUsage(const std::vector<std::string>& objects,
                                                         absl::Time since,
                                                         std::stop_token stop) = 0;
  // Blocks, feeding `sink`, until stop is requested (CANCELLED) or the connection is lost (its
  // error).
  virtual absl::Status Follow(InventorySink& sink, std::stop_token stop) = 0;

  // Everything that can be known to make Copy fail, without any write.
  virtual absl::Status CheckCopy(const CopySpec& spec) = 0;
  // Makes the copy, powered off, or goes on with the one of the same uid. Disk data stays on the
  // host.
  virtual absl::StatusOr<CopiedVm> Copy(const CopySpec& spec, StepContext& context) = 0;
  // Removes what Copy made of this spec: VM, disks, folder. OK when nothing is left of it. Never
  // touches anything without its uid.
  virtual absl::Status DiscardCopy(const CopySpec& spec, StepContext& context) = 0;

  virtual absl::Status PowerOn(absl::string_view object, StepContext& context) = 0;
  // Asks the guest first, cuts after `patience`; with zero patience cuts at once.
  virtual absl::Status PowerOff(absl::string_view object, absl::Duration patience,
                                StepContext& context) = 0;
  // Reboots by the guest, by reset when Tools are away or `hard`.
  virtual absl::Status Restart(absl::string_view object, bool hard, StepContext& context) = 0;
  virtual absl::Status SetHardware(absl::string_view object, const HardwareChange& change,
                                   StepContext& context) = 0;
  // Powers off and deletes VM and disks. FAILED_PRECONDITION, reason FOREIGN_DISK, when a disk lies
  // outside the VM's own folder.
  virtual absl::Status Destroy(absl::string_view object, StepContext& context) = 0;

  // ---- guest operations (VMware Tools). FAILED_PRECONDITION, reason GUEST_LOGIN_REFUSED for a
  // wrong guest account. DEADLINE_EXCEEDED, reason TOOLS_NOT_RUNNING.
  virtual absl::Status WaitForTools(absl::string_view object, absl::Duration patience,
                                    StepContext& context) = 0;
  virtual absl::Status CheckGuestLogin(absl::string_view object, const GuestLogin& login) = 0;
  // `mode` as chmod takes it, e.g. 0755. Replaces the file.
  virtual absl::Status WriteGuestFile(absl::string_view object, const GuestLogin& login,
                                      absl::string_view path, absl::string_view contents, int mode,
                                      StepContext& context) = 0;
  // Exit code of a program that ended within `patience`, else DEADLINE_EXCEEDED. `arguments` is a
  // shell-quoted tail; never a secret.
  virtual absl::StatusOr<int> RunInGuest(absl::string_view object, const GuestLogin& login,
                                         absl::string_view program, absl::string_view arguments,
                                         absl::Duration patience, StepContext& context) = 0;
  virtual absl::StatusOr<std::string> ReadGuestFile(absl::string_view object,
                                                    const GuestLogin& login, absl::string_view path,
                                                    StepContext& context) = 0;
};

class HypervisorConnector {
 public:
  virtual ~HypervisorConnector() = default;
  // A handle; connects at its first use. One session per handle (P24), ended when the handle goes.
  virtual std::shared_ptr<Hypervisor> Open(const drover::v1::Hypervisor& hypervisor,
                                           const HypervisorSecrets& secrets) = 0;
  // One attempt, nothing kept. An unconfirmed certificate is FAILED_PRECONDITION, reason
  // CERTIFICATE_NOT_CONFIRMED, with metadata "fingerprint" (and "ssh_host_key" for the shell), and
  // no password was sent.
  virtual absl::StatusOr<HostFacts> Test(const drover::v1::Hypervisor& hypervisor,
                                         const HypervisorSecrets& secrets) = 0;
};

// ---------------------------------------------------------------- agents

// What the agents tell. The core implements it.
class AgentListener {
 public:
  virtual ~AgentListener() = default;
  virtual absl::Status OnConnected(absl::string_view vm_uid,
                                   const drover::agent::v1::Hello& hello) = 0;
  virtual void OnDisconnected(absl::string_view vm_uid, absl::string_view why) = 0;
  // Another machine than the VM showed its identity, for the first time, and was refused.
  virtual void OnQuarantined(absl::string_view vm_uid, absl::string_view why) = 0;
  // Durable before it returns OK; then they are acknowledged. Events already stored are passed
  // over.
  virtual absl::Status OnEvents(absl::string_view vm_uid,
                                const std::vector<drover::agent::v1::AgentEvent>& events) = 0;
  // Final states are durable before it returns OK.
  virtual absl::Status OnCommandUpdate(absl::string_view vm_uid,
                                       const drover::agent::v1::CommandUpdate& update) = 0;
  virtual void OnState(absl::string_view vm_uid, const drover::agent::v1::StateReport& state) = 0;
  virtual void OnSamples(absl::string_view vm_uid, const drover::agent::v1::Samples& samples) = 0;
  virtual void OnDesiredStateApplied(absl::string_view vm_uid, int64_t generation) = 0;
  virtual absl::StatusOr<drover::agent::v1::DesiredState> DesiredStateOf(
      absl::string_view vm_uid) = 0;
};

class AgentGateway {
 public:
  virtual ~AgentGateway() = default;
  // A one-time token bound to the VM; earlier ones of the VM are void.
  virtual absl::StatusOr<EnrolmentKit> NewEnrolmentKit(absl::string_view vm_uid,
                                                       absl::string_view bios_uuid,
                                                       absl::Duration valid) = 0;
  // Certificate and tokens of the VM are refused from now on; its stream ends.
  virtual absl::Status Revoke(absl::string_view vm_uid) = 0;
  // Lifts a quarantine; the next machine that connects with the identity is taken for the VM.
  virtual absl::Status LiftQuarantine(absl::string_view vm_uid) = 0;
  virtual bool IsConnected(absl::string_view vm_uid) = 0;
  // Hands it to the stream, does not wait. UNAVAILABLE, reason AGENT_NOT_CONNECTED.
  virtual absl::Status Send(absl::string_view vm_uid,
                            const drover::agent::v1::Command& command) = 0;
  virtual absl::Status CancelCommand(absl::string_view vm_uid, absl::string_view command_id) = 0;
  // Sends DesiredStateOf again when the agent is connected.
  virtual void DesiredStateChanged(absl::string_view vm_uid) = 0;
};

// ---------------------------------------------------------------- store

// Kinds of documents. Each has a key, and `owner`, a second key that need not be unique:
// vms -> environment id; sessions -> user id; operations -> parent, or "" ; tokens, commands -> VM
// uid; others "".
enum class Table {
  kHypervisors,
  kTypes,
  kEnvironments,
  kVms,
  kUsers,
  kSessions,
  kOperations,
  kAgents,
  kTokens,
  kCommands,
  kRequests,
  kLogBackups,
  // Mails not delivered yet.
  kMails,
  // What owners were told of services.
  kAlerts,
  // Working copies as last read, by "VM uid/id"; owner = the VM's uid.
  kWorkingCopies,
  // Rollouts beside their operations; keys sort by time.
  kRollouts,
  // By "environment/type".
  kAutomaticUpgrades,
  // Commits that hooks or polls told of and no rollout has taken up.
  kCommits,
  // Configuration profiles of users; those that came with Drover are files.
  kProfiles,
  // Configurations that were applied; owner = the environment. Keys sort by time.
  kConfigurations,
  // Small values of the platform itself, by name.
  kSettings,
};

struct Document {
  std::string key;
  std::string owner;
  // Serialized record.
  std::string body;
};

struct ListQuery {
  std::optional<std::string> owner;
  // Keys after (before, when descending) this one.
  std::string after_key;
  bool descending = false;
  // 0 = all.
  int limit = 0;
};

// Reads of one moment.
class StoreReader {
 public:
  virtual ~StoreReader() = default;
  // NOT_FOUND without a reason; the caller knows what it looked for.
  virtual absl::StatusOr<Document> Get(Table table, absl::string_view key) = 0;
  virtual absl::StatusOr<std::vector<Document>> List(Table table, const ListQuery& query) = 0;
  // The highest id of the log entries that are there, 0 without any.
  virtual absl::StatusOr<int64_t> LastLogId() = 0;
};

// Writes that happen together or not at all.
class StoreWriter : public StoreReader {
 public:
  virtual absl::Status Put(Table table, const Document& document) = 0;
  // ALREADY_EXISTS when the key is there.
  virtual absl::Status Insert(Table table, const Document& document) = 0;
  // OK when it is not there.
  virtual absl::Status Delete(Table table, absl::string_view key) = 0;
  // Only the event log calls these three: it numbers, chains and announces.
  // The event gets the next sequence, without a hole.
  virtual absl::StatusOr<int64_t> AppendEvent(drover::v1::Event event) = 0;
  // `entry` has its id and hash. ALREADY_EXISTS when the id is there.
  virtual absl::Status AppendLog(const drover::v1::LogEntry& entry) = 0;
  // Deletes the log entries with first <= id <= last; how many there were.
  virtual absl::StatusOr<int64_t> DeleteLog(int64_t first, int64_t last) = 0;
};

// Errors all methods share: RESOURCE_EXHAUSTED, reason STORE_FULL; UNAVAILABLE, reasons STORE_BUSY
// and STORE_FAILED; DATA_LOSS, reason STORE_CORRUPT.
class Store {
 public:
  virtual ~Store() = default;
  // Durable when it returns OK. `body` may run more than once, on another thread (the bodies of
  // many callers make one transaction), and must have no other effect than through the writer; its
  // error is returned and nothing was written. It must not call the store by another way.
  virtual absl::Status Write(absl::FunctionRef<absl::Status(StoreWriter&)> body) = 0;
  virtual absl::Status Read(absl::FunctionRef<absl::Status(StoreReader&)> body) = 0;
  // Newest first; `request.page_token` is the smallest id seen, decimal. All criteria must hold.
  virtual absl::StatusOr<std::vector<drover::v1::LogEntry>> SearchLog(
      const drover::v1::SearchLogRequest& request, int limit) = 0;
  virtual absl::StatusOr<std::vector<drover::v1::Event>> ListEvents(
      const drover::v1::ListEventsRequest& request, int limit) = 0;
  // Oldest first, ids after `after_id`.
  virtual absl::StatusOr<std::vector<drover::v1::LogEntry>> ReadLog(int64_t after_id,
                                                                    int limit) = 0;
  // Oldest first, sequences after `after_sequence`.
  virtual absl::StatusOr<std::vector<drover::v1::Event>> ReadEvents(int64_t after_sequence,
                                                                    int limit) = 0;
};

// ---------------------------------------------------------------- secrets

// A SHA-256 in the making, for what is too big for one string. Used by one thread.
class Digest {
 public:
  virtual ~Digest() = default;
  virtual void Add(absl::string_view data) = 0;
  // 32 bytes; nothing may be added afterwards.
  virtual std::string Finish() = 0;
};

class Vault {
 public:
  virtual ~Vault() = default;
  // AES-256-GCM under the key file. `purpose` is bound to it: unsealing for another purpose fails
  // with DATA_LOSS.
  virtual absl::StatusOr<std::string> Seal(absl::string_view plain, absl::string_view purpose) = 0;
  virtual absl::StatusOr<std::string> Unseal(absl::string_view sealed,
                                             absl::string_view purpose) = 0;
  virtual std::string RandomBytes(int count) = 0;
  // 32 bytes.
  virtual std::string Sha256(absl::string_view data) = 0;
  virtual std::unique_ptr<Digest> NewSha256() = 0;
  // HMAC-SHA-256 under a key made from the key file for `purpose`: tells whether something is what
  // it was, to nobody without the key file. 32 bytes.
  virtual std::string Mac(absl::string_view data, absl::string_view purpose) = 0;
  // scrypt with its parameters and salt in the text. Slow and memory-hard by design.
  virtual absl::StatusOr<std::string> HashPassword(absl::string_view password) = 0;
  virtual bool VerifyPassword(absl::string_view password, absl::string_view hash) = 0;
};

// ---------------------------------------------------------------- reachability

struct ProbeTarget {
  // Not interpreted; comes back with the answer.
  std::string id;
  // Dotted IPv4.
  std::string address;
};

class Prober {
 public:
  virtual ~Prober() = default;
  // One ICMP echo sweep over all targets, batched. answered[i] belongs to targets[i]. An address
  // that cannot be parsed did not answer.
  virtual absl::StatusOr<std::vector<bool>> Sweep(const std::vector<ProbeTarget>& targets,
                                                  absl::Duration patience) = 0;
};

// ---------------------------------------------------------------- mail

struct Mail {
  std::vector<std::string> to;
  std::string subject;
  std::string text;
  // Same for all mails of one matter, so that they make one thread.
  std::string thread;
};

class Mailer {
 public:
  virtual ~Mailer() = default;
  // UNAVAILABLE for what may work later (4xx, no connection), FAILED_PRECONDITION for what will not
  // (5xx).
  virtual absl::Status Send(const Mail& mail) = 0;
};

}  // namespace drover::core
