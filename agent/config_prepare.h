// PREPARE of a configuration transaction: makes the new files aside and has each validated by its
// commands, one after the other.
//
// Thread promise: belongs to the event loop's thread. Survives a restart: nothing; it is begun
// anew.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/child_process.h"
#include "agent/config_orders.h"
#include "agent/order_work.h"

namespace drover::agent {

class ConfigPrepare : public OrderWork {
 public:
  // Errors: as the contract of ACTION_PREPARE; then nothing is left. Failures that tell of files
  // come by the voice.
  static absl::StatusOr<std::unique_ptr<OrderWork>> Start(EventLoop* loop, ConfigOrders* orders,
                                                          const v1::EditFiles& order,
                                                          OrderVoice voice);
  ~ConfigPrepare() override;
  // Ends the validation; nothing is left of the transaction.
  void Abort(std::function<void(absl::Status)> ended) override;

 private:
  struct Validation {
    std::string path;
    std::string staged;
    std::string command;
  };

  ConfigPrepare(EventLoop* loop, ConfigOrders* orders, std::string transaction, OrderVoice voice);
  absl::Status Stage(const v1::EditFiles& order, std::vector<EditedText> files);
  void NextValidation();
  void Validated(ExitStatus exit);
  void Finish(absl::Status status);

  EventLoop* const loop_;
  ConfigOrders* const orders_;
  const std::string transaction_;
  const OrderVoice voice_;
  v1::CommandUpdate details_;
  std::vector<Validation> validations_;
  size_t next_ = 0;
  std::unique_ptr<OutputFile> output_;
  std::unique_ptr<ChildProcess> child_;
  EventLoop::TimerId timeout_ = 0;
  bool timed_out_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace drover::agent
