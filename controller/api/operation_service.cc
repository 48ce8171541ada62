#include "controller/api/operation_service.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controller/core/operation_record.h"
#include "proto/support/status.h"

namespace drover::api {

using v1::Operation;

// One WatchOperation stream. Sends the operation as it is whenever it changed; when the reader is
// slow, what it missed is made good by the newest state.
class OperationService::Watch {
 public:
  Watch(core::OperationRunner* runner, std::string name, std::shared_ptr<StreamSink> sink)
      : runner_(runner), name_(std::move(name)), sink_(std::move(sink)) {}

  // Sends what is newer than what was sent. Returns when nobody pushes for this watch any more, or
  // somebody else does who will see the change.
  void Refresh() {
    {
      absl::MutexLock lock(&mutex_);
      again_ = true;
      if (pushing_ || ended_) return;
      pushing_ = true;
    }
    for (;;) {
      {
        absl::MutexLock lock(&mutex_);
        if (!again_ || ended_) {
          pushing_ = false;
          return;
        }
        again_ = false;
      }
      PushNewest();
    }
  }
  // No push is under way, and none begins, when it returns.
  void End() {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !pushing_; };
    mutex_.Await(absl::Condition(&idle));
  }

 private:
  void PushNewest() {
    const absl::StatusOr<Operation> operation = runner_->Get(name_);
    if (!operation.ok()) return Finish(operation.status());
    {
      absl::MutexLock lock(&mutex_);
      if (operation->revision() <= sent_) return;
    }
    // A full queue: OnRoom asks again.
    if (!sink_->Push(*operation)) return;
    {
      absl::MutexLock lock(&mutex_);
      sent_ = operation->revision();
    }
    if (core::IsDone(operation->state())) Finish(absl::OkStatus());
  }
  void Finish(const absl::Status& status) {
    {
      absl::MutexLock lock(&mutex_);
      ended_ = true;
    }
    sink_->Finish(status);
  }

  core::OperationRunner* const runner_;
  const std::string name_;
  const std::shared_ptr<StreamSink> sink_;
  absl::Mutex mutex_;
  int64_t sent_ ABSL_GUARDED_BY(mutex_) = 0;
  bool pushing_ ABSL_GUARDED_BY(mutex_) = false;
  bool again_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

class OperationService::Watches {
 public:
  void Add(const std::string& name, std::shared_ptr<Watch> watch) {
    absl::MutexLock lock(&mutex_);
    watches_[name].insert(std::move(watch));
  }
  void Remove(const std::string& name, const std::shared_ptr<Watch>& watch) {
    absl::MutexLock lock(&mutex_);
    const auto it = watches_.find(name);
    if (it == watches_.end()) return;
    it->second.erase(watch);
    if (it->second.empty()) watches_.erase(it);
  }
  void Refresh(absl::string_view name) {
    std::vector<std::shared_ptr<Watch>> watches;
    {
      absl::MutexLock lock(&mutex_);
      const auto it = watches_.find(name);
      if (it == watches_.end()) return;
      watches.assign(it->second.begin(), it->second.end());
    }
    for (const std::shared_ptr<Watch>& watch : watches) watch->Refresh();
  }

 private:
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::set<std::shared_ptr<Watch>>> watches_
      ABSL_GUARDED_BY(mutex_);
};

OperationService::OperationService(core::OperationRunner* runner)
    : runner_(runner), watches_(std::make_shared<Watches>()) {
  runner_->OnChange([watches = watches_](absl::string_view name) { watches->Refresh(name); });
}

OperationService::~OperationService() = default;

absl::Status OperationService::CheckMayControl(const Call& call, absl::string_view name) {
  DROVER_ASSIGN_OR_RETURN(const Operation operation, runner_->Get(name));
  if (call.caller.role == v1::ROLE_SYSTEM_ADMINISTRATOR || operation.user() == call.caller.user) {
    return absl::OkStatus();
  }
  // What every administrator may begin, every administrator may stop.
  const std::string& kind = operation.kind();
  if (kind == "vm.power" || kind == "vms.power" || kind == "environment.power" ||
      kind == "rollout" || kind == "vm.upgrade") {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kPermissionDenied, "ROLE_TOO_LOW",
                   absl::StrCat("\"", operation.title(),
                                "\" is for system administrators to cancel or continue"));
}

void OperationService::Register(Dispatcher& dispatcher) {
  dispatcher.OnUnary<v1::ListOperationsRequest, v1::ListOperationsResponse>(
      "ActivityService.ListOperations",
      [this](const Call&, const auto& request) { return runner_->List(request); });
  dispatcher.OnUnary<v1::GetOperationRequest, Operation>(
      "ActivityService.GetOperation",
      [this](const Call&, const auto& request) { return runner_->Get(request.name()); });
  dispatcher.OnUnary<v1::CancelOperationRequest, Operation>(
      "ActivityService.CancelOperation",
      [this](const Call& call, const auto& request) -> absl::StatusOr<Operation> {
        DROVER_RETURN_IF_ERROR(CheckMayControl(call, request.name()));
        return runner_->Cancel(request.name());
      });
  dispatcher.OnUnary<v1::ContinueOperationRequest, Operation>(
      "ActivityService.ContinueOperation",
      [this](const Call& call, const auto& request) -> absl::StatusOr<Operation> {
        DROVER_RETURN_IF_ERROR(CheckMayControl(call, request.name()));
        return runner_->Continue(request.name(), call.caller, call.request_id);
      });

  dispatcher.OnStream<v1::WatchOperationRequest, Operation>(
      "ActivityService.WatchOperation",
      [this](const Call&, const v1::WatchOperationRequest& request,
             std::shared_ptr<StreamSink> sink) {
        return WatchOperation(request.name(), std::move(sink));
      });
}

absl::StatusOr<std::unique_ptr<Subscription>> OperationService::WatchOperation(
    const std::string& name, std::shared_ptr<StreamSink> sink) {
  // A stream's end of its watch.
  class Subscribed : public Subscription {
   public:
    Subscribed(std::shared_ptr<Watches> watches, std::string name, std::shared_ptr<Watch> watch)
        : watches_(std::move(watches)), name_(std::move(name)), watch_(std::move(watch)) {}
    ~Subscribed() override {
      watches_->Remove(name_, watch_);
      watch_->End();
    }
    void OnRoom() override { watch_->Refresh(); }

   private:
    const std::shared_ptr<Watches> watches_;
    const std::string name_;
    const std::shared_ptr<Watch> watch_;
  };
  DROVER_RETURN_IF_ERROR(runner_->Get(name).status());
  auto watch = std::make_shared<Watch>(runner_, name, std::move(sink));
  // Watching first, reading second: no change falls between.
  watches_->Add(name, watch);
  auto subscription = std::make_unique<Subscribed>(watches_, name, watch);
  watch->Refresh();
  return subscription;
}

}  // namespace drover::api
