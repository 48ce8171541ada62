#include "controller/core/vm_events.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/core/vm_query.h"
#include "proto/support/resource_name.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::agent::v1::AgentEvent;
using drover::v1::Event;
using drover::v1::Vm;

constexpr size_t kLongestOutput = 4000;
constexpr absl::Duration kClockSlack = absl::Minutes(1);

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", FromProto(time), absl::UTCTimeZone());
}

std::string Where(const Vm& vm) {
  const std::string& address = AddressOf(vm);
  return address.empty() ? std::string(IdOf(vm.name()))
                         : absl::StrCat(IdOf(vm.name()), " (", address, ")");
}

void Attribute(Event& event, const char* name, const std::string& value) {
  if (!value.empty()) (*event.mutable_attributes())[name] = value;
}

// The end of it: that is where the reason stands.
std::string Tail(const std::string& output) {
  return output.size() <= kLongestOutput ? output : output.substr(output.size() - kLongestOutput);
}

Event Died(const AgentEvent& told, const Vm& vm) {
  const auto& died = told.service_died();
  Event event = VmEvent("service.died", Event::SEVERITY_ERROR, vm,
                        absl::StrCat("service ", died.service(), " of ", Where(vm), " died at ",
                                     TimeText(told.time()), ": ", died.how()));
  event.set_subject(died.service());
  Attribute(event, "how", died.how());
  Attribute(event, "pid", absl::StrCat(died.pid()));
  Attribute(event, "died_at", TimeText(told.time()));
  return event;
}

Event Recovered(const AgentEvent& told, const Vm& vm) {
  const auto& recovered = told.service_recovered();
  // One that did not answer for a while was not dead.
  const bool died = recovered.has_died_at();
  Event event = VmEvent(
      "service.recovered", Event::SEVERITY_INFO, vm,
      died ? absl::StrCat("service ", recovered.service(), " of ", Where(vm), " runs again since ",
                          TimeText(told.time()), " after ", recovered.attempts(),
                          recovered.attempts() == 1 ? " attempt" : " attempts", "; it died at ",
                          TimeText(recovered.died_at()))
           : absl::StrCat("service ", recovered.service(), " of ", Where(vm),
                          " answers again since ", TimeText(told.time())));
  event.set_subject(recovered.service());
  if (died) Attribute(event, "attempts", absl::StrCat(recovered.attempts()));
  Attribute(event, "pid", absl::StrCat(recovered.pid()));
  if (died) Attribute(event, "died_at", TimeText(recovered.died_at()));
  Attribute(event, "recovered_at", TimeText(told.time()));
  return event;
}

Event GivenUp(const AgentEvent& told, const Vm& vm) {
  const auto& given_up = told.service_given_up();
  Event event =
      VmEvent("service.given_up", Event::SEVERITY_ERROR, vm,
              absl::StrCat("service ", given_up.service(), " of ", Where(vm), " died at ",
                           TimeText(given_up.died_at()), " and does not start: given up after ",
                           given_up.attempts(), " attempts"));
  event.set_subject(given_up.service());
  Attribute(event, "attempts", absl::StrCat(given_up.attempts()));
  Attribute(event, "died_at", TimeText(given_up.died_at()));
  Attribute(event, "last_output", Tail(given_up.last_output()));
  return event;
}

Event Unhealthy(const AgentEvent& told, const Vm& vm) {
  const auto& unhealthy = told.service_unhealthy();
  Event event = VmEvent("service.unhealthy", Event::SEVERITY_ERROR, vm,
                        absl::StrCat("service ", unhealthy.service(), " of ", Where(vm),
                                     " is there but does not answer: ", unhealthy.detail()));
  event.set_subject(unhealthy.service());
  Attribute(event, "detail", Tail(unhealthy.detail()));
  return event;
}

Event MailSent(const AgentEvent& told, const Vm& vm) {
  const auto& sent = told.mail_sent();
  const std::string to = absl::StrJoin(sent.to(), ", ");
  Event event = sent.problem().empty()
                    ? VmEvent("agent.mail_sent", Event::SEVERITY_INFO, vm,
                              absl::StrCat("the agent of ", Where(vm), " told ", to, " itself: ",
                                           sent.subject(), "; the controller was out of its reach"))
                    : VmEvent("agent.mail_sent", Event::SEVERITY_WARNING, vm,
                              absl::StrCat("the agent of ", Where(vm), " could not tell ", to,
                                           " itself: ", sent.problem()));
  event.set_subject(sent.service());
  Attribute(event, "to", to);
  Attribute(event, "subject", sent.subject());
  Attribute(event, "problem", sent.problem());
  return event;
}

Event NetworkPutBack(const AgentEvent& told, const Vm& vm) {
  const auto& put_back = told.network_put_back();
  Event event =
      VmEvent("network.put_back", Event::SEVERITY_WARNING, vm,
              absl::StrCat("the network of ", Where(vm), " is as before: ", put_back.why()));
  Attribute(event, "why", Tail(put_back.why()));
  return event;
}

Event Described(const AgentEvent& told, const Vm& vm) {
  switch (told.event_case()) {
    case AgentEvent::kServiceDied:
      return Died(told, vm);
    case AgentEvent::kServiceRecovered:
      return Recovered(told, vm);
    case AgentEvent::kServiceGivenUp:
      return GivenUp(told, vm);
    case AgentEvent::kServiceUnhealthy:
      return Unhealthy(told, vm);
    case AgentEvent::kAgentStarted:
      return VmEvent("agent.started", Event::SEVERITY_INFO, vm,
                     absl::StrCat("agent ", told.agent_started().version(), " of ", Where(vm),
                                  " started: ", told.agent_started().reason()));
    case AgentEvent::kEventsDropped:
      return VmEvent("agent.events_dropped", Event::SEVERITY_WARNING, vm,
                     absl::StrCat(told.events_dropped().count(), " events of ", Where(vm),
                                  " between ", TimeText(told.events_dropped().first_time()),
                                  " and ", TimeText(told.events_dropped().last_time()),
                                  " are lost: its outbox was full"));
    case AgentEvent::kMailSent:
      return MailSent(told, vm);
    case AgentEvent::kNetworkPutBack:
      return NetworkPutBack(told, vm);
    case AgentEvent::EVENT_NOT_SET:
      break;
  }
  return VmEvent("agent.event", Event::SEVERITY_INFO, vm,
                 absl::StrCat("the agent of ", Where(vm),
                              " tells what this controller does not "
                              "know"));
}

}  // namespace

Event VmEvent(absl::string_view kind, Event::Severity severity, const Vm& vm,
              absl::string_view message) {
  Event event;
  event.set_kind(std::string(kind));
  event.set_severity(severity);
  event.set_vm(vm.name());
  event.set_environment(vm.environment());
  event.set_type(vm.type());
  event.set_ip(AddressOf(vm));
  event.set_message(std::string(message));
  return event;
}

Event EventOfAgent(const AgentEvent& told, const Vm& vm, absl::Time now) {
  Event event = Described(told, vm);
  bool usable = told.has_time() && FromProto(told.time()) <= now + kClockSlack;
  *event.mutable_time() = usable ? told.time() : ToProto(now);
  return event;
}

std::optional<drover::v1::LogEntry> EntryOfRecovery(const Event& event) {
  if (event.kind() != "service.recovered") return std::nullopt;
  drover::v1::LogEntry entry;
  entry.set_kind(drover::v1::LOG_KIND_ERROR);
  entry.set_user("system");
  entry.set_vm(event.vm());
  entry.set_vm_type(event.type());
  entry.set_environment(event.environment());
  entry.set_action(event.kind());
  entry.set_resource_name(event.subject());
  entry.set_result("OK");
  entry.set_detail(event.message());
  return entry;
}

}  // namespace drover::core
