#include "agent/config_orders.h"

#include <dirent.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/config_editor.h"
#include "agent/config_prepare.h"
#include "agent/durable_file.h"
#include "agent/file_swap.h"
#include "agent/text_diff.h"
#include "proto/support/log.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

using Journal = v1::ConfigJournal;

constexpr char kEnding[] = ".journal";
// Transactions put back are remembered, so that a commit that comes late is refused.
constexpr size_t kRemembered = 100;

// An order that is carried out by its transaction.
class TransactionWork : public OrderWork {
 public:
  TransactionWork(ConfigOrders* orders, std::string id) : orders_(orders), id_(std::move(id)) {}
  // Puts everything back, unless the commit is done.
  void Abort(std::function<void(absl::Status)> ended) override {
    ConfigTransaction* transaction = orders_->Find(id_);
    if (transaction == nullptr || !transaction->busy()) return ended(absl::OkStatus());
    transaction->PutBack("the order was cancelled", std::move(ended));
  }

 private:
  ConfigOrders* const orders_;
  const std::string id_;
};

// One that is over already.
class NoWork : public OrderWork {
 public:
  void Abort(std::function<void(absl::Status)> ended) override { ended(absl::OkStatus()); }
};

absl::Status CheckId(const std::string& id) {
  const bool plain =
      std::all_of(id.begin(), id.end(), [](char c) { return absl::ascii_isalnum(c) || c == '-'; });
  if (!id.empty() && id.size() <= 64 && plain) return absl::OkStatus();
  return InvalidField("transaction", "must be 1 to 64 letters, digits and '-'");
}

bool IsOpen(Journal::Phase phase) {
  return phase != Journal::PHASE_PUT_BACK && phase != Journal::PHASE_COMMITTED &&
         phase != Journal::PHASE_PREPARED && phase != Journal::PHASE_PREPARING;
}

}  // namespace

EditedText EditFile(const v1::FileEdits& file) {
  EditedText edited;
  edited.shown.set_path(file.path());
  const auto edit = [&]() -> absl::Status {
    if (!absl::StartsWith(file.path(), "/")) {
      return MakeError(absl::StatusCode::kInvalidArgument, "FILE_UNFIT", "is not an absolute path");
    }
    DROVER_ASSIGN_OR_RETURN(edited.target, ResolveFile(file.path()));
    DROVER_ASSIGN_OR_RETURN(const std::string before, ReadConfigFile(edited.target));
    edited.shown.set_old_sha256(Sha256Hex(before));
    if (!file.expected_sha256().empty() && file.expected_sha256() != edited.shown.old_sha256()) {
      return MakeError(absl::StatusCode::kAborted, "FILE_CHANGED",
                       "the file is another one than it was when this was planned");
    }
    edited.text = before;
    for (const drover::v1::Profile::Edit& one : file.edits()) {
      auto text = EditText(edited.text, one);
      if (!text.ok()) return text.status();
      edited.text = *std::move(text);
    }
    edited.shown.set_new_sha256(Sha256Hex(edited.text));
    edited.changes = edited.text != before;
    edited.shown.set_diff(UnifiedDiff(file.path(), before, edited.text));
    return absl::OkStatus();
  };
  edited.problem = edit();
  if (edited.problem.ok()) return edited;
  edited.problem = Annotate(edited.problem, file.path());
  edited.shown.set_problem(std::string(edited.problem.message()));
  return edited;
}

absl::StatusOr<std::unique_ptr<ConfigOrders>> ConfigOrders::Open(EventLoop* loop,
                                                                 std::string directory) {
  DROVER_RETURN_IF_ERROR(MakeDirectory(directory));
  std::unique_ptr<ConfigOrders> orders(new ConfigOrders(loop, std::move(directory)));
  DROVER_RETURN_IF_ERROR(orders->Load());
  return orders;
}

absl::Status ConfigOrders::Load() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(directory_.c_str()), &closedir);
  if (folder == nullptr) return FileError(directory_, "read");
  std::vector<std::string> paths;
  while (const dirent* entry = readdir(folder.get())) {
    if (absl::EndsWith(entry->d_name, kEnding)) {
      paths.push_back(absl::StrCat(directory_, "/", entry->d_name));
    }
  }
  for (const std::string& path : paths) {
    Journal journal;
    if (absl::Status read = ReadMessage(path, journal); !read.ok()) {
      // Written whole or not at all: somebody else's doing.
      LogError("configuration journal left alone: ", read.message());
      continue;
    }
    const std::string id = journal.transaction();
    auto transaction =
        std::make_unique<ConfigTransaction>(loop_, &services_, path, std::move(journal));
    if (transaction->journal().phase() == Journal::PHASE_PREPARING) {
      if (absl::Status gone = transaction->Forget(); !gone.ok()) LogError(gone.message());
      continue;
    }
    transaction->Recover();
    transactions_[id] = std::move(transaction);
  }
  return absl::OkStatus();
}

ConfigServices ConfigOrders::ServicesOf(Supervisor* supervisor) {
  const auto order_of = [](const std::string& service) {
    v1::ControlService order;
    order.add_services(service);
    order.set_action(v1::ControlService::ACTION_RESTART);
    return order;
  };
  ConfigServices services;
  services.statuses = [supervisor] { return supervisor->Statuses(); };
  services.restart = [supervisor, order_of](const std::string& service, ConfigServices::Done done) {
    supervisor->Control(order_of(service), std::move(done));
  };
  services.abort = [supervisor, order_of](const std::string& service) {
    supervisor->Abort(order_of(service), [](absl::Status) {});
  };
  return services;
}

void ConfigOrders::Begin(ConfigServices services) {
  services_ = std::move(services);
  for (const auto& [id, transaction] : transactions_) {
    const Journal& journal = transaction->journal();
    const bool owes = journal.phase() == Journal::PHASE_PUT_BACK && !journal.restart_debt().empty();
    if (!IsOpen(journal.phase()) && !owes) continue;
    transaction->PutBack(journal.why(), [id = id](absl::Status back) {
      LogInfo("configuration ", id, " was put back at the start",
              back.ok() ? "" : absl::StrCat("; ", back.message()));
    });
  }
}

std::string ConfigOrders::PathOf(const std::string& id) const {
  return absl::StrCat(directory_, "/", id, kEnding);
}

ConfigTransaction* ConfigOrders::Find(const std::string& id) {
  auto found = transactions_.find(id);
  return found == transactions_.end() ? nullptr : found->second.get();
}

ConfigTransaction* ConfigOrders::Put(Journal journal) {
  const std::string id = journal.transaction();
  auto& place = transactions_[id];
  place = std::make_unique<ConfigTransaction>(loop_, &services_, PathOf(id), std::move(journal));
  return place.get();
}

absl::Status ConfigOrders::Drop(const std::string& id) {
  ConfigTransaction* transaction = Find(id);
  if (transaction == nullptr) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(transaction->Forget());
  transactions_.erase(id);
  return absl::OkStatus();
}

bool ConfigOrders::Owes(const std::string& service) const {
  return std::any_of(transactions_.begin(), transactions_.end(), [&](const auto& item) {
    const auto& debt = item.second->journal().restart_debt();
    return std::find(debt.begin(), debt.end(), service) != debt.end();
  });
}

absl::Status ConfigOrders::CheckPrepare(const v1::EditFiles& order) {
  std::set<std::string> known;
  for (const auto& status : services_.statuses()) known.insert(status.name());
  for (const std::string& service : order.restart_services()) {
    if (known.count(service) > 0) continue;
    return MakeError(absl::StatusCode::kNotFound, "SERVICE_NOT_FOUND",
                     absl::StrCat("this machine has no service ", service));
  }
  if (const ConfigTransaction* own = Find(order.transaction()); own != nullptr) {
    const Journal::Phase phase = own->journal().phase();
    if (phase == Journal::PHASE_PUT_BACK || phase == Journal::PHASE_PUTTING_BACK) {
      return TransactionPutBack(own->journal().why());
    }
    if (phase != Journal::PHASE_PREPARED && phase != Journal::PHASE_PREPARING) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "TRANSACTION_BUSY",
                       "the transaction is beyond its preparation");
    }
  }
  std::vector<std::string> settled;
  for (const auto& [id, other] : transactions_) {
    if (id == order.transaction()) continue;
    if (other->busy() || IsOpen(other->journal().phase())) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "TRANSACTION_BUSY",
                       absl::StrCat("the configuration transaction ", id, " is at work here"));
    }
    // Nobody comes back to what is neither kept nor put back when the next one begins: the
    // controller lets one change at a time near a machine.
    if (other->journal().phase() != Journal::PHASE_PUT_BACK) settled.push_back(id);
  }
  for (const std::string& id : settled) DROVER_RETURN_IF_ERROR(Drop(id));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<OrderWork>> ConfigOrders::Start(const v1::Command& command,
                                                               OrderVoice voice) {
  const v1::EditFiles& order = command.edit_files();
  if (order.action() == v1::EditFiles::ACTION_PLAN) {
    v1::CommandUpdate details;
    for (const v1::FileEdits& file : order.files()) {
      *details.mutable_edited_files()->add_files() = EditFile(file).shown;
    }
    voice.done(absl::OkStatus(), std::move(details));
    return std::make_unique<NoWork>();
  }
  DROVER_RETURN_IF_ERROR(CheckId(order.transaction()));
  switch (order.action()) {
    case v1::EditFiles::ACTION_PREPARE:
      return ConfigPrepare::Start(loop_, this, order, std::move(voice));
    case v1::EditFiles::ACTION_COMMIT:
      return Commit(order, std::move(voice));
    case v1::EditFiles::ACTION_PUT_BACK:
      return PutBack(order, std::move(voice));
    case v1::EditFiles::ACTION_KEEP:
      DROVER_RETURN_IF_ERROR(Keep(order));
      voice.done(absl::OkStatus(), {});
      return std::make_unique<NoWork>();
    default:
      return MakeError(absl::StatusCode::kUnimplemented, "UNKNOWN_ORDER",
                       "this agent does not know the action; upgrade the agent");
  }
}

absl::StatusOr<std::unique_ptr<OrderWork>> ConfigOrders::Commit(const v1::EditFiles& order,
                                                                OrderVoice voice) {
  ConfigTransaction* transaction = Find(order.transaction());
  if (transaction == nullptr) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "TRANSACTION_UNKNOWN",
                     "the configuration transaction was not prepared here");
  }
  auto work = std::make_unique<TransactionWork>(this, order.transaction());
  transaction->Commit([voice](absl::Status committed) { voice.done(committed, {}); });
  return work;
}

absl::StatusOr<std::unique_ptr<OrderWork>> ConfigOrders::PutBack(const v1::EditFiles& order,
                                                                 OrderVoice voice) {
  ConfigTransaction* transaction = Find(order.transaction());
  if (transaction == nullptr) {
    // Remembered, in case its commit is still under way.
    Journal journal;
    journal.set_transaction(order.transaction());
    journal.set_why("it was put back by order");
    transaction = Put(std::move(journal));
    if (absl::Status saved = transaction->Save(Journal::PHASE_PUT_BACK); !saved.ok()) {
      transactions_.erase(order.transaction());
      return saved;
    }
  }
  auto work = std::make_unique<TransactionWork>(this, order.transaction());
  transaction->PutBack("it was put back by order", [this, voice](absl::Status back) {
    ForgetOld();
    voice.done(back, {});
  });
  return work;
}

absl::Status ConfigOrders::Keep(const v1::EditFiles& order) {
  ConfigTransaction* transaction = Find(order.transaction());
  if (transaction == nullptr) return absl::OkStatus();
  if (transaction->journal().phase() == Journal::PHASE_PUT_BACK) {
    return TransactionPutBack(transaction->journal().why());
  }
  if (transaction->journal().phase() != Journal::PHASE_COMMITTED) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "TRANSACTION_BUSY",
                     "the configuration transaction is not committed");
  }
  return Drop(order.transaction());
}

// Transactions put back that owe nothing; ids are made in the order of time.
void ConfigOrders::ForgetOld() {
  std::vector<std::string> old;
  for (const auto& [id, transaction] : transactions_) {
    const bool over = transaction->journal().phase() == Journal::PHASE_PUT_BACK &&
                      transaction->journal().restart_debt().empty() && !transaction->busy();
    if (over) old.push_back(id);
  }
  for (size_t i = 0; i + kRemembered < old.size(); ++i) {
    if (absl::Status gone = Drop(old[i]); !gone.ok()) LogError(gone.message());
  }
}

}  // namespace drover::agent
