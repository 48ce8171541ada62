// EditFiles: orders about configuration files, and the transactions they are steps of.
//
// Thread promise: belongs to the event loop's thread; waits for the disk only. Survives a restart:
// the transactions (DIRECTORY/ID.journal). Every order may be given again, so one that was
// interrupted is repeated.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/command_runner.h"
#include "agent/config_transaction.h"
#include "agent/event_loop.h"
#include "agent/order_work.h"
#include "agent/supervisor.h"

namespace drover::agent {

// The file's edits made in memory. `text` is the new one; `problem` of `shown` says why there is
// none.
struct EditedText {
  v1::EditedFile shown;
  std::string target;
  std::string text;
  bool changes = false;
  absl::Status problem;
};
EditedText EditFile(const v1::FileEdits& file);

class ConfigOrders {
 public:
  // Takes up the journals; files of what ended in the middle are as before when it returns. Before
  // the supervisor begins to start services.
  static absl::StatusOr<std::unique_ptr<ConfigOrders>> Open(EventLoop* loop, std::string directory);
  ConfigOrders(const ConfigOrders&) = delete;

  // Restarts what ran with other files than are there now, and takes orders from here on.
  void Begin(ConfigServices services);
  static ConfigServices ServicesOf(Supervisor* supervisor);

  absl::StatusOr<std::unique_ptr<OrderWork>> Start(const v1::Command& command, OrderVoice voice);

  // nullptr when it is not known.
  ConfigTransaction* Find(const std::string& id);
  // Of PREPARE, for its work: a journal with the files staged. Refuses what Start's contract says.
  absl::Status CheckPrepare(const v1::EditFiles& order);
  ConfigTransaction* Put(v1::ConfigJournal journal);
  absl::Status Drop(const std::string& id);
  // Of all transactions; a service in it is restarted though no file of it changes.
  bool Owes(const std::string& service) const;

 private:
  ConfigOrders(EventLoop* loop, std::string directory)
      : loop_(loop), directory_(std::move(directory)) {}
  absl::Status Load();
  void ForgetOld();
  std::string PathOf(const std::string& id) const;
  absl::StatusOr<std::unique_ptr<OrderWork>> Commit(const v1::EditFiles& order, OrderVoice voice);
  absl::StatusOr<std::unique_ptr<OrderWork>> PutBack(const v1::EditFiles& order, OrderVoice voice);
  absl::Status Keep(const v1::EditFiles& order);

  EventLoop* const loop_;
  const std::string directory_;
  ConfigServices services_;
  std::map<std::string, std::unique_ptr<ConfigTransaction>> transactions_;
};

}  // namespace drover::agent
