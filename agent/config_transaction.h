// A change of configuration files as one transaction in this guest: new files aside, then all of
// them in place and the services restarted and watched, or everything as it was before.
//
//   PREPARED --Commit--> REPLACING -> RESTARTING -> COMMITTED --Keep--> forgotten
//       \____________________\____________\____________\--PutBack or failure--> PUT_BACK
//
// A service that was stopped on order is not started; one whose files did not change is not
// restarted, unless an earlier transaction left it running with other files than are there
// (restart_debt).
//
// Thread promise: belongs to the event loop's thread; waits for the disk only. Survives a restart:
// the journal, written before each phase begins, and the files it names. What ended in the middle
// is put back at the next start.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/event_loop.h"
#include "agent/health_watch.h"
#include "drover/agent/v1/config_journal.pb.h"
#include "drover/v1/inventory.pb.h"

namespace drover::agent {

// What a transaction needs of supervision.
struct ConfigServices {
  using Done = std::function<void(absl::Status)>;
  std::function<std::vector<drover::v1::ServiceStatus>()> statuses;
  // Supervisor::Control and Abort of one service.
  std::function<void(const std::string& service, Done done)> restart;
  std::function<void(const std::string& service)> abort;
};

class ConfigTransaction {
 public:
  using Done = std::function<void(absl::Status)>;
  using Journal = v1::ConfigJournal;

  // `journal_path` holds, or will hold, the journal. `services` outlives it.
  ConfigTransaction(EventLoop* loop, const ConfigServices* services, std::string journal_path,
                    Journal journal);
  ~ConfigTransaction();

  const Journal& journal() const { return journal_; }
  // Something is under way.
  bool busy() const { return commit_done_ != nullptr || !put_back_done_.empty(); }

  // Durable when it returns OK.
  absl::Status Save(Journal::Phase phase);
  // Forgets the journal, the new files and the old ones kept.
  absl::Status Forget();

  // ABORTED, reason TRANSACTION_PUT_BACK, when it was put back, with what failed; `done` comes from
  // the loop or from within the call, after everything was put back.
  void Commit(Done done);
  // Also in the middle of a commit, which then ends as put back. Fails when a file or a service
  // does not come back, naming it; then it can be called again.
  void PutBack(absl::string_view why, Done done);

  // At a start: files of a transaction that ended in the middle are put back, at once. True when
  // services have to be restarted for it: then PutBack does that.
  bool Recover();

 private:
  void ReplaceFiles();
  absl::Status CheckFiles() const;
  void NextRestart();
  void Watch();
  void Committed();
  void Fail(absl::string_view what);
  void Revert();
  absl::Status PutFilesBack();
  void NextOldRestart(size_t index);
  void EndPutBack(bool files_back);
  bool IsStopped(const std::string& service) const;
  void SetDebt(const std::string& service, bool owed);

  EventLoop* const loop_;
  const ConfigServices* const services_;
  const std::string path_;
  Journal journal_;
  std::unique_ptr<OrderWork> health_;
  Done commit_done_;
  std::vector<Done> put_back_done_;
  // The service that is being restarted.
  std::string restarting_;
  bool reverting_ = false;
  // Services to start again with their old files, in order.
  std::vector<std::string> to_restart_;
  // What did not come back.
  std::string left_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// ABORTED, reason TRANSACTION_PUT_BACK.
absl::Status TransactionPutBack(absl::string_view why);

}  // namespace drover::agent
