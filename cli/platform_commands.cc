// About the platform itself: whether all is well and what to do when not, test mail.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/fields.h"
#include "cli/first_contact.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/people.pb.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::cli {
namespace {

using Check = v1::PlatformHealth::Check;

constexpr absl::Duration kAnswerIn = absl::Seconds(10);
// Until then a certificate can be renewed in peace.
constexpr absl::Duration kRenewBefore = absl::Hours(24 * 30);
// Sessions, curves and the log are read wrongly by somebody whose clock differs by more.
constexpr absl::Duration kClockMayDiffer = absl::Seconds(5);

// The checks that are made from here, in order; the first that fails says with which code to end.
struct Findings {
  v1::PlatformHealth health;
  absl::Status first_failure;

  void Add(absl::string_view name, Check::State state, absl::string_view finding,
           absl::string_view advice = "") {
    Check* check = health.add_checks();
    check->set_name(std::string(name));
    check->set_state(state);
    check->set_finding(std::string(finding));
    check->set_advice(std::string(advice));
  }
  void AddFailure(absl::string_view name, const absl::Status& status) {
    Add(name, Check::STATE_ERROR, status.message(), HintFor(status));
    if (first_failure.ok()) first_failure = status;
  }
};

// The controller answers, and its certificate is of the authority that was confirmed.
absl::Status CheckController(const Context& context, absl::Time now, Findings& findings) {
  DROVER_ASSIGN_OR_RETURN(const PresentedAuthority shown,
                          FetchAuthority(context.server, kAnswerIn));
  if (!SameFingerprint(FingerprintOf(context.authority), shown.fingerprint)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "CERTIFICATE_REFUSED",
                     absl::StrCat(context.server, " shows another authority than was confirmed: ",
                                  shown.fingerprint));
  }
  const std::string until = LocalTime(shown.not_after);
  if (shown.not_after < now) {
    return absl::FailedPreconditionError(absl::StrCat("the authority's certificate ended ", until));
  }
  const bool soon = shown.not_after - now < kRenewBefore;
  findings.Add("controller", soon ? Check::STATE_WARNING : Check::STATE_OK,
               absl::StrCat(context.server,
                            " answers; its authority is the confirmed one, valid until ", until),
               soon ? "have the authority renewed, and sign in again afterwards" : "");
  return absl::OkStatus();
}

absl::Status CheckSession(Client& client, Findings& findings) {
  v1::GetSelfRequest request;
  v1::User self;
  DROVER_RETURN_IF_ERROR(client.Call("PeopleService/GetSelf", request, &self, kAnswerIn));
  const bool must_change = self.must_change_password();
  findings.Add("session", must_change ? Check::STATE_WARNING : Check::STATE_OK,
               absl::StrCat("signed in as ", IdOf(self.name()), " (", FieldText(self, "role"), ")"),
               must_change ? "choose a password of your own with: drover user passwd" : "");
  return absl::OkStatus();
}

// What both sides can tell only together: versions and clocks.
void CompareWithHere(const v1::PlatformHealth& there, absl::Time before, absl::Time after,
                     Findings& findings) {
  const bool same = there.version() == DROVER_VERSION;
  findings.Add(
      "version", same ? Check::STATE_OK : Check::STATE_WARNING,
      absl::StrCat("this program is ", DROVER_VERSION, ", the controller ", there.version()),
      same ? "" : "install the same version of both");
  if (!there.has_time()) return;
  const absl::Time controller = FromProto(there.time());
  const absl::Duration ahead = controller > after    ? controller - after
                               : controller < before ? controller - before
                                                     : absl::ZeroDuration();
  const bool far = absl::AbsDuration(ahead) > kClockMayDiffer;
  findings.Add(
      "clocks", far ? Check::STATE_WARNING : Check::STATE_OK,
      far ? absl::StrCat("the controller's clock is ", HumanDuration(absl::AbsDuration(ahead)),
                         ahead > absl::ZeroDuration() ? " ahead of" : " behind", " this machine's")
          : std::string("the controller's clock and this machine's agree"),
      far ? "keep both by NTP, e.g. with chrony or systemd-timesyncd" : "");
}

absl::Status CheckPlatform(Invocation& invocation, Findings& findings) {
  v1::GetPlatformHealthRequest request;
  v1::PlatformHealth there;
  const absl::Time before = invocation.terminal.Now();
  DROVER_RETURN_IF_ERROR(
      invocation.client.Call(invocation.command.method, request, &there, absl::Minutes(1)));
  CompareWithHere(there, before, invocation.terminal.Now(), findings);
  findings.health.mutable_checks()->MergeFrom(there.checks());
  there.clear_checks();
  findings.health.MergeFrom(there);
  return absl::OkStatus();
}

// Each check needs what the one before it has found to be well.
void CheckAll(Invocation& invocation, Findings& findings) {
  const auto context = invocation.client.CurrentContext();
  if (!context.ok()) return findings.AddFailure("context", context.status());
  const absl::Status controller = CheckController(*context, invocation.terminal.Now(), findings);
  if (!controller.ok()) return findings.AddFailure("controller", controller);
  const absl::Status session = CheckSession(invocation.client, findings);
  if (!session.ok()) return findings.AddFailure("session", session);
  const absl::Status platform = CheckPlatform(invocation, findings);
  if (absl::IsUnimplemented(platform)) {
    findings.Add("platform", Check::STATE_WARNING, "the controller does not tell how it is",
                 "install this program's version of the controller");
  } else if (!platform.ok()) {
    findings.AddFailure("platform", platform);
  }
}

void PrintFindings(Invocation& invocation, const v1::PlatformHealth& health) {
  Terminal& terminal = invocation.terminal;
  const bool symbols = terminal.ShowsSymbols() && terminal.out_is_tty();
  size_t width = 0;
  for (const Check& check : health.checks()) width = std::max(width, check.name().size());
  for (const Check& check : health.checks()) {
    const Cell state =
        StateCell(*Check::State_descriptor()->FindValueByNumber(check.state()), symbols);
    terminal.Print(absl::StrCat(terminal.Paint(state.colour, Pad(state.text, 10)),
                                Pad(check.name(), static_cast<int>(width) + 2), check.finding(),
                                "\n"));
    if (check.advice().empty()) continue;
    terminal.Print(
        absl::StrCat(std::string(width + 12, ' '), symbols ? "→ " : "do: ", check.advice(), "\n"));
  }
}

absl::Status Doctor(Invocation& invocation) {
  Findings findings;
  CheckAll(invocation, findings);
  if (invocation.shows_table() && invocation.output.columns.empty()) {
    PrintFindings(invocation, findings.health);
  } else {
    DROVER_RETURN_IF_ERROR(PrintList(invocation.terminal, invocation.output, findings.health));
  }
  const auto& checks = findings.health.checks();
  const auto wrong = std::count_if(checks.begin(), checks.end(), [](const Check& check) {
    return check.state() == Check::STATE_ERROR;
  });
  if (wrong == 0) return absl::OkStatus();
  return MakeError(
      findings.first_failure.ok() ? absl::StatusCode::kInternal : findings.first_failure.code(),
      "NOT_WELL", absl::StrCat(wrong, " of ", checks.size(), " checks found something wrong"));
}

}  // namespace

std::vector<Command> PlatformCommands() {
  return {
      {.path = "doctor",
       .summary = "Check the platform from here to its hosts, and say what to do.",
       .method = "ActivityService/GetPlatformHealth",
       .examples = {"drover doctor", "drover doctor -o json"},
       .notes = "Ends with 0 when nothing is wrong (warnings may be shown), 1 when a check of the "
                "controller found something\nwrong, 4 when you are not signed in, 5 when its "
                "certificate is not the confirmed one, 6 when it cannot be reached.",
       .run = Doctor},
      {.path = "mail test",
       .summary = "Send a test mail at once and tell what the mail server said.",
       .method = "ActivityService/SendTestMail",
       .arguments = {{.name = "ADDRESS", .field = "to", .help = "mail address", .required = true}},
       .flags = {{.name = "language",
                  .field = "language",
                  .help = "en or zh-CN; without it, the language of the user with this address"}},
       .examples = {"drover mail test ops@example.com"},
       .done = "The mail server took a test mail to {}."},
  };
}

}  // namespace drover::cli
