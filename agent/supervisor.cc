#include "agent/supervisor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/durable_file.h"
#include "proto/support/log.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "proto/support/utf8.h"

namespace drover::agent {
namespace {

constexpr absl::Duration kTick = absl::Seconds(1);
// After a boot the machine's own init may be about to start the same services.
constexpr absl::Duration kBootGrace = absl::Seconds(5);

std::string DesiredPath(const std::string& directory) { return directory + "/desired.state"; }
std::string RecordsPath(const std::string& directory) { return directory + "/services.state"; }
std::string OutputPath(const std::string& directory) { return directory + "/output"; }

// Reads what may not be there yet. A damaged file is as good as none: the controller sends desired
// state anew.
void ReadKept(const std::string& path, google::protobuf::MessageLite& message) {
  const absl::Status status = ReadMessage(path, message);
  if (status.ok() || absl::IsNotFound(status)) return;
  LogError(status.message());
  message.Clear();
}

bool SameSpec(const drover::v1::ServiceSpec& a, const drover::v1::ServiceSpec& b) {
  return a.SerializeAsString() == b.SerializeAsString();
}

absl::Status NotWatched(const std::string& service) {
  return MakeError(absl::StatusCode::kNotFound, "SERVICE_NOT_FOUND",
                   absl::StrCat("this machine has no service ", service));
}

}  // namespace

Supervisor::Supervisor(EventLoop* loop, Options options, Listener listener)
    : loop_(loop), options_(std::move(options)), listener_(std::move(listener)) {
  surroundings_.loop = loop_;
  surroundings_.output_directory = OutputPath(options_.state_directory);
  // Passed on after the work at hand: writing to the disk must not hold up a successor.
  surroundings_.emit = [this](v1::AgentEvent event) {
    loop_->Post([this, alive = alive_, event = std::move(event)]() mutable {
      if (*alive) listener_.event(std::move(event));
    });
  };
  surroundings_.changed = [this] { SaveSoon(); };
  surroundings_.save_now = [this] { return SaveNow(); };
  if (absl::Status made = MakeDirectory(surroundings_.output_directory); !made.ok()) {
    LogError(made.message());
  }
  ReadKept(DesiredPath(options_.state_directory), desired_);
  v1::ServiceRecords known;
  ReadKept(RecordsPath(options_.state_directory), known);
  const bool same_boot = known.boot_id() == options_.boot_id;
  BuildServices(known, same_boot, same_boot ? absl::ZeroDuration() : kBootGrace);
  tick_ = loop_->RunAfter(kTick, [this] { Tick(); });
}

Supervisor::~Supervisor() {
  loop_->CancelTimer(tick_);
  loop_->CancelTimer(stays_up_);
  // What is pending is kept; what destroying the services would still say is not.
  if (save_pending_) SaveNow().IgnoreError();
  *alive_ = false;
}

void Supervisor::Tick() {
  const bool searching = std::any_of(services_.begin(), services_.end(),
                                     [](const auto& item) { return item.second->NeedsTable(); });
  if (searching) {
    table_.Refresh(loop_->clock().Uptime());
  } else {
    table_.Clear();
  }
  for (auto& [name, service] : services_) service->Check(table_);
  tick_ = loop_->RunAfter(kTick, [this] { Tick(); });
}

void Supervisor::BuildServices(const v1::ServiceRecords& known, bool same_boot,
                               absl::Duration grace) {
  std::map<std::string, v1::ServiceRecord> records;
  for (const v1::ServiceRecord& record : known.services()) records[record.name()] = record;
  std::map<std::string, std::unique_ptr<WatchedService>> before;
  before.swap(services_);
  rejected_.clear();
  std::vector<std::pair<WatchedService*, v1::ServiceRecord>> begun;
  for (const drover::v1::ServiceSpec& spec : desired_.services()) {
    if (services_.count(spec.name()) > 0 || rejected_.count(spec.name()) > 0) {
      LogError("service ", spec.name(), " is named twice; the first counts");
      continue;
    }
    v1::ServiceRecord record = records[spec.name()];
    auto same = before.find(spec.name());
    if (same != before.end() && SameSpec(record.spec(), spec)) {
      services_[spec.name()] = std::move(same->second);
      continue;
    }
    // Another spec is another chance.
    if (record.has_spec() && !SameSpec(record.spec(), spec)) {
      record.set_given_up(false);
      record.set_attempts(0);
      record.clear_died_at();
      record.clear_pid();
    }
    auto service = WatchedService::Make(&surroundings_, spec);
    if (!service.ok()) {
      LogError("service ", spec.name(), " cannot be watched: ", service.status().message());
      rejected_[spec.name()] = {spec, std::string(service.status().message())};
      continue;
    }
    begun.emplace_back(service->get(), record);
    services_[spec.name()] = *std::move(service);
  }
  before.clear();
  for (auto& [service, record] : begun) service->Begin(record, same_boot, grace);
  SaveSoon();
}

absl::Status Supervisor::Apply(const v1::DesiredState& desired) {
  DROVER_RETURN_IF_ERROR(WriteMessage(DesiredPath(options_.state_directory), desired));
  const v1::ServiceRecords known = Records();
  desired_ = desired;
  BuildServices(known, true, absl::ZeroDuration());
  LogInfo("desired state ", desired.generation(), " is in force: ", services_.size(), " services");
  return absl::OkStatus();
}

std::vector<drover::v1::ServiceStatus> Supervisor::Statuses() const {
  std::vector<drover::v1::ServiceStatus> statuses;
  for (const drover::v1::ServiceSpec& spec : desired_.services()) {
    if (auto found = services_.find(spec.name()); found != services_.end()) {
      statuses.push_back(found->second->status());
    } else if (auto bad = rejected_.find(spec.name()); bad != rejected_.end()) {
      drover::v1::ServiceStatus status;
      status.set_name(spec.name());
      status.set_state(drover::v1::ServiceStatus::STATE_GIVEN_UP);
      status.set_last_output(CleanText(bad->second.reason, 4096));
      statuses.push_back(std::move(status));
    }
  }
  return statuses;
}

absl::Status Supervisor::Check(const v1::ControlService& order) const {
  for (const std::string& name : order.services()) {
    if (auto bad = rejected_.find(name); bad != rejected_.end()) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "SERVICE_SPEC_INVALID",
                       absl::StrCat("service ", name, ": ", bad->second.reason));
    }
    if (services_.count(name) == 0) return NotWatched(name);
  }
  for (const WatchedService* service : Selected(order)) {
    if (service->busy()) {
      return MakeError(
          absl::StatusCode::kAborted, "SERVICE_BUSY",
          absl::StrCat("another order for service ", service->status().name(), " is at work"));
    }
  }
  return absl::OkStatus();
}

std::vector<WatchedService*> Supervisor::Selected(const v1::ControlService& order) const {
  std::map<std::string, WatchedService*> selected;
  for (const std::string& name : order.services()) {
    if (auto found = services_.find(name); found != services_.end()) {
      selected[name] = found->second.get();
    }
  }
  if (order.services().empty()) {
    for (const auto& [name, service] : services_) selected[name] = service.get();
  }
  std::vector<WatchedService*> services;
  for (auto& [name, service] : selected) services.push_back(service);
  return services;
}

namespace {

// Calls `done` with the first error after `left` answers.
struct Gathering {
  size_t left;
  WatchedService::Done done;
  absl::Status first;

  void Add(const absl::Status& status) {
    if (first.ok()) first = status;
    if (--left == 0) done(first);
  }
};

}  // namespace

void Supervisor::Control(const v1::ControlService& order, WatchedService::Done done) {
  if (absl::Status fit = Check(order); !fit.ok()) return done(fit);
  const std::vector<WatchedService*> services = Selected(order);
  if (services.empty()) return done(absl::OkStatus());
  auto gathering = std::make_shared<Gathering>(Gathering{services.size(), std::move(done), {}});
  auto each = [gathering](absl::Status status) { gathering->Add(status); };
  for (WatchedService* service : services) {
    switch (order.action()) {
      case v1::ControlService::ACTION_START:
        service->Start(each);
        break;
      case v1::ControlService::ACTION_STOP:
        service->Stop(each);
        break;
      case v1::ControlService::ACTION_RESTART:
        service->Restart(each);
        break;
      default:
        each(InvalidField("action", "must be START, STOP or RESTART"));
    }
  }
}

void Supervisor::Abort(const v1::ControlService& order, WatchedService::Done done) {
  const std::vector<WatchedService*> services = Selected(order);
  if (services.empty()) return done(absl::OkStatus());
  auto gathering = std::make_shared<Gathering>(Gathering{services.size(), std::move(done), {}});
  for (WatchedService* service : services) {
    service->Abort([gathering](absl::Status status) { gathering->Add(status); });
  }
}

void Supervisor::PrepareShutdown(absl::Duration window) {
  loop_->CancelTimer(std::exchange(stays_up_, 0));
  surroundings_.going_down = window > absl::ZeroDuration();
  if (surroundings_.going_down) {
    LogInfo("the machine goes down on order");
    stays_up_ = loop_->RunAfter(window, [this] {
      stays_up_ = 0;
      PrepareShutdown(absl::ZeroDuration());
    });
    return;
  }
  for (auto& [name, service] : services_) service->Resume();
}

absl::StatusOr<std::string> Supervisor::Output(const std::string& service) const {
  auto found = services_.find(service);
  if (found == services_.end()) return NotWatched(service);
  return found->second->Output();
}

v1::ServiceRecords Supervisor::Records() const {
  v1::ServiceRecords records;
  records.set_boot_id(options_.boot_id);
  for (const auto& [name, service] : services_) *records.add_services() = service->record();
  return records;
}

void Supervisor::SaveSoon() {
  if (std::exchange(save_pending_, true)) return;
  loop_->Post([this, alive = alive_] {
    if (!*alive) return;
    if (absl::Status saved = SaveNow(); !saved.ok()) LogError(saved.message());
    listener_.status_changed();
  });
}

absl::Status Supervisor::SaveNow() {
  save_pending_ = false;
  std::string records = Records().SerializeAsString();
  if (records == saved_) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(WriteWholeFile(RecordsPath(options_.state_directory), records));
  saved_ = std::move(records);
  return absl::OkStatus();
}

}  // namespace drover::agent
