#include "agent/config_prepare.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/file_swap.h"
#include "agent/text_diff.h"
#include "proto/support/log.h"
#include "proto/support/status.h"
#include "proto/support/utf8.h"

namespace drover::agent {
namespace {

using Journal = v1::ConfigJournal;

constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr size_t kOutput = 2048;

// What a validator says may quote the file.
std::string Hidden(absl::string_view output) {
  std::string out;
  bool open = false;
  for (absl::string_view line : absl::StrSplit(output, '\n', absl::SkipWhitespace())) {
    absl::StrAppend(&out, out.empty() ? "" : "\n", HideSecrets(line, &open));
  }
  return CleanText(out, kOutput);
}

// One entry per file, however many names lead to it.
std::vector<v1::FileEdits> ByTarget(const v1::EditFiles& order) {
  std::vector<v1::FileEdits> files;
  std::vector<std::string> targets;
  for (const v1::FileEdits& file : order.files()) {
    const auto target = ResolveFile(file.path());
    const auto same =
        target.ok() ? std::find(targets.begin(), targets.end(), *target) : targets.end();
    if (same == targets.end()) {
      files.push_back(file);
      targets.push_back(target.ok() ? *target : "");
    } else {
      files[same - targets.begin()].mutable_edits()->MergeFrom(file.edits());
    }
  }
  return files;
}

}  // namespace

ConfigPrepare::ConfigPrepare(EventLoop* loop, ConfigOrders* orders, std::string transaction,
                             OrderVoice voice)
    : loop_(loop),
      orders_(orders),
      transaction_(std::move(transaction)),
      voice_(std::move(voice)) {}

ConfigPrepare::~ConfigPrepare() {
  *alive_ = false;
  loop_->CancelTimer(timeout_);
}

absl::StatusOr<std::unique_ptr<OrderWork>> ConfigPrepare::Start(EventLoop* loop,
                                                                ConfigOrders* orders,
                                                                const v1::EditFiles& order,
                                                                OrderVoice voice) {
  DROVER_RETURN_IF_ERROR(orders->CheckPrepare(order));
  // Of an attempt before.
  DROVER_RETURN_IF_ERROR(orders->Drop(order.transaction()));
  std::unique_ptr<ConfigPrepare> work(
      new ConfigPrepare(loop, orders, order.transaction(), std::move(voice)));
  const std::vector<v1::FileEdits> asked = ByTarget(order);
  std::vector<EditedText> files;
  absl::Status problem;
  for (const v1::FileEdits& file : asked) {
    files.push_back(EditFile(file));
    *work->details_.mutable_edited_files()->add_files() = files.back().shown;
    if (problem.ok()) problem = files.back().problem;
  }
  for (size_t i = 0; i < asked.size(); ++i) {
    if (!files[i].changes) continue;
    std::set<std::string> seen;
    for (const drover::v1::Profile::Edit& edit : asked[i].edits()) {
      if (edit.validate_command().empty() || !seen.insert(edit.validate_command()).second) continue;
      work->validations_.push_back({asked[i].path(),
                                    StagedName(files[i].target, order.transaction()),
                                    edit.validate_command()});
    }
  }
  if (problem.ok()) problem = work->Stage(order, std::move(files));
  if (!problem.ok()) {
    work->Finish(problem);
  } else {
    work->NextValidation();
  }
  return work;
}

absl::Status ConfigPrepare::Stage(const v1::EditFiles& order, std::vector<EditedText> files) {
  Journal journal;
  journal.set_transaction(transaction_);
  journal.set_health_seconds(order.health_seconds());
  bool changes = false;
  for (const EditedText& file : files) {
    if (!file.changes) continue;
    changes = true;
    Journal::File& kept = *journal.add_files();
    kept.set_path(file.shown.path());
    kept.set_target(file.target);
    kept.set_staged(StagedName(file.target, transaction_));
    kept.set_backup(BackupName(file.target, transaction_));
    kept.set_old_sha256(file.shown.old_sha256());
    kept.set_new_sha256(file.shown.new_sha256());
  }
  for (const std::string& service : order.restart_services()) {
    if (changes || orders_->Owes(service)) journal.add_restart_services(service);
  }
  // What is made from here on is found again.
  ConfigTransaction* transaction = orders_->Put(std::move(journal));
  DROVER_RETURN_IF_ERROR(transaction->Save(Journal::PHASE_PREPARING));
  for (const EditedText& file : files) {
    if (!file.changes) continue;
    DROVER_RETURN_IF_ERROR(
        StageFile(file.target, StagedName(file.target, transaction_), file.text));
  }
  return absl::OkStatus();
}

void ConfigPrepare::NextValidation() {
  child_.reset();
  if (next_ == validations_.size()) {
    return Finish(orders_->Find(transaction_)->Save(Journal::PHASE_PREPARED));
  }
  const Validation& its = validations_[next_];
  auto output = OutputFile::InMemory();
  if (!output.ok()) return Finish(output.status());
  output_ = std::make_unique<OutputFile>(*std::move(output));
  Program program;
  program.argv = {"/bin/sh", "-c", its.command, "sh", its.staged};
  program.output_fd = output_->fd();
  auto child = ChildProcess::Start(loop_, program, [this, alive = alive_](ExitStatus exit) {
    // Not from within the child, which the next one replaces.
    loop_->Post([this, exit, alive] {
      if (*alive) Validated(exit);
    });
  });
  if (!child.ok()) return Finish(Annotate(child.status(), its.path));
  child_ = *std::move(child);
  timeout_ = loop_->RunAfter(kPatience, [this] {
    timed_out_ = true;
    KillTree(loop_, child_->pid(), child_->mark(), [](absl::Status) {});
  });
}

void ConfigPrepare::Validated(ExitStatus exit) {
  loop_->CancelTimer(timeout_);
  const Validation& its = validations_[next_];
  if (exit.code != 0 || timed_out_) {
    const std::string said = Hidden(output_->Tail(kOutput));
    return Finish(MakeError(absl::StatusCode::kFailedPrecondition, "VALIDATION_FAILED",
                            absl::StrCat(its.path, ": the new file was refused by its validation (",
                                         timed_out_ ? "no answer in time" : exit.ToString(), ")",
                                         said.empty() ? "" : ": ", said)));
  }
  ++next_;
  NextValidation();
}

void ConfigPrepare::Finish(absl::Status status) {
  if (!status.ok()) {
    if (absl::Status gone = orders_->Drop(transaction_); !gone.ok()) LogError(gone.message());
  }
  voice_.done(status, details_);
}

void ConfigPrepare::Abort(std::function<void(absl::Status)> ended) {
  *alive_ = false;
  loop_->CancelTimer(timeout_);
  const absl::Status gone = orders_->Drop(transaction_);
  if (child_ == nullptr || !child_->running()) return ended(gone);
  KillTree(loop_, child_->pid(), child_->mark(), std::move(ended));
}

}  // namespace drover::agent
