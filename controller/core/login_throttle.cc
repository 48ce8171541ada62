#include "controller/core/login_throttle.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

constexpr size_t kMostEntries = 10000;
constexpr absl::Duration kForget = absl::Hours(1);
// Attempts under way at a time, before and after failures: many at once would all be let through
// before the first of them has failed.
constexpr int kAtOnce = 32;
constexpr int kAtOnceWhenSlow = 1;

absl::Status SlowedDown(absl::Duration wait) {
  const int64_t seconds =
      std::max<int64_t>(1, absl::ToInt64Seconds(absl::Ceil(wait, absl::Seconds(1))));
  absl::Status status =
      MakeError(absl::StatusCode::kResourceExhausted, "LOGIN_SLOWED_DOWN",
                absl::StrCat("too many failed attempts; try again in ", seconds, " s"),
                {{"retry_after_seconds", absl::StrCat(seconds)}});
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(seconds);
  status.SetPayload(absl::StrCat("type.googleapis.com/", retry.GetDescriptor()->full_name()),
                    absl::Cord(retry.SerializeAsString()));
  return status;
}

}  // namespace

// A name may be attacked from many addresses to lock its owner out, so it waits a minute at most.
LoginThrottle::LoginThrottle(Clock* clock)
    : clock_(clock),
      users_{{5, absl::Minutes(1)}, {}, {}},
      addresses_{{20, absl::Minutes(15)}, {}, {}} {}

LoginThrottle::Entry& LoginThrottle::Touch(Book& book, absl::string_view key, absl::Time now) {
  const auto found = book.by_key.find(key);
  if (found != book.by_key.end()) {
    book.entries.splice(book.entries.begin(), book.entries, found->second);
    Entry& entry = book.entries.front();
    if (now - entry.last > kForget) entry.failures = 0;
    entry.last = now;
    return entry;
  }
  if (book.entries.size() >= kMostEntries) {
    book.by_key.erase(book.entries.back().key);
    book.entries.pop_back();
  }
  book.entries.push_front({.key = std::string(key), .last = now});
  book.by_key[key] = book.entries.begin();
  return book.entries.front();
}

absl::Duration LoginThrottle::WaitOf(const Book& book, const Entry& entry, absl::Time now) {
  if (now < entry.blocked_until) return entry.blocked_until - now;
  const int at_once = entry.failures >= book.rules.free_failures ? kAtOnceWhenSlow : kAtOnce;
  return entry.in_flight >= at_once ? absl::Seconds(1) : absl::ZeroDuration();
}

absl::Status LoginThrottle::Begin(absl::string_view user, absl::string_view address) {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_->Now();
  Entry& by_user = Touch(users_, user, now);
  Entry& by_address = Touch(addresses_, address, now);
  const absl::Duration wait =
      std::max(WaitOf(users_, by_user, now), WaitOf(addresses_, by_address, now));
  if (wait > absl::ZeroDuration()) return SlowedDown(wait);
  ++by_user.in_flight;
  ++by_address.in_flight;
  return absl::OkStatus();
}

void LoginThrottle::Settle(Book& book, absl::string_view key, absl::Time now, bool failed,
                           bool forget) {
  Entry& entry = Touch(book, key, now);
  // Less than one when it was let go of meanwhile.
  entry.in_flight = std::max(0, entry.in_flight - 1);
  if (forget) entry.failures = 0;
  if (!failed) return;
  ++entry.failures;
  const int beyond = entry.failures - book.rules.free_failures;
  if (beyond < 0) return;
  const absl::Duration delay =
      std::min(book.rules.longest, absl::Seconds(int64_t{1} << std::min(beyond, 20)));
  entry.blocked_until = now + delay;
}

void LoginThrottle::End(absl::string_view user, absl::string_view address, bool success) {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_->Now();
  Settle(users_, user, now, !success, success);
  Settle(addresses_, address, now, !success, false);
}

int LoginThrottle::tracked() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int>(users_.entries.size() + addresses_.entries.size());
}

}  // namespace drover::core
