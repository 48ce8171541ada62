#include "controller/core/alert_policy.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/support/resource_name.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::v1::Event;

std::string AttributeOf(const Event& event, const char* name) {
  auto found = event.attributes().find(name);
  return found == event.attributes().end() ? "" : found->second;
}

std::string Body(const Event& event, int folded) {
  std::string text = absl::StrCat(event.message(), "\n\n");
  auto line = [&text](absl::string_view name, absl::string_view value) {
    if (!value.empty()) absl::StrAppend(&text, name, ": ", value, "\n");
  };
  line("VM", IdOf(event.vm()));
  line("Address", event.ip());
  line("Environment", IdOf(event.environment()));
  line("Type", IdOf(event.type()));
  line("Service", event.subject());
  line("Died", AttributeOf(event, "died_at"));
  line("Recovered", AttributeOf(event, "recovered_at"));
  line("Attempts", AttributeOf(event, "attempts"));
  if (folded > 0) {
    absl::StrAppend(&text, "Since the last mail it died and came back ", folded,
                    folded == 1 ? " more time" : " more times", " that no mail told of.\n");
  }
  std::string output = AttributeOf(event, "last_output");
  if (!output.empty()) absl::StrAppend(&text, "\nLast output:\n", output, "\n");
  absl::StrAppend(&text, "\nYou get this mail as an owner of the service or of its VM type.\n");
  return text;
}

Mail MailAbout(const Event& event, bool given_up, int folded,
               const std::vector<std::string>& owners) {
  Mail mail;
  mail.to = owners;
  mail.subject = absl::StrCat(
      given_up ? "[Drover] given up: " : "[Drover] recovered: ", event.subject(), " on ",
      IdOf(event.vm()), event.ip().empty() ? "" : absl::StrCat(" (", event.ip(), ")"));
  mail.text = Body(event, folded);
  mail.thread = absl::StrCat(IdOf(event.vm()), ".", event.subject());
  return mail;
}

}  // namespace

std::optional<AlertDecision> DecideAlert(const Event& event,
                                         const std::optional<AlertRecord>& known,
                                         const std::vector<std::string>& owners, absl::Time now) {
  bool given_up = event.kind() == "service.given_up";
  if (!given_up && event.kind() != "service.recovered") return std::nullopt;
  AlertDecision decision;
  if (known) decision.record = *known;
  decision.record.set_vm(event.vm());
  decision.record.set_service(event.subject());
  bool open = known && known->given_up();
  bool recent = known && now - FromProto(known->mailed_at()) < kFoldTime;
  if (given_up ? open : (!open && recent)) {
    decision.record.set_folded(decision.record.folded() + 1);
    return decision;
  }
  decision.mail = MailAbout(event, given_up, decision.record.folded(), owners);
  decision.record.set_given_up(given_up);
  decision.record.set_folded(0);
  *decision.record.mutable_mailed_at() = ToProto(now);
  return decision;
}

std::vector<std::string> OwnersOf(const drover::v1::VmType& type, absl::string_view service) {
  std::vector<std::string> owners;
  auto add = [&owners](const std::string& owner) {
    if (std::find(owners.begin(), owners.end(), owner) == owners.end()) owners.push_back(owner);
  };
  for (const auto& spec : type.services()) {
    if (spec.name() != service) continue;
    for (const std::string& owner : spec.owners()) add(owner);
  }
  for (const std::string& owner : type.owners()) add(owner);
  return owners;
}

}  // namespace drover::core
