// Mails on their way out: written down with what caused them, delivered by a thread of its own,
// tried again while the server is away, given up after three days or when the server refuses for
// good.
//
// Thread promise: all methods from any thread; Start and Stop once. Survives a restart: every mail
// that was queued and not delivered. A mail may arrive twice when the controller dies between the
// server's answer and the note of it.
#pragma once

#include <stop_token>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "controller/core/event_log.h"
#include "controller/core/ports.h"

namespace drover::core {

class MailQueue {
 public:
  MailQueue(Store* store, Vault* vault, Mailer* mailer, EventLog* events, Clock* clock);
  ~MailQueue();

  void Start();
  void Stop();

  // Queues the mail when the transaction is durable; call Wake then.
  absl::Status PutIn(StoreWriter& writer, const Mail& mail);
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_);

  // Sends what is due; the time of the next try, InfiniteFuture when none waits. What the thread
  // does.
  absl::StatusOr<absl::Time> SendDue();

 private:
  void Run(std::stop_token stop);
  absl::Status Send(const std::string& id, MailRecord record, absl::Time* next);

  Store* const store_;
  Vault* const vault_;
  Mailer* const mailer_;
  EventLog* const events_;
  Clock* const clock_;
  absl::Mutex mutex_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace drover::core
