// Owners told of outages: what is to be told is written in the transaction of the event it is
// about, gathered for a moment so that what belongs together makes one mail, and put into the mail
// queue for each recipient alone, in the recipient's language, and no more than so many in an hour.
//
// Thread promise: all methods from any thread; Start and Stop once. Survives a restart: everything.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/core/alert_records.pb.h"
#include "controller/core/alert_text.h"
#include "controller/core/event_log.h"
#include "controller/core/inventory.h"
#include "controller/core/mail_queue.h"
#include "controller/core/ports.h"

namespace drover::core {

struct AlertLimits {
  // Waited after the first notice for others that belong to it.
  absl::Duration gather = absl::Seconds(15);
  // To one recipient in an hour; what is more is told as a list when the hour is over.
  int mails_per_hour = 20;
};

class AlertDesk {
 public:
  AlertDesk(Store* store, Vault* vault, Inventory* inventory, MailQueue* mails, Clock* clock,
            AlertLimits limits = {});
  ~AlertDesk();

  // Before the first event: from now on what `events` records comes here.
  void Attend(EventLog* events);
  // Forgets what was told of VMs that are gone.
  absl::Status DropLeftovers();
  void Start();
  void Stop();

  // Makes mails of what is due; when something is due next, InfiniteFuture when nothing waits. What
  // the thread does.
  absl::StatusOr<absl::Time> Flush();

 private:
  using Keyed = std::pair<std::string, Notice>;
  struct Pending {
    std::vector<Keyed> notices;
    std::map<std::string, std::string> languages;
    std::vector<std::string> flapping;
    std::map<std::string, AlertRecipient> recipients;
  };

  absl::Status Take(StoreWriter& writer, const drover::v1::Event& event);
  absl::Status Keep(StoreWriter& writer, absl::string_view matter, const AlertState& state,
                    const std::optional<Notice>& notice);
  absl::Status ToldByAgent(StoreWriter& writer, absl::string_view matter);
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_);
  void Run(std::stop_token stop);
  absl::StatusOr<Pending> ReadPending();
  absl::Status SettleFlapping(const std::vector<std::string>& matters);
  std::set<std::string> LostHosts() const;
  std::vector<std::string> RecipientsOf(const Notice& notice) const;
  void Describe(Notice& notice) const;
  absl::Status Tell(const std::vector<Keyed>& due, Pending& pending);
  absl::Status Put(StoreWriter& writer, const std::string& address, AlertRecipient& recipient,
                   const Mail& mail);
  absl::Status TellHeld(Pending& pending, absl::Time* next);

  Store* const store_;
  Vault* const vault_;
  Inventory* const inventory_;
  MailQueue* const mails_;
  Clock* const clock_;
  const AlertLimits limits_;
  absl::Mutex mutex_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = true;
  std::jthread thread_;
};

}  // namespace drover::core
