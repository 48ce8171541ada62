#include "agent/network_change.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/durable_file.h"
#include "agent/kept_file.h"
#include "proto/support/log.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::agent {
namespace {

constexpr absl::Duration kStandardDeadline = absl::Seconds(60);
constexpr absl::Duration kLookAgainAfter = absl::Milliseconds(250);
constexpr absl::Duration kGatewayPause = absl::Seconds(1);
// Looks at whether the old settings are in force after the tool was run.
constexpr int kLooksBack = 20;
// Attempts at bringing everything back before the controller is told that it did not work; they go
// on after it.
constexpr int kAttempts = 3;
constexpr absl::Duration kAttemptPause = absl::Seconds(10);

CardSettings SettingsOf(const v1::SetNetwork& order, const std::string& card,
                        const std::string& mac) {
  CardSettings settings;
  settings.card = card;
  settings.mac = mac;
  settings.ip = order.ip();
  settings.netmask = order.netmask();
  settings.gateway = order.gateway();
  settings.dns = {order.dns().begin(), order.dns().end()};
  return settings;
}

v1::SetNetwork OrderOf(const CardState& state) {
  v1::SetNetwork order;
  if (!state.addresses.empty()) {
    order.set_ip(state.addresses.front().first);
    order.set_netmask(state.addresses.front().second);
  }
  order.set_gateway(state.gateway);
  for (const std::string& server : state.dns) order.add_dns(server);
  return order;
}

bool IsIpv4(const std::string& text) {
  in_addr address;
  return inet_pton(AF_INET, text.c_str(), &address) == 1;
}

// A value ends up in files and commands: it is an address or it goes nowhere.
absl::Status CheckOrder(const v1::SetNetwork& order) {
  if (!IsIpv4(order.ip())) return InvalidField("ip", "must be a dotted IPv4 address");
  if (PrefixOf(order.netmask()) == 0) return InvalidField("netmask", "must be a netmask");
  if (!order.gateway().empty() && !IsIpv4(order.gateway())) {
    return InvalidField("gateway", "must be a dotted IPv4 address");
  }
  for (const std::string& server : order.dns()) {
    if (!IsIpv4(server)) return InvalidField("dns", "must be dotted IPv4 addresses");
  }
  return absl::OkStatus();
}

absl::Status NoSpace(const absl::Status& status) {
  if (!absl::IsResourceExhausted(status)) return status;
  return MakeError(absl::StatusCode::kResourceExhausted, "NO_SPACE",
                   absl::StrCat("nothing was changed: ", status.message()));
}

}  // namespace

class NetworkChangeWork : public OrderWork {
 public:
  explicit NetworkChangeWork(NetworkChange* change) : change_(change) {}
  // Everything comes back.
  void Abort(std::function<void(absl::Status)> ended) override { change_->Abort(std::move(ended)); }

 private:
  NetworkChange* const change_;
};

NetworkChange::NetworkChange(Parts parts)
    : parts_(std::move(parts)), path_(parts_.state_directory + "/network.state") {
  parts_.commands->Register(v1::Command::kSetNetwork, AfterInterruption::kSurvive,
                            [this](const v1::Command& command, OrderVoice voice) {
                              return Start(command, std::move(voice));
                            });
  const absl::Status read = ReadMessage(path_, record_);
  open_ = read.ok();
  if (!read.ok() && !absl::IsNotFound(read))
    LogError("the open change of the network: ", read.message());
  for (const std::string& id : parts_.commands->Survivors(v1::Command::kSetNetwork)) {
    if (open_ && id == record_.command_id()) {
      parts_.commands->Resume(id, std::make_unique<NetworkChangeWork>(this));
      continue;
    }
    parts_.commands->Settle(id,
                            MakeError(absl::StatusCode::kAborted, "INTERRUPTED",
                                      "the agent ended before anything was changed"),
                            {});
  }
  if (open_) TakeUp();
}

NetworkChange::~NetworkChange() {
  *alive_ = false;
  parts_.loop->CancelTimer(deadline_);
  parts_.loop->CancelTimer(timer_);
}

// ---------------------------------------------------------------- forth

absl::StatusOr<std::unique_ptr<OrderWork>> NetworkChange::Start(const v1::Command& command,
                                                                OrderVoice voice) {
  if (!idle()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NETWORK_CHANGE_OPEN",
                     "another change of the network is not over");
  }
  const v1::SetNetwork& order = command.set_network();
  DROVER_RETURN_IF_ERROR(CheckOrder(order));
  const CardState now = parts_.system->Read("");
  if (now.card.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NETWORK_UNKNOWN_TOOL",
                     "the guest has no network card that is up");
  }
  // Fails early where nothing is known to be changed.
  DROVER_RETURN_IF_ERROR(MakeRecord(command, now).status());
  std::vector<std::string> own;
  for (const auto& [ip, netmask] : now.addresses) own.push_back(ip);
  if (std::find(own.begin(), own.end(), order.ip()) != own.end()) {
    DROVER_RETURN_IF_ERROR(Begin(command, now));
    return std::make_unique<NetworkChangeWork>(this);
  }
  asking_ = true;
  parts_.system->Ask(now.card, order.ip(), "",
                     [this, command, now, voice = std::move(voice), alive = alive_](bool answered) {
                       if (!*alive || !asking_) return;
                       asking_ = false;
                       absl::Status begun;
                       if (answered) {
                         begun = MakeError(
                             absl::StatusCode::kFailedPrecondition, "ADDRESS_IN_USE",
                             absl::StrCat("another machine in the guest's network has ",
                                          command.set_network().ip(), "; nothing was changed"));
                       } else {
                         begun = Begin(command, now);
                       }
                       if (!begun.ok()) voice.done(begun, {});
                     });
  return std::make_unique<NetworkChangeWork>(this);
}

absl::StatusOr<NetworkChange::Record> NetworkChange::MakeRecord(const v1::Command& command,
                                                                const CardState& now) {
  Record record;
  record.set_command_id(command.id());
  *record.mutable_wanted() = command.set_network();
  *record.mutable_before() = OrderOf(now);
  record.set_card(now.card);
  record.set_boot_id(parts_.boot_id);
  const CardSettings before = SettingsOf(record.before(), now.card, now.mac);
  const CardSettings wanted = SettingsOf(record.wanted(), now.card, now.mac);
  const FileTexts files = parts_.system->Files();
  const NetworkTool tool = ChooseTool(files, parts_.system->Programs(), before);
  record.set_tool(static_cast<int>(tool));
  DROVER_ASSIGN_OR_RETURN(const NetworkEdit edit, EditNetworkFiles(tool, files, before, wanted));
  record.set_connection(edit.connection);
  for (const auto& [path, text] : edit.files) {
    DROVER_ASSIGN_OR_RETURN(*record.add_files(), ReadKeptFile(parts_.root, path));
    record.mutable_files()->rbegin()->set_new_text(text);
  }
  const absl::Duration limit = record.wanted().deadline_seconds() > 0
                                   ? absl::Seconds(record.wanted().deadline_seconds())
                                   : kStandardDeadline;
  record.set_deadline_uptime(absl::ToInt64Milliseconds(parts_.loop->clock().Uptime() + limit));
  *record.mutable_deadline() = ToProto(parts_.loop->clock().Now() + limit);
  return record;
}

absl::Status NetworkChange::Begin(const v1::Command& command, const CardState& now) {
  DROVER_ASSIGN_OR_RETURN(record_, MakeRecord(command, now));
  if (absl::Status kept = Write(Record::PHASE_BEGUN); !kept.ok()) return NoSpace(kept);
  open_ = true;
  LogInfo("changing the network of ", record_.card(), " by ",
          NameOf(static_cast<NetworkTool>(record_.tool())), ": ", record_.before().ip(), " to ",
          record_.wanted().ip());
  // Once the command has been told as running.
  parts_.loop->Post([this, alive = alive_, stage = ++stage_] {
    if (*alive && stage == stage_) Go();
  });
  return absl::OkStatus();
}

void NetworkChange::Go() {
  problem_ = "the network's tools did not end";
  ArmDeadline();
  if (absl::Status written = WriteFiles(true); !written.ok()) {
    return PutBack(absl::StrCat("the files could not be written: ", written.message()));
  }
  const std::string stale =
      record_.before().ip() == record_.wanted().ip() ? "" : record_.before().ip();
  parts_.system->Apply(static_cast<NetworkTool>(record_.tool()), record_.card(),
                       record_.connection(), stale,
                       [this, stage = ++stage_, alive = alive_](const absl::Status& status) {
                         if (*alive && stage == stage_) Applied(status);
                       });
}

void NetworkChange::Applied(const absl::Status& status) {
  if (!status.ok()) {
    return PutBack(absl::StrCat(NameOf(static_cast<NetworkTool>(record_.tool())),
                                " refused the settings: ", status.message()));
  }
  if (absl::Status kept = Write(Record::PHASE_APPLIED); !kept.ok()) {
    // An agent that starts now would go back: that must not come later than the controller's word.
    return PutBack(absl::StrCat("it could not be written down: ", kept.message()));
  }
  Check();
}

// Some tools come back before the kernel has everything.
void NetworkChange::Check() {
  if (!InForce(record_.wanted())) {
    problem_ = absl::StrCat(record_.card(), " did not take the settings");
    return After(kLookAgainAfter, &NetworkChange::Check);
  }
  settled_ = true;
  problem_ = "the controller could not be reached over the new settings";
  parts_.urgent(true);
  parts_.connect_anew();
}

void NetworkChange::LinkEstablished() {
  if (!open_ || record_.phase() != Record::PHASE_APPLIED || !settled_) return;
  welcomed_ = true;
  CheckGateway();
}

// A controller in the same network is reached without the gateway, others are not.
void NetworkChange::CheckGateway() {
  if (record_.wanted().gateway().empty()) return Keep();
  problem_ = absl::StrCat("the gateway ", record_.wanted().gateway(), " does not answer");
  parts_.system->Ask(record_.card(), record_.wanted().gateway(), record_.wanted().ip(),
                     [this, stage = ++stage_, alive = alive_](bool answered) {
                       if (!*alive || stage != stage_) return;
                       if (answered) return Keep();
                       After(kGatewayPause, &NetworkChange::CheckGateway);
                     });
}

void NetworkChange::Keep() {
  ++stage_;
  parts_.loop->CancelTimer(std::exchange(deadline_, 0));
  if (absl::Status kept = Write(Record::PHASE_KEPT); !kept.ok()) {
    return PutBack(absl::StrCat("it could not be written down: ", kept.message()));
  }
  LogInfo("the network of ", record_.card(), " is changed: ", record_.wanted().ip());
  TellEnd();
}

// ---------------------------------------------------------------- back

void NetworkChange::PutBack(const std::string& why) {
  ++stage_;
  parts_.loop->CancelTimer(std::exchange(deadline_, 0));
  parts_.loop->CancelTimer(std::exchange(timer_, 0));
  LogWarning("the network goes back: ", why);
  record_.set_why(why);
  // Without it an agent that starts now does the same.
  if (absl::Status kept = Write(Record::PHASE_PUTTING_BACK); !kept.ok()) LogError(kept.message());
  attempts_ = 0;
  ApplyBefore();
}

void NetworkChange::ApplyBefore() {
  timer_ = 0;
  ++attempts_;
  if (absl::Status written = WriteFiles(false); !written.ok()) {
    return BeforeAgain(std::string(written.message()));
  }
  const std::string stale =
      record_.before().ip() == record_.wanted().ip() ? "" : record_.wanted().ip();
  parts_.system->Apply(static_cast<NetworkTool>(record_.tool()), record_.card(),
                       record_.connection(), stale,
                       [this, stage = ++stage_, alive = alive_](const absl::Status& status) {
                         if (!*alive || stage != stage_) return;
                         if (!status.ok())
                           LogWarning("putting the network back: ", status.message());
                         AwaitBefore(status.ok() ? kLooksBack : 1, false);
                       });
}

void NetworkChange::AwaitBefore(int looks, bool direct) {
  if (record_.before().ip().empty() || InForce(record_.before())) return Over();
  if (looks > 1) {
    timer_ = parts_.loop->RunAfter(kLookAgainAfter, [this, looks, direct] {
      timer_ = 0;
      AwaitBefore(looks - 1, direct);
    });
    return;
  }
  if (direct) return BeforeAgain("the settings of before are not in force");
  parts_.system->ApplyDirectly(
      SettingsOf(record_.before(), record_.card(), ""),
      [this, stage = ++stage_, alive = alive_](const absl::Status& status) {
        if (!*alive || stage != stage_) return;
        if (!status.ok()) LogWarning("putting the network back by ip: ", status.message());
        AwaitBefore(1, true);
      });
}

void NetworkChange::BeforeAgain(const std::string& problem) {
  LogError("the network is not back: ", problem);
  // Told while there is a link at all; it goes on.
  if (attempts_ >= kAttempts && !told_) {
    told_ = true;
    parts_.commands->Settle(
        record_.command_id(),
        MakeError(absl::StatusCode::kAborted, "NETWORK_PUT_BACK",
                  absl::StrCat(record_.why(), "; the old settings are not back yet: ", problem)),
        {});
  }
  After(kAttemptPause, &NetworkChange::ApplyBefore);
}

void NetworkChange::Over() {
  ++stage_;
  if (absl::Status kept = Write(Record::PHASE_PUT_BACK); !kept.ok()) LogError(kept.message());
  LogInfo("the network of ", record_.card(), " is as before: ", record_.before().ip());
  parts_.connect_anew();
  TellEnd();
}

// ---------------------------------------------------------------- the end

void NetworkChange::TellEnd() {
  parts_.loop->CancelTimer(std::exchange(timer_, 0));
  parts_.urgent(false);
  const bool kept = record_.phase() == Record::PHASE_KEPT;
  absl::Status status;
  if (!kept) {
    status = MakeError(absl::StatusCode::kAborted, "NETWORK_PUT_BACK",
                       absl::StrCat(record_.why(), "; the settings of before are in force again"));
    v1::AgentEvent event;
    event.mutable_network_put_back()->set_command_id(record_.command_id());
    event.mutable_network_put_back()->set_why(record_.why());
    parts_.tell(std::move(event));
  }
  // Durable there before it is forgotten here.
  const std::string id = record_.command_id();
  if (aborted_) {
    std::exchange(aborted_, nullptr)(absl::OkStatus());
  } else {
    parts_.commands->Settle(id, status, {});
  }
  if (unlink(path_.c_str()) != 0) LogError(FileError(path_, "removing").message());
  open_ = settled_ = welcomed_ = told_ = false;
  record_.Clear();
}

void NetworkChange::Abort(std::function<void(absl::Status)> ended) {
  if (asking_) {
    asking_ = false;
    return ended(absl::OkStatus());
  }
  if (!open_) return ended(absl::OkStatus());
  aborted_ = std::move(ended);
  const bool over =
      record_.phase() == Record::PHASE_PUTTING_BACK || record_.phase() == Record::PHASE_PUT_BACK;
  if (!over) PutBack("it was cancelled");
}

// What an agent of before, or the machine of before its restart, left open.
void NetworkChange::TakeUp() {
  switch (record_.phase()) {
    case Record::PHASE_KEPT:
    case Record::PHASE_PUT_BACK:
      return TellEnd();
    case Record::PHASE_APPLIED:
      LogInfo("a change of the network waits for the controller");
      problem_ = "the controller could not be reached over the new settings";
      ArmDeadline();
      return Check();
    default:
      break;
  }
  const std::string why = record_.why().empty()
                              ? "the agent or the machine ended in the middle of the change"
                              : record_.why();
  parts_.system->StopStrays([this, why, stage = ++stage_, alive = alive_] {
    if (*alive && stage == stage_) PutBack(why);
  });
}

void NetworkChange::ArmDeadline() {
  const absl::Duration whole = record_.wanted().deadline_seconds() > 0
                                   ? absl::Seconds(record_.wanted().deadline_seconds())
                                   : kStandardDeadline;
  absl::Duration left =
      record_.boot_id() == parts_.boot_id
          ? absl::Milliseconds(record_.deadline_uptime()) - parts_.loop->clock().Uptime()
          : FromProto(record_.deadline()) - parts_.loop->clock().Now();
  // A wall clock may be anywhere after a start.
  left = std::clamp(left, absl::ZeroDuration(), whole);
  deadline_ = parts_.loop->RunAfter(left, [this, whole] {
    deadline_ = 0;
    PutBack(absl::StrCat(problem_, " within ", FormatDuration(whole)));
  });
}

void NetworkChange::After(absl::Duration delay, void (NetworkChange::*what)()) {
  parts_.loop->CancelTimer(timer_);
  timer_ = parts_.loop->RunAfter(delay, [this, what] {
    timer_ = 0;
    (this->*what)();
  });
}

absl::Status NetworkChange::Write(Record::Phase phase) {
  const Record::Phase before = record_.phase();
  record_.set_phase(phase);
  absl::Status written = WriteMessage(path_, record_);
  // A phase that is not on disk is not reached, but for going back.
  if (!written.ok() && phase <= Record::PHASE_KEPT && phase != Record::PHASE_PUTTING_BACK) {
    record_.set_phase(before);
  }
  return written;
}

absl::Status NetworkChange::WriteFiles(bool fresh) {
  absl::Status first;
  for (const v1::SavedFile& file : record_.files()) {
    absl::Status written = fresh ? WriteKeptFile(parts_.root, file, file.new_text())
                                 : RestoreKeptFile(parts_.root, file);
    // The way back goes as far as it can.
    if (fresh && !written.ok()) return written;
    first.Update(written);
  }
  return first;
}

bool NetworkChange::InForce(const v1::SetNetwork& settings) const {
  const CardState state = parts_.system->Read(record_.card());
  const bool has =
      std::any_of(state.addresses.begin(), state.addresses.end(), [&](const auto& address) {
        return address.first == settings.ip() && address.second == settings.netmask();
      });
  return has && state.gateway == settings.gateway();
}

}  // namespace drover::agent
