#include "cli/progress.h"

#include <algorithm>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/fields.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::cli {
namespace {

using v1::Operation;

constexpr absl::Duration kGiveUpAfter = absl::Minutes(5);
// A connection that died silently is found by opening a new stream now and then.
constexpr absl::Duration kStreamLife = absl::Minutes(5);

std::string Bar(int percent, bool symbols) {
  constexpr int kWidth = 20;
  const int full = std::clamp(percent, 0, 100) * kWidth / 100;
  std::string bar;
  for (int i = 0; i < kWidth; ++i) {
    bar += i < full ? (symbols ? "█" : "#") : (symbols ? "░" : ".");
  }
  return bar;
}

std::string WithDetail(absl::string_view text, absl::string_view detail) {
  return detail.empty() ? std::string(text) : absl::StrCat(text, ": ", detail);
}

// Running targets first, then failed ones, then those that wait.
int Rank(const Operation::Target& target) {
  switch (target.state()) {
    case Operation::Target::STATE_RUNNING:
      return 0;
    case Operation::Target::STATE_DELIVERED:
      return 1;
    case Operation::Target::STATE_QUEUED:
      return 3;
    case Operation::Target::STATE_SUCCEEDED:
      return 4;
    default:
      return 2;
  }
}

std::string TargetCounts(const Operation& operation) {
  int succeeded = 0;
  int failed = 0;
  for (const auto& target : operation.targets()) {
    succeeded += target.state() == Operation::Target::STATE_SUCCEEDED ? 1 : 0;
    failed += target.state() >= Operation::Target::STATE_FAILED ? 1 : 0;
  }
  return absl::StrCat(succeeded, " of ", operation.targets_size(), " done",
                      failed == 0 ? "" : absl::StrCat(", ", failed, " failed"));
}

template <typename T>
Cell StateOf(const T& message, bool symbols) {
  const auto* field = T::descriptor()->FindFieldByName("state");
  return StateCell(*message.GetReflection()->GetEnum(message, field), symbols);
}

absl::Status Detached(absl::StatusCode code, absl::string_view reason, absl::string_view why,
                      const Operation& operation) {
  const std::string id(IdOf(operation.name()));
  return MakeError(
      code, reason,
      absl::StrCat(why, ". \"", operation.title(), "\" goes on; see it with: drover ",
                   "operation watch ", id, ", stop it with: drover operation cancel ", id));
}

}  // namespace

void Progress::Show(const Operation& operation) {
  if (quiet_) return;
  if (terminal_.CanRedraw()) {
    Draw(operation);
  } else {
    TellChanges(operation);
  }
}

void Progress::Clear() {
  if (drawn_lines_ > 0) terminal_.TellRaw(absl::StrCat("\033[", drawn_lines_, "A\033[J"));
  drawn_lines_ = 0;
}

void Progress::Draw(const Operation& operation) {
  const bool symbols = terminal_.ShowsSymbols();
  const int width = terminal_.Width() - 1;
  const absl::Time start = FromProto(operation.create_time());
  std::vector<std::string> lines;
  std::string head = absl::StrFormat("%s  %s %3d%%", operation.title(),
                                     Bar(operation.percent(), symbols), operation.percent());
  if (operation.targets_size() > 1) absl::StrAppend(&head, "  ", TargetCounts(operation));
  if (operation.has_create_time() && terminal_.Now() > start) {
    absl::StrAppend(&head, "  ", HumanDuration(terminal_.Now() - start));
  }
  lines.push_back(Fit(head, width));
  const auto add = [&](const Cell& state, absl::string_view text) {
    lines.push_back(terminal_.Paint(state.colour,
                                    Fit(absl::StrCat("  ", state.text, "  ", text), width), true));
  };
  if (!operation.waits_for().empty()) {
    add({"waits for", Colour::kYellow}, absl::StrJoin(operation.waits_for(), ", "));
  }
  if (operation.targets_size() <= 1) {
    for (const auto& step : operation.steps()) {
      add(StateOf(step, symbols), WithDetail(step.title(), step.detail()));
    }
  } else {
    std::vector<const Operation::Target*> targets;
    for (const auto& target : operation.targets()) targets.push_back(&target);
    std::stable_sort(targets.begin(), targets.end(),
                     [](const auto* a, const auto* b) { return Rank(*a) < Rank(*b); });
    for (const auto* target : targets) {
      add(StateOf(*target, symbols),
          absl::StrFormat("%s %3d%%  %s", IdOf(target->vm()), target->percent(), target->detail()));
    }
  }
  const size_t room = static_cast<size_t>(std::max(3, terminal_.Height() - 2));
  if (lines.size() > room) {
    const size_t hidden = lines.size() - room + 1;
    lines.resize(room - 1);
    lines.push_back(absl::StrCat("  and ", hidden, " more"));
  }
  const std::string back =
      drawn_lines_ > 0 ? absl::StrCat("\033[", drawn_lines_, "A\033[J") : std::string();
  drawn_lines_ = static_cast<int>(lines.size());
  terminal_.TellRaw(absl::StrCat(back, absl::StrJoin(lines, "\n"), "\n"));
}

void Progress::TellOnce(const std::string& key, absl::string_view state, absl::string_view detail) {
  std::string& before = told_[key];
  if (before == state) return;
  before = std::string(state);
  const std::string time = absl::FormatTime("%H:%M:%S", terminal_.Now(), absl::LocalTimeZone());
  terminal_.Tell(WithDetail(absl::StrCat(time, " ", key, ": ", state), detail));
}

void Progress::TellChanges(const Operation& operation) {
  if (!operation.waits_for().empty()) {
    TellOnce(operation.title(), "waits", "for " + absl::StrJoin(operation.waits_for(), ", "));
  }
  for (const auto& step : operation.steps()) {
    if (step.state() == Operation::Step::STATE_PENDING) continue;
    TellOnce(absl::StrCat(operation.title(), ", ", step.title()), StateOf(step, false).text,
             step.detail());
  }
  if (operation.targets_size() <= 1) return;
  for (const auto& target : operation.targets()) {
    if (target.state() == Operation::Target::STATE_QUEUED) continue;
    TellOnce(std::string(IdOf(target.vm())), StateOf(target, false).text,
             target.has_error() ? target.error().message() : target.detail());
  }
}

bool IsDone(const Operation& operation) {
  switch (operation.state()) {
    case Operation::STATE_SUCCEEDED:
    case Operation::STATE_FAILED:
    case Operation::STATE_CANCELLED:
    case Operation::STATE_PARTLY_FAILED:
      return true;
    default:
      return false;
  }
}

absl::StatusOr<Operation> WaitForOperation(Client& client, Terminal& terminal,
                                           const Operation& operation, const WaitOptions& options) {
  const absl::Time give_up = terminal.Now() + options.timeout;
  absl::Time last_answer = terminal.Now();
  Operation latest = operation;
  Progress progress(terminal, options.quiet);
  progress.Show(latest);
  Interrupt interrupt;
  v1::WatchOperationRequest request;
  request.set_name(operation.name());
  bool told_of_loss = false;
  while (!IsDone(latest)) {
    const absl::Duration left = give_up - terminal.Now();
    DROVER_ASSIGN_OR_RETURN(auto stream, client.Stream("ActivityService/WatchOperation", request,
                                                       std::min(left, kStreamLife)));
    interrupt.Do([&stream] { stream->Cancel(); });
    while (!IsDone(latest) && stream->Read(&latest)) {
      last_answer = terminal.Now();
      told_of_loss = false;
      progress.Show(latest);
    }
    interrupt.Do([] {});
    if (IsDone(latest)) break;
    progress.Clear();
    const absl::Status why = stream->Finish();
    if (interrupt.happened()) {
      return Detached(absl::StatusCode::kCancelled, "INTERRUPTED", "no longer waiting", latest);
    }
    if (terminal.Now() >= give_up) {
      return Detached(absl::StatusCode::kDeadlineExceeded, "WAIT_TIMED_OUT",
                      absl::StrCat("not done after ", HumanDuration(options.timeout)), latest);
    }
    if (!why.ok() && !absl::IsUnavailable(why) && !absl::IsDeadlineExceeded(why)) return why;
    if (terminal.Now() - last_answer > kGiveUpAfter) {
      return Detached(absl::StatusCode::kUnavailable, "CONTROLLER_UNREACHABLE",
                      "the controller has not answered for five minutes", latest);
    }
    if (absl::IsUnavailable(why) && !told_of_loss && !options.quiet) {
      terminal.Tell("The connection to the controller is lost; trying again.");
      told_of_loss = true;
    }
    if (!absl::IsDeadlineExceeded(why)) interrupt.WaitFor(absl::Milliseconds(500));
  }
  progress.Clear();
  return latest;
}

absl::Status ResultOf(const Operation& operation) {
  if (operation.state() == Operation::STATE_SUCCEEDED) return absl::OkStatus();
  std::string text = absl::StrCat(operation.title(), ": ", StateOf(operation, false).text);
  for (const auto& step : operation.steps()) {
    if (step.state() == Operation::Step::STATE_FAILED) {
      absl::StrAppend(&text, " at \"", step.title(), "\"");
      break;
    }
  }
  if (operation.has_error()) absl::StrAppend(&text, ": ", operation.error().message());
  for (const auto& target : operation.targets()) {
    if (target.state() < Operation::Target::STATE_FAILED || operation.targets_size() == 1) continue;
    const std::string why = target.has_error() ? target.error().message() : target.detail();
    absl::StrAppend(&text, "\n  ", IdOf(target.vm()), ": ",
                    WithDetail(StateOf(target, false).text, why));
  }
  absl::StrAppend(&text, "\n  see: drover operation show ", IdOf(operation.name()));
  if (operation.state() == Operation::STATE_PARTLY_FAILED) {
    return MakeError(absl::StatusCode::kUnknown, "PARTLY_FAILED", text);
  }
  // How an operation failed does not decide the exit code, that it failed does.
  absl::Status result(absl::StatusCode::kUnknown, text);
  FromRpcStatus(operation.error())
      .ForEachPayload([&result](absl::string_view url, const absl::Cord& payload) {
        result.SetPayload(url, payload);
      });
  return result;
}

}  // namespace drover::cli
