#include "agent/config_transaction.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/durable_file.h"
#include "agent/file_swap.h"
#include "proto/support/log.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

using Journal = v1::ConfigJournal;
using drover::v1::ServiceStatus;

constexpr int kUsualHealthSeconds = 5;

}  // namespace

absl::Status TransactionPutBack(absl::string_view why) {
  return MakeError(absl::StatusCode::kAborted, "TRANSACTION_PUT_BACK",
                   absl::StrCat(why, "; everything was put back"));
}

ConfigTransaction::ConfigTransaction(EventLoop* loop, const ConfigServices* services,
                                     std::string journal_path, Journal journal)
    : loop_(loop),
      services_(services),
      path_(std::move(journal_path)),
      journal_(std::move(journal)) {}

ConfigTransaction::~ConfigTransaction() { *alive_ = false; }

absl::Status ConfigTransaction::Save(Journal::Phase phase) {
  const Journal::Phase before = journal_.phase();
  journal_.set_phase(phase);
  absl::Status saved = WriteMessage(path_, journal_);
  if (!saved.ok()) journal_.set_phase(before);
  return saved;
}

absl::Status ConfigTransaction::Forget() {
  for (const Journal::File& file : journal_.files()) {
    DROVER_RETURN_IF_ERROR(RemoveFile(file.staged()));
    DROVER_RETURN_IF_ERROR(RemoveFile(file.backup()));
  }
  return RemoveFile(path_);
}

bool ConfigTransaction::IsStopped(const std::string& service) const {
  const auto statuses = services_->statuses();
  return std::any_of(statuses.begin(), statuses.end(), [&](const ServiceStatus& status) {
    return status.name() == service && status.state() == ServiceStatus::STATE_STOPPED;
  });
}

void ConfigTransaction::SetDebt(const std::string& service, bool owed) {
  auto& debt = *journal_.mutable_restart_debt();
  debt.erase(std::remove(debt.begin(), debt.end(), service), debt.end());
  if (owed) *debt.Add() = service;
}

// ---------------------------------------------------------------- commit

void ConfigTransaction::Commit(Done done) {
  switch (journal_.phase()) {
    case Journal::PHASE_COMMITTED:
      return done(absl::OkStatus());
    case Journal::PHASE_PUTTING_BACK:
    case Journal::PHASE_PUT_BACK:
      return done(TransactionPutBack(journal_.why()));
    case Journal::PHASE_PREPARED:
      break;
    default:
      return done(MakeError(absl::StatusCode::kFailedPrecondition, "TRANSACTION_BUSY",
                            "the transaction is at work already"));
  }
  commit_done_ = std::move(done);
  ReplaceFiles();
}

absl::Status ConfigTransaction::CheckFiles() const {
  for (const Journal::File& file : journal_.files()) {
    const auto now = ReadConfigFile(file.target());
    if (!now.ok()) return now.status();
    if (Sha256Hex(*now) != file.old_sha256()) {
      return absl::AbortedError(absl::StrCat(file.path(), " was changed after it was prepared"));
    }
    const auto staged = ReadConfigFile(file.staged());
    if (!staged.ok()) return staged.status();
    if (Sha256Hex(*staged) != file.new_sha256()) {
      return absl::AbortedError(absl::StrCat("the new ", file.path(), " is not what it was"));
    }
  }
  return absl::OkStatus();
}

void ConfigTransaction::ReplaceFiles() {
  if (absl::Status sound = CheckFiles(); !sound.ok()) return Fail(sound.message());
  if (absl::Status saved = Save(Journal::PHASE_REPLACING); !saved.ok()) {
    return Fail(saved.message());
  }
  for (const Journal::File& file : journal_.files()) {
    const absl::Status swapped = SwapIn(file.target(), file.staged(), file.backup());
    if (!swapped.ok()) return Fail(swapped.message());
  }
  if (absl::Status saved = Save(Journal::PHASE_RESTARTING); !saved.ok()) {
    return Fail(saved.message());
  }
  NextRestart();
}

void ConfigTransaction::NextRestart() {
  while (journal_.restarts_begun() < journal_.restart_services_size() &&
         IsStopped(journal_.restart_services(journal_.restarts_begun()))) {
    journal_.set_restarts_begun(journal_.restarts_begun() + 1);
  }
  if (journal_.restarts_begun() >= journal_.restart_services_size()) return Watch();
  const std::string service = journal_.restart_services(journal_.restarts_begun());
  journal_.set_restarts_begun(journal_.restarts_begun() + 1);
  SetDebt(service, true);
  if (absl::Status saved = Save(Journal::PHASE_RESTARTING); !saved.ok()) {
    return Fail(saved.message());
  }
  restarting_ = service;
  services_->restart(service, [this, service, alive = alive_](absl::Status restarted) {
    // Not from within the supervisor's call.
    if (!*alive) return;
    loop_->Post([this, service, restarted, alive] {
      if (!*alive) return;
      restarting_.clear();
      if (!journal_.why().empty()) return Revert();
      if (!restarted.ok()) {
        return Fail(absl::StrCat("restart of ", service, " failed: ", restarted.message()));
      }
      SetDebt(service, false);
      NextRestart();
    });
  });
}

void ConfigTransaction::Watch() {
  v1::WatchHealth order;
  for (const std::string& service : journal_.restart_services()) {
    if (!IsStopped(service)) order.add_services(service);
  }
  // None named would be all.
  if (order.services().empty()) return Committed();
  order.set_seconds(journal_.health_seconds() > 0 ? journal_.health_seconds()
                                                  : kUsualHealthSeconds);
  OrderVoice voice;
  voice.done = [this, alive = alive_](const absl::Status& well, const v1::CommandUpdate&) {
    if (!*alive) return;
    loop_->Post([this, well, alive] {
      if (!*alive || reverting_) return;
      health_.reset();
      if (well.ok()) return Committed();
      Fail(absl::StrCat("health after the restart: ", well.message()));
    });
  };
  auto watch = HealthWatch::Start(loop_, services_->statuses, order, std::move(voice));
  if (!watch.ok()) return Fail(watch.status().message());
  health_ = *std::move(watch);
}

void ConfigTransaction::Committed() {
  if (absl::Status saved = Save(Journal::PHASE_COMMITTED); !saved.ok()) {
    return Fail(saved.message());
  }
  std::exchange(commit_done_, nullptr)(absl::OkStatus());
}

// ---------------------------------------------------------------- put back

void ConfigTransaction::Fail(absl::string_view what) {
  journal_.set_why(std::string(what));
  Revert();
}

void ConfigTransaction::PutBack(absl::string_view why, Done done) {
  if (journal_.phase() == Journal::PHASE_PUT_BACK && journal_.restart_debt().empty()) {
    return done(absl::OkStatus());
  }
  const bool idle = !busy();
  put_back_done_.push_back(std::move(done));
  if (journal_.why().empty()) journal_.set_why(std::string(why));
  if (idle) return Revert();
  if (reverting_) return;
  // In the middle of a commit.
  if (restarting_.empty()) return Revert();
  services_->abort(restarting_);
}

void ConfigTransaction::Revert() {
  reverting_ = true;
  health_.reset();
  left_.clear();
  to_restart_.clear();
  if (journal_.phase() == Journal::PHASE_PUT_BACK) {
    // What was left undone the last time.
    to_restart_.assign(journal_.restart_debt().begin(), journal_.restart_debt().end());
  } else {
    const auto& services = journal_.restart_services();
    to_restart_.assign(services.begin(), services.begin() + journal_.restarts_begun());
  }
  // Any earlier phase on disk leads to the same.
  if (absl::Status saved = Save(Journal::PHASE_PUTTING_BACK); !saved.ok()) {
    LogError("configuration ", journal_.transaction(), ": ", saved.message());
    journal_.set_phase(Journal::PHASE_PUTTING_BACK);
  }
  if (absl::Status back = PutFilesBack(); !back.ok()) {
    left_ = std::string(back.message());
    return EndPutBack(/*files_back=*/false);
  }
  NextOldRestart(0);
}

absl::Status ConfigTransaction::PutFilesBack() {
  absl::Status first;
  for (const Journal::File& file : journal_.files()) {
    absl::Status back = SwapBack(file.target(), file.backup());
    if (back.ok()) back = RemoveFile(file.staged());
    if (first.ok()) first = back;
  }
  return first;
}

void ConfigTransaction::NextOldRestart(size_t index) {
  while (index < to_restart_.size() && IsStopped(to_restart_[index])) {
    SetDebt(to_restart_[index++], false);
  }
  if (index >= to_restart_.size()) return EndPutBack(/*files_back=*/true);
  const std::string service = to_restart_[index];
  SetDebt(service, true);
  services_->restart(service, [this, service, index, alive = alive_](absl::Status restarted) {
    if (!*alive) return;
    loop_->Post([this, service, index, restarted, alive] {
      if (!*alive) return;
      if (restarted.ok()) {
        SetDebt(service, false);
      } else {
        absl::StrAppend(&left_, left_.empty() ? "" : "; ", service,
                        " did not start with its old files: ", restarted.message());
      }
      NextOldRestart(index + 1);
    });
  });
}

void ConfigTransaction::EndPutBack(bool files_back) {
  reverting_ = false;
  if (files_back) {
    if (absl::Status saved = Save(Journal::PHASE_PUT_BACK); !saved.ok()) {
      // A start does it again.
      LogError("configuration ", journal_.transaction(), ": ", saved.message());
      journal_.set_phase(Journal::PHASE_PUT_BACK);
    }
  }
  const std::string left = left_;
  const std::string why = journal_.why();
  const Done committed = std::exchange(commit_done_, nullptr);
  const std::vector<Done> waiting = std::exchange(put_back_done_, {});
  if (committed) {
    committed(left.empty() ? TransactionPutBack(why)
                           : MakeError(absl::StatusCode::kInternal, "NOT_PUT_BACK",
                                       absl::StrCat(why, "; not everything came back: ", left)));
  }
  for (const Done& done : waiting) {
    done(left.empty() ? absl::OkStatus()
                      : MakeError(absl::StatusCode::kInternal, "NOT_PUT_BACK", left));
  }
}

bool ConfigTransaction::Recover() {
  switch (journal_.phase()) {
    case Journal::PHASE_REPLACING:
    case Journal::PHASE_RESTARTING:
    case Journal::PHASE_PUTTING_BACK:
      break;
    default:
      return !journal_.restart_debt().empty() && journal_.phase() == Journal::PHASE_PUT_BACK;
  }
  if (journal_.why().empty()) journal_.set_why("the agent ended in the middle of the commit");
  // Who else may have started them meanwhile is not known.
  journal_.set_restarts_begun(journal_.restart_services_size());
  if (absl::Status back = PutFilesBack(); !back.ok()) {
    LogError("configuration ", journal_.transaction(), ": ", back.message());
  }
  return true;
}

}  // namespace drover::agent
