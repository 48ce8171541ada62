#include "cli/doctor.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "cli/errors.h"
#include "cli/fields.h"
#include "cli/first_contact.h"
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

void Add(Findings& findings, absl::string_view name, Check::State state, absl::string_view finding,
         absl::string_view advice = "") {
  Check* check = findings.health.add_checks();
  check->set_name(std::string(name));
  check->set_state(state);
  check->set_finding(std::string(finding));
  check->set_advice(std::string(advice));
}

void AddFailure(Findings& findings, absl::string_view name, const absl::Status& status) {
  Add(findings, name, Check::STATE_ERROR, status.message(), HintFor(status));
  if (findings.first_failure.ok()) findings.first_failure = status;
}

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
  Add(findings, "controller", soon ? Check::STATE_WARNING : Check::STATE_OK,
      absl::StrCat(context.server, " answers; its authority is the confirmed one, valid until ",
                   until),
      soon ? "have the authority renewed, and sign in again afterwards" : "");
  return absl::OkStatus();
}

absl::Status CheckSession(Client& client, Findings& findings) {
  v1::GetSelfRequest request;
  v1::User self;
  DROVER_RETURN_IF_ERROR(client.Call("PeopleService/GetSelf", request, &self, kAnswerIn));
  const bool must_change = self.must_change_password();
  Add(findings, "session", must_change ? Check::STATE_WARNING : Check::STATE_OK,
      absl::StrCat("signed in as ", IdOf(self.name()), " (", FieldText(self, "role"), ")"),
      must_change ? "choose a password of your own with: drover user passwd" : "");
  return absl::OkStatus();
}

// What both sides can tell only together: versions and clocks.
void CompareWithHere(const v1::PlatformHealth& there, absl::Time before, absl::Time after,
                     Findings& findings) {
  const bool same = there.version() == DROVER_VERSION;
  Add(findings, "version", same ? Check::STATE_OK : Check::STATE_WARNING,
      absl::StrCat("this program is ", DROVER_VERSION, ", the controller ", there.version()),
      same ? "" : "install the same version of both");
  if (!there.has_time()) return;
  const absl::Time controller = FromProto(there.time());
  const absl::Duration ahead = controller > after    ? controller - after
                               : controller < before ? controller - before
                                                     : absl::ZeroDuration();
  const bool far = absl::AbsDuration(ahead) > kClockMayDiffer;
  Add(findings, "clocks", far ? Check::STATE_WARNING : Check::STATE_OK,
      far ? absl::StrCat("the controller's clock is ", HumanDuration(absl::AbsDuration(ahead)),
                         ahead > absl::ZeroDuration() ? " ahead of" : " behind", " this machine's")
          : std::string("the controller's clock and this machine's agree"),
      far ? "keep both by NTP, e.g. with chrony or systemd-timesyncd" : "");
}

absl::Status CheckPlatform(Invocation& invocation, Findings& findings) {
  v1::GetPlatformHealthRequest request;
  v1::PlatformHealth there;
  const absl::Time before = invocation.terminal.Now();
  DROVER_RETURN_IF_ERROR(invocation.client.Call("ActivityService/GetPlatformHealth", request,
                                                &there, absl::Minutes(1)));
  CompareWithHere(there, before, invocation.terminal.Now(), findings);
  findings.health.mutable_checks()->MergeFrom(there.checks());
  there.clear_checks();
  findings.health.MergeFrom(there);
  return absl::OkStatus();
}

// Each check needs what the one before it has found to be well.
void CheckInOrder(Invocation& invocation, Findings& findings) {
  const auto context = invocation.client.CurrentContext();
  if (!context.ok()) return AddFailure(findings, "context", context.status());
  const absl::Status controller = CheckController(*context, invocation.terminal.Now(), findings);
  if (!controller.ok()) return AddFailure(findings, "controller", controller);
  const absl::Status session = CheckSession(invocation.client, findings);
  if (!session.ok()) return AddFailure(findings, "session", session);
  const absl::Status platform = CheckPlatform(invocation, findings);
  if (absl::IsUnimplemented(platform)) {
    Add(findings, "platform", Check::STATE_WARNING, "the controller does not tell how it is",
        "install this program's version of the controller");
  } else if (!platform.ok()) {
    AddFailure(findings, "platform", platform);
  }
}

}  // namespace

Findings CheckAll(Invocation& invocation) {
  Findings findings;
  CheckInOrder(invocation, findings);
  return findings;
}

}  // namespace drover::cli
