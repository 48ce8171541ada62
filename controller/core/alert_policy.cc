#include "controller/core/alert_policy.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::v1::Event;

std::string AttributeOf(const Event& event, const char* name) {
  auto found = event.attributes().find(name);
  return found == event.attributes().end() ? "" : found->second;
}

Notice NoticeOf(const Event& event, absl::string_view matter, Notice::Kind kind, absl::Time now) {
  Notice notice;
  notice.set_kind(kind);
  notice.set_matter(std::string(matter));
  notice.set_vm(event.vm());
  notice.set_ip(event.ip());
  notice.set_environment(event.environment());
  notice.set_type(event.type());
  if (absl::StartsWith(event.kind(), "hypervisor.")) {
    notice.set_hypervisor(event.subject());
  } else {
    notice.set_service(event.subject());
  }
  *notice.mutable_time() = event.has_time() ? event.time() : ToProto(now);
  notice.set_died_at(AttributeOf(event, "died_at"));
  notice.set_recovered_at(AttributeOf(event, "recovered_at"));
  notice.set_attempts(AttributeOf(event, "attempts"));
  const std::string output = AttributeOf(event, "last_output");
  notice.set_detail(output.empty() ? AttributeOf(event, "detail") : output);
  if (kind == Notice::HOST_DOWN) notice.set_detail(event.message());
  return notice;
}

Notice::Kind KindOf(const Event& event) {
  if (event.kind() == "service.given_up") return Notice::GIVEN_UP;
  if (event.kind() == "service.recovered") return Notice::RECOVERED;
  if (event.kind() == "service.unhealthy") return Notice::UNHEALTHY;
  if (event.kind() == "vm.reachable") return Notice::VM_BACK;
  if (event.kind() == "hypervisor.lost") return Notice::HOST_DOWN;
  if (event.kind() == "hypervisor.connected") return Notice::HOST_BACK;
  // One that was ordered is no error.
  if (event.kind() == "vm.unreachable" && event.severity() == Event::SEVERITY_ERROR) {
    return Notice::VM_UNREACHABLE;
  }
  return Notice::KIND_UNSPECIFIED;
}

bool IsBack(Notice::Kind kind) {
  return kind == Notice::RECOVERED || kind == Notice::VM_BACK || kind == Notice::HOST_BACK;
}

// The state after it, and whether owners have something to learn from it.
bool Apply(AlertState& state, Notice::Kind kind) {
  switch (kind) {
    case Notice::GIVEN_UP: {
      const bool news = !state.given_up();
      state.set_given_up(true);
      state.set_unhealthy(false);
      return news;
    }
    case Notice::UNHEALTHY: {
      const bool news = !state.unhealthy() && !state.given_up();
      state.set_unhealthy(true);
      return news;
    }
    case Notice::VM_UNREACHABLE:
    case Notice::HOST_DOWN: {
      const bool news = !state.down();
      state.set_down(true);
      return news;
    }
    case Notice::VM_BACK:
    case Notice::HOST_BACK: {
      const bool news = state.down() && !state.silenced();
      state.set_down(false);
      state.set_silenced(false);
      return news;
    }
    default: {
      const bool news = state.given_up() || state.unhealthy();
      state.set_given_up(false);
      state.set_unhealthy(false);
      return news;
    }
  }
}

// How it is now, as a kind.
Notice::Kind PresentKind(const AlertState& state) {
  if (state.given_up()) return Notice::GIVEN_UP;
  if (state.unhealthy()) return Notice::UNHEALTHY;
  switch (state.last().kind()) {
    case Notice::VM_UNREACHABLE:
    case Notice::VM_BACK:
      return state.down() ? Notice::VM_UNREACHABLE : Notice::VM_BACK;
    case Notice::HOST_DOWN:
    case Notice::HOST_BACK:
      return state.down() ? Notice::HOST_DOWN : Notice::HOST_BACK;
    default:
      return Notice::RECOVERED;
  }
}

void TellOf(Judgement& judgement, Notice::Kind kind, absl::Time now) {
  Notice notice = judgement.state.last();
  notice.set_kind(kind);
  notice.set_folded(judgement.state.folded());
  judgement.state.set_folded(0);
  *judgement.state.mutable_mailed_at() = ToProto(now);
  judgement.notice = std::move(notice);
}

}  // namespace

std::optional<Judgement> Judge(const Event& event, absl::string_view matter,
                               const std::optional<AlertState>& known, absl::Time now) {
  const Notice::Kind kind = KindOf(event);
  if (kind == Notice::KIND_UNSPECIFIED) return std::nullopt;
  const bool vm_or_host = kind >= Notice::VM_UNREACHABLE;
  // A VM or host that is there and was never missed: every start tells of it.
  if (vm_or_host && IsBack(kind) && (!known || !known->down())) return std::nullopt;
  Judgement judgement;
  AlertState& state = judgement.state;
  if (known) state = *known;
  const bool recent =
      known && known->has_mailed_at() && now - FromProto(known->mailed_at()) < kFoldTime;
  const bool news = Apply(state, kind);
  *state.mutable_last() = NoticeOf(event, matter, kind, now);
  *state.mutable_last_event_time() = ToProto(now);
  // A recovery without an outage that was told is an outage of its own.
  const bool outage = !IsBack(kind) || (!vm_or_host && !news);
  if (state.flapping() || (!news && (kind != Notice::RECOVERED || recent))) {
    if (outage) state.set_folded(state.folded() + 1);
    if (!state.flapping() && recent && state.folded() >= kFlaps) {
      state.set_flapping(true);
      TellOf(judgement, Notice::FLAPPING, now);
    }
    return judgement;
  }
  // What was told, went away and is there again within the time is as good as a repeat.
  if (vm_or_host && outage && recent) state.set_folded(state.folded() + 1);
  if (vm_or_host && state.folded() >= kFlaps) {
    state.set_flapping(true);
    TellOf(judgement, Notice::FLAPPING, now);
    return judgement;
  }
  const int folded = state.folded();
  TellOf(judgement, kind, now);
  // Of those, each was told.
  if (vm_or_host) {
    judgement.notice->set_folded(0);
    state.set_folded(recent ? folded : 0);
  }
  return judgement;
}

std::optional<Judgement> Settle(const AlertState& known, absl::Time now) {
  if (!known.flapping() || now - FromProto(known.last_event_time()) < kFoldTime) {
    return std::nullopt;
  }
  Judgement judgement;
  judgement.state = known;
  judgement.state.set_flapping(false);
  TellOf(judgement, PresentKind(known), now);
  return judgement;
}

absl::Time DueTime(const Notice& notice, absl::Duration gather) {
  const bool silent_vm = notice.kind() == Notice::VM_UNREACHABLE;
  return FromProto(notice.known_at()) + (silent_vm ? 4 * gather : gather);
}

Reduced Reduce(const std::vector<Notice>& notices, const std::set<std::string>& lost_hosts) {
  std::map<std::string, size_t> newest;
  std::map<std::string, size_t> first;
  for (size_t i = 0; i < notices.size(); ++i) {
    newest[notices[i].matter()] = i;
    first.emplace(notices[i].matter(), i);
  }
  Reduced reduced;
  for (size_t i = 0; i < notices.size(); ++i) {
    const Notice& notice = notices[i];
    if (newest[notice.matter()] != i) continue;
    const Notice::Kind began = notices[first[notice.matter()]].kind();
    const bool blip = (notice.kind() == Notice::VM_BACK && began == Notice::VM_UNREACHABLE) ||
                      (notice.kind() == Notice::HOST_BACK && began == Notice::HOST_DOWN);
    if (blip) continue;
    if (notice.kind() == Notice::VM_UNREACHABLE && lost_hosts.contains(notice.hypervisor())) {
      reduced.silenced.push_back(notice.matter());
      continue;
    }
    reduced.notices.push_back(notice);
  }
  return reduced;
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
