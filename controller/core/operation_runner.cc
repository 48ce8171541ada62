#include "controller/core/operation_runner.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/open_operations.h"
#include "controller/core/operation_archive.h"
#include "controller/core/operation_context.h"
#include "controller/core/operation_record.h"
#include "controller/core/operation_worker.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "proto/support/log.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::v1::Operation;
using Step = Operation::Step;

// A request id is remembered for a day.
constexpr absl::Duration kRequestMemory = absl::Hours(24);
constexpr int kPruneEvery = 500;

// The same bytes for the same request, whatever its maps' order.
std::string Canonical(const google::protobuf::Message& message) {
  std::string bytes = message.GetDescriptor()->full_name();
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&out);
  out.Trim();
  return bytes;
}

absl::Status NoSuchKind(absl::string_view kind) {
  return absl::InternalError(absl::StrCat("no operation of kind \"", kind, "\" is registered"));
}

}  // namespace

class OperationRunner::State {
 public:
  State(Store* store, Vault* vault, Clock* clock, RunnerLimits limits)
      : store_(store),
        vault_(vault),
        clock_(clock),
        limits_(limits),
        open_(std::make_shared<OpenOperations>(store, clock, limits.per_lane, limits.per_batch)),
        archive_(store, open_.get()),
        worker_(open_.get(), vault, clock, &factories_) {
    // Whoever has news for a step may come when the runner is gone already.
    open_->OnRelease(
        [releases = releases_](const OperationRecord& parent) -> std::optional<BatchRelease> {
          const auto rule = releases->find(parent.operation().kind());
          if (rule == releases->end()) return std::nullopt;
          return rule->second(parent);
        });
  }

  void Register(absl::string_view kind, StepFactory factory) {
    factories_[std::string(kind)] = std::move(factory);
  }
  void RegisterBatch(absl::string_view kind, StepFactory factory, ReleaseRule release) {
    Register(kind, std::move(factory));
    (*releases_)[std::string(kind)] = std::move(release);
  }
  absl::Status SetPaused(absl::string_view name, bool paused);
  OpenOperations& open() { return *open_; }
  const OperationArchive& archive() const { return archive_; }

  absl::Status Start() {
    DROVER_RETURN_IF_ERROR(open_->Load());
    open_->OpenGates();
    // A cancel of a batch may not have reached all its children before the controller died.
    for (const OperationRecord& record : open_->All()) {
      if (!record.has_children() || !record.operation().cancel_requested()) continue;
      DROVER_RETURN_IF_ERROR(CancelChildren(IdOf(record.operation().name())));
    }
    for (int i = 0; i < limits_.workers; ++i) threads_.emplace_back([this] { Work(); });
    threads_.emplace_back([this] { Nap(); });
    return absl::OkStatus();
  }

  void Stop() {
    open_->Shutdown();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  absl::StatusOr<OperationRecord> NewRecord(OperationRequest& request, bool parent);
  absl::StatusOr<Operation> Insert(std::vector<OperationRecord> records, const Caller& caller,
                                   absl::string_view request_id, absl::string_view request_hash);
  absl::StatusOr<std::optional<Operation>> Earlier(absl::string_view user,
                                                   absl::string_view request_id,
                                                   absl::string_view request_hash);
  std::string HashOf(const OperationRequest& request) {
    return HashOf(request.asked != nullptr ? request.asked.get() : request.request.get(),
                  request.kind);
  }
  std::string HashOf(const google::protobuf::Message* request, absl::string_view kind) {
    return absl::BytesToHexString(
        vault_->Sha256(request == nullptr ? std::string(kind) : Canonical(*request)));
  }
  absl::StatusOr<Operation> Cancel(absl::string_view name);
  absl::StatusOr<Operation> Continue(absl::string_view name, const Caller& caller,
                                     absl::string_view request_id);

 private:
  void Work() {
    while (const std::optional<std::string> id = open_->Take()) {
      worker_.Run(*id);
      if (++runs_ % kPruneEvery == 1) Prune();
    }
  }

  // Lets run again what was put back for a while.
  void Nap() {
    while (const std::optional<OpenOperations::Nap> nap = open_->OpenDue()) {
      (void)clock_->Sleep(nap->duration, nap->interrupted);
    }
  }

  void Prune() {
    const absl::Time now = clock_->Now();
    const absl::Status pruned = archive_.Prune(now - limits_.keep, now - kRequestMemory);
    if (!pruned.ok()) LogWarning("old operations cannot be deleted: ", pruned.message());
  }

  absl::StatusOr<OperationRecord> Again(const OperationRecord& ended, const Caller& caller);
  // The first error; the others are cancelled nevertheless.
  absl::Status CancelChildren(absl::string_view parent);
  absl::Status CancelOne(const std::string& id);
  absl::Status EndWithdrawn(const std::string& id);

  Store* const store_;
  Vault* const vault_;
  Clock* const clock_;
  const RunnerLimits limits_;
  OperationWorker::Factories factories_;
  using Releases = std::map<std::string, ReleaseRule, std::less<>>;
  const std::shared_ptr<Releases> releases_ = std::make_shared<Releases>();
  const std::shared_ptr<OpenOperations> open_;
  const OperationArchive archive_;
  OperationWorker worker_;
  std::vector<std::thread> threads_;
  std::atomic<int64_t> runs_ = 0;
};

// ---------------------------------------------------------------- new ones

absl::StatusOr<OperationRecord> OperationRunner::State::NewRecord(OperationRequest& request,
                                                                  bool parent) {
  const auto factory = factories_.find(request.kind);
  if (factory == factories_.end()) return NoSuchKind(request.kind);
  OperationRecord record;
  Operation& operation = *record.mutable_operation();
  operation.set_kind(request.kind);
  operation.set_title(request.title);
  operation.set_state(Operation::STATE_QUEUED);
  operation.set_user(request.caller.user);
  operation.set_client_address(request.caller.client_address);
  record.set_request_id(request.request_id);
  record.set_lane(request.lane);
  record.set_has_children(parent);
  for (std::string& vm : request.holds) record.add_holds(std::move(vm));
  for (std::string& name : request.resource_names) record.add_resource_names(std::move(name));
  if (request.request != nullptr) record.mutable_request()->PackFrom(*request.request);
  if (!request.secrets.empty()) {
    DROVER_ASSIGN_OR_RETURN(*record.mutable_sealed_secrets(),
                            vault_->Seal(request.secrets, SecretsPurpose(record)));
  }
  const std::vector<OperationStep> steps = factory->second(record);
  for (const OperationStep& step : steps) {
    Step& its = *operation.add_steps();
    its.set_title(step.title);
    its.set_state(Step::STATE_PENDING);
    record.add_weights(step.weight);
    if (!step.after_children) record.set_opening_steps(operation.steps_size());
  }
  if (!parent && record.holds_size() == 1) *operation.add_targets() = TargetOf(record);
  return record;
}

absl::StatusOr<std::optional<Operation>> OperationRunner::State::Earlier(
    absl::string_view user, absl::string_view request_id, absl::string_view request_hash) {
  const std::string key = RequestKey(user, request_id);
  if (key.empty()) return std::nullopt;
  Document document;
  const absl::Status read = store_->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(document, reader.Get(Table::kRequests, key));
    return absl::OkStatus();
  });
  if (absl::IsNotFound(read)) return std::nullopt;
  DROVER_RETURN_IF_ERROR(read);
  RequestRecord earlier;
  Operation operation;
  if (!earlier.ParseFromString(document.body) || !earlier.response().UnpackTo(&operation)) {
    return MakeError(absl::StatusCode::kDataLoss, "REQUEST_UNREADABLE",
                     "what was answered to this request id cannot be read");
  }
  if (earlier.request_hash() != request_hash) {
    return MakeError(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED",
                     "request_id was used for another request; take a new one for each request");
  }
  DROVER_ASSIGN_OR_RETURN(const OperationRecord record, archive_.Find(IdOf(operation.name())));
  return record.operation();
}

absl::StatusOr<Operation> OperationRunner::State::Insert(std::vector<OperationRecord> records,
                                                         const Caller& caller,
                                                         absl::string_view request_id,
                                                         absl::string_view request_hash) {
  RequestRecord request;
  request.set_user(caller.user);
  request.set_request_hash(std::string(request_hash));
  *request.mutable_create_time() = ToProto(clock_->Now());
  const absl::Status inserted =
      open_->Insert(records, RequestKey(caller.user, request_id), std::move(request));
  if (absl::IsAlreadyExists(inserted)) {
    DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier,
                            Earlier(caller.user, request_id, request_hash));
    if (earlier.has_value()) return *std::move(earlier);
  }
  DROVER_RETURN_IF_ERROR(inserted);
  return records.front().operation();
}

// ---------------------------------------------------------------- cancel and continue

absl::Status OperationRunner::State::EndWithdrawn(const std::string& id) {
  const absl::Status cancelled = worker_.CancelUnbegun(id, /*surely=*/false);
  if (!cancelled.ok()) open_->Readmit(id);
  return cancelled;
}

absl::Status OperationRunner::State::CancelOne(const std::string& id) {
  if (open_->Withdraw(id)) return EndWithdrawn(id);
  const absl::Status saved = open_->Save(
      id, [](OperationRecord& record) { record.mutable_operation()->set_cancel_requested(true); });
  if (absl::IsNotFound(saved)) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(saved);
  open_->RequestStop(id);
  return absl::OkStatus();
}

absl::Status OperationRunner::State::CancelChildren(absl::string_view parent) {
  const std::vector<std::string> children = open_->ChildrenOf(parent);
  absl::Status first;
  // Those that have not begun go first, together: none of them takes the place of one that stops.
  for (const std::string& child : open_->WithdrawChildren(parent)) {
    first.Update(EndWithdrawn(child));
  }
  for (const std::string& child : children) first.Update(CancelOne(child));
  return first;
}

absl::StatusOr<Operation> OperationRunner::State::Cancel(absl::string_view name) {
  const std::string id(IdOf(name));
  const std::optional<OperationRecord> record = open_->Find(id);
  if (!record.has_value()) {
    DROVER_RETURN_IF_ERROR(archive_.Find(id).status());
    return MakeError(absl::StatusCode::kFailedPrecondition, "OPERATION_DONE",
                     absl::StrCat("operation ", id, " has ended already"));
  }
  if (record->committed()) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "OPERATION_COMMITTED",
        absl::StrCat("operation ", id, " has done what cannot be undone and goes on to its end"));
  }
  DROVER_RETURN_IF_ERROR(CancelOne(id));
  DROVER_RETURN_IF_ERROR(CancelChildren(id));
  DROVER_ASSIGN_OR_RETURN(const OperationRecord now, archive_.Find(id));
  return now.operation();
}

absl::Status OperationRunner::State::SetPaused(absl::string_view name, bool paused) {
  const std::string id(IdOf(name));
  const std::optional<OperationRecord> record = open_->Find(id);
  const auto refuse = [&](absl::string_view reason, absl::string_view words) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reason,
                     absl::StrCat("operation ", id, " ", words));
  };
  if (!record.has_value() || record->operation().cancel_requested()) {
    DROVER_RETURN_IF_ERROR(archive_.Find(id).status());
    return refuse("OPERATION_DONE", "has ended already, or is about to");
  }
  if (releases_->find(record->operation().kind()) == releases_->end()) {
    return refuse("NOT_PAUSABLE", "cannot be paused");
  }
  const bool is_paused = record->operation().state() == Operation::STATE_PAUSED;
  if (paused && is_paused) return refuse("ALREADY_PAUSED", "is paused already");
  if (!paused && !is_paused) return refuse("NOT_PAUSED", "is not paused");
  return open_->SetPaused(id, paused);
}

// The record as it was before it ran, but for what its steps did and lasts.
absl::StatusOr<OperationRecord> OperationRunner::State::Again(const OperationRecord& ended,
                                                              const Caller& caller) {
  const auto factory = factories_.find(ended.operation().kind());
  if (factory == factories_.end()) return NoSuchKind(ended.operation().kind());
  const std::vector<OperationStep> steps = factory->second(ended);
  OperationRecord record = ended;
  record.clear_memory();
  record.clear_committed();
  record.clear_order_state();
  record.clear_stopped_at();
  record.clear_request_id();
  Operation& operation = *record.mutable_operation();
  Operation fresh;
  fresh.set_kind(operation.kind());
  fresh.set_title(operation.title());
  fresh.set_state(Operation::STATE_QUEUED);
  fresh.set_user(caller.user);
  fresh.set_client_address(caller.client_address);
  for (int i = 0; i < operation.steps_size(); ++i) {
    Step& its = *fresh.add_steps();
    its.set_title(operation.steps(i).title());
    const bool done = i + 1 < ended.stopped_at() && i < static_cast<int>(steps.size()) &&
                      steps[static_cast<size_t>(i)].lasts;
    its.set_state(done ? Step::STATE_DONE : Step::STATE_PENDING);
    if (done) its.set_percent(100);
  }
  operation = std::move(fresh);
  if (!record.has_children() && record.holds_size() == 1) {
    *operation.add_targets() = TargetOf(record);
  }
  return record;
}

absl::StatusOr<Operation> OperationRunner::State::Continue(absl::string_view name,
                                                           const Caller& caller,
                                                           absl::string_view request_id) {
  const std::string id(IdOf(name));
  const std::string hash = absl::BytesToHexString(vault_->Sha256(absl::StrCat("continue ", id)));
  DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier, Earlier(caller.user, request_id, hash));
  if (earlier.has_value()) return *std::move(earlier);
  DROVER_ASSIGN_OR_RETURN(const OperationRecord ended, archive_.Find(id));
  if (!IsDone(ended)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "OPERATION_NOT_DONE",
                     absl::StrCat("operation ", id, " has not ended yet"));
  }
  if (ended.operation().state() == Operation::STATE_SUCCEEDED) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NOTHING_TO_CONTINUE",
                     absl::StrCat("operation ", id, " has succeeded for all its targets"));
  }
  std::vector<OperationRecord> records(1);
  DROVER_ASSIGN_OR_RETURN(records.front(), Again(ended, caller));
  records.front().set_request_id(std::string(request_id));
  if (ended.has_children()) {
    DROVER_ASSIGN_OR_RETURN(const std::vector<OperationRecord> children, archive_.ChildrenOf(id));
    for (const OperationRecord& child : children) {
      if (child.operation().state() == Operation::STATE_SUCCEEDED) continue;
      DROVER_ASSIGN_OR_RETURN(OperationRecord again, Again(child, caller));
      records.push_back(std::move(again));
    }
  }
  return Insert(std::move(records), caller, request_id, hash);
}

// ---------------------------------------------------------------- the runner

OperationRunner::OperationRunner(Store* store, Vault* vault, Clock* clock, RunnerLimits limits)
    : state_(std::make_unique<State>(store, vault, clock, limits)) {}

OperationRunner::~OperationRunner() { Stop(); }

void OperationRunner::Register(absl::string_view kind, StepFactory factory) {
  state_->Register(kind, std::move(factory));
}

void OperationRunner::RegisterBatch(absl::string_view kind, StepFactory factory,
                                    ReleaseRule release) {
  state_->RegisterBatch(kind, std::move(factory), std::move(release));
}

void OperationRunner::OnChange(std::function<void(absl::string_view)> listener) {
  state_->open().OnChange([listener = std::move(listener)](absl::string_view id) {
    listener(ResourceName("operations", id));
  });
}

void OperationRunner::OnEnd(std::function<absl::Status(StoreWriter&, const OperationRecord&,
                                                       std::vector<drover::v1::Event>*)>
                                record,
                            std::function<void(const std::vector<drover::v1::Event>&)> announce) {
  state_->open().OnEnd(std::move(record), std::move(announce));
}

absl::Status OperationRunner::Start() { return state_->Start(); }

void OperationRunner::Stop() { state_->Stop(); }

absl::StatusOr<Operation> OperationRunner::Submit(OperationRequest request) {
  const std::string hash = state_->HashOf(request);
  DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier,
                          state_->Earlier(request.caller.user, request.request_id, hash));
  if (earlier.has_value()) return *std::move(earlier);
  std::vector<OperationRecord> records(1);
  DROVER_ASSIGN_OR_RETURN(records.front(), state_->NewRecord(request, /*parent=*/false));
  return state_->Insert(std::move(records), request.caller, request.request_id, hash);
}

absl::StatusOr<Operation> OperationRunner::SubmitBatch(OperationRequest parent,
                                                       std::vector<OperationRequest> children,
                                                       int at_once) {
  const std::string hash = state_->HashOf(parent);
  DROVER_ASSIGN_OR_RETURN(std::optional<Operation> earlier,
                          state_->Earlier(parent.caller.user, parent.request_id, hash));
  if (earlier.has_value()) return *std::move(earlier);
  std::vector<OperationRecord> records(1);
  DROVER_ASSIGN_OR_RETURN(records.front(), state_->NewRecord(parent, /*parent=*/true));
  records.front().set_at_once(at_once);
  for (OperationRequest& child : children) {
    child.caller = parent.caller;
    child.request_id.clear();
    DROVER_ASSIGN_OR_RETURN(OperationRecord record, state_->NewRecord(child, /*parent=*/false));
    records.push_back(std::move(record));
  }
  return state_->Insert(std::move(records), parent.caller, parent.request_id, hash);
}

absl::StatusOr<std::optional<Operation>> OperationRunner::Earlier(
    const Caller& caller, absl::string_view request_id, const google::protobuf::Message& request) {
  return state_->Earlier(caller.user, request_id, state_->HashOf(&request, ""));
}

absl::StatusOr<Operation> OperationRunner::Get(absl::string_view name) {
  DROVER_ASSIGN_OR_RETURN(OperationRecord record, state_->archive().Find(IdOf(name)));
  return std::move(*record.mutable_operation());
}

absl::StatusOr<OperationRecord> OperationRunner::GetRecord(absl::string_view name) {
  return state_->archive().Find(IdOf(name));
}

absl::StatusOr<std::vector<OperationRecord>> OperationRunner::ListRecords(
    absl::string_view kind, absl::string_view before_id, int limit) {
  return state_->archive().ListKind(kind, before_id, limit);
}

absl::Status OperationRunner::Pause(absl::string_view name) {
  return state_->SetPaused(name, true);
}

absl::Status OperationRunner::Resume(absl::string_view name) {
  return state_->SetPaused(name, false);
}

absl::StatusOr<drover::v1::ListOperationsResponse> OperationRunner::List(
    const drover::v1::ListOperationsRequest& request) {
  return state_->archive().List(request);
}

absl::StatusOr<Operation> OperationRunner::Cancel(absl::string_view name) {
  return state_->Cancel(name);
}

absl::StatusOr<Operation> OperationRunner::Continue(absl::string_view name, const Caller& caller,
                                                    absl::string_view request_id) {
  return state_->Continue(name, caller, request_id);
}

void OperationRunner::Wake(absl::string_view name) { state_->open().Wake(IdOf(name)); }

std::vector<std::string> OperationRunner::QueueOf(absl::string_view vm_name) {
  std::vector<std::string> names;
  for (const std::string& id : state_->open().QueueOf(vm_name)) {
    names.push_back(ResourceName("operations", id));
  }
  return names;
}

}  // namespace drover::core
