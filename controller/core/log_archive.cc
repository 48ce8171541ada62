#include "controller/core/log_archive.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "controller/core/log_backup_file.h"
#include "proto/support/json.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

constexpr int kPage = 1000;
constexpr int kListPage = 100;
constexpr char kConfirm[] = "delete log entries";
constexpr char kCollection[] = "logBackups";

// Calls `see` with the entries from the oldest on, until one is not before `end`.
absl::Status ForEachBefore(Store& store, absl::Time end,
                           absl::FunctionRef<absl::Status(const drover::v1::LogEntry&)> see) {
  int64_t after = 0;
  while (true) {
    DROVER_ASSIGN_OR_RETURN(const std::vector<drover::v1::LogEntry> entries,
                            store.ReadLog(after, kPage));
    if (entries.empty()) return absl::OkStatus();
    for (const drover::v1::LogEntry& entry : entries) {
      if (FromProto(entry.time()) >= end) return absl::OkStatus();
      DROVER_RETURN_IF_ERROR(see(entry));
    }
    after = entries.back().id();
  }
}

std::string Header(const drover::v1::LogBackup& backup, absl::string_view first_hash,
                   absl::string_view last_hash) {
  return absl::StrCat(
      R"({"format":"drover-log-backup-1","name":")", backup.name(), R"(","createTime":")",
      absl::FormatTime(absl::RFC3339_full, FromProto(backup.create_time()), absl::UTCTimeZone()),
      R"(","firstId":")", backup.first_id(), R"(","lastId":")", backup.last_id(),
      R"(","entries":")", backup.entries(), R"(","firstHash":")", first_hash, R"(","lastHash":")",
      last_hash, R"("})");
}

absl::Status NotBackedUp(int64_t id, absl::string_view why) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "LOG_NOT_BACKED_UP",
                   absl::StrCat("entry ", id, " is in no intact backup", why,
                                "; back up the log first, then delete"),
                   {{"entry", absl::StrCat(id)}});
}

absl::StatusOr<std::vector<drover::v1::LogBackup>> AllBackups(Store& store) {
  std::vector<drover::v1::LogBackup> backups;
  DROVER_RETURN_IF_ERROR(store.Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const std::vector<Document> documents,
                            reader.List(Table::kLogBackups, {}));
    backups.clear();
    for (const Document& document : documents) {
      backups.emplace_back().ParseFromString(document.body);
    }
    return absl::OkStatus();
  }));
  return backups;
}

std::string Describe(const std::vector<drover::v1::LogGap>& runs, int64_t entries) {
  std::vector<std::string> ranges;
  for (const auto& run : runs) {
    ranges.push_back(run.first_id() == run.last_id()
                         ? absl::StrCat(run.first_id())
                         : absl::StrCat(run.first_id(), " to ", run.last_id()));
  }
  return absl::StrCat(entries, " entries deleted: ", absl::StrJoin(ranges, ", "));
}

}  // namespace

// Holds the archive for one backup or deletion at a time, without a mutex over calls out.
class LogArchive::Turn {
 public:
  explicit Turn(LogArchive* archive) : archive_(*archive) {
    absl::MutexLock lock(&archive_.mutex_);
    auto free = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !archive_.busy_; };
    archive_.mutex_.Await(absl::Condition(&free));
    archive_.busy_ = true;
  }
  ~Turn() {
    absl::MutexLock lock(&archive_.mutex_);
    archive_.busy_ = false;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  LogArchive& archive_;
};

LogArchive::LogArchive(Store* store, Vault* vault, Clock* clock, ChainedLog* log,
                       std::string directory)
    : store_(store), vault_(vault), clock_(clock), log_(log), directory_(std::move(directory)) {}

// ---------------------------------------------------------------- backing up

absl::StatusOr<drover::v1::LogBackup> LogArchive::BackUp(
    const drover::v1::BackUpLogRequest& request) {
  const Turn turn(this);
  const absl::Time end =
      request.has_end_time() ? FromProto(request.end_time()) : absl::InfiniteFuture();
  drover::v1::LogBackup backup;
  std::optional<drover::v1::LogEntry> first;
  drover::v1::LogEntry last;
  DROVER_RETURN_IF_ERROR(ForEachBefore(*store_, end, [&](const drover::v1::LogEntry& entry) {
    if (!first.has_value()) first = entry;
    last = entry;
    backup.set_entries(backup.entries() + 1);
    return absl::OkStatus();
  }));
  if (!first.has_value()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "LOG_EMPTY",
                     "there are no entries before that time");
  }
  const absl::Time now = clock_->Now();
  backup.set_first_id(first->id());
  backup.set_last_id(last.id());
  *backup.mutable_create_time() = ToProto(now);
  // Names sort by time; two of one second differ at their end.
  backup.set_name(ResourceName(
      kCollection,
      absl::StrCat(absl::FormatTime("%Y%m%dt%H%M%Sz", now, absl::UTCTimeZone()), "-", first->id(),
                   "-", last.id(), "-", absl::BytesToHexString(vault_->RandomBytes(3)))));
  DROVER_RETURN_IF_ERROR(WriteFile(&backup, *first, last));
  DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) {
    return writer.Insert(Table::kLogBackups,
                         {std::string(IdOf(backup.name())), "", backup.SerializeAsString()});
  }));
  return backup;
}

absl::Status LogArchive::WriteFile(drover::v1::LogBackup* backup, const drover::v1::LogEntry& first,
                                   const drover::v1::LogEntry& last) {
  DROVER_ASSIGN_OR_RETURN(
      const std::unique_ptr<LogBackupFile> file,
      LogBackupFile::Begin(directory_, absl::StrCat("log-", IdOf(backup->name()), ".jsonl"),
                           *vault_));
  DROVER_RETURN_IF_ERROR(file->AddLine(Header(*backup, first.hash(), last.hash())));
  int64_t after = first.id() - 1;
  while (after < last.id()) {
    DROVER_ASSIGN_OR_RETURN(const std::vector<drover::v1::LogEntry> entries,
                            store_->ReadLog(after, kPage));
    if (entries.empty()) {
      return absl::DataLossError(absl::StrCat("entries after ", after, " have gone meanwhile"));
    }
    for (const drover::v1::LogEntry& entry : entries) {
      if (entry.id() > last.id()) break;
      DROVER_ASSIGN_OR_RETURN(const std::string json, ToJson(entry));
      DROVER_RETURN_IF_ERROR(file->AddLine(json));
    }
    after = entries.back().id();
  }
  return file->Finish(backup);
}

absl::StatusOr<drover::v1::ListLogBackupsResponse> LogArchive::List(
    const drover::v1::ListLogBackupsRequest& request) {
  const int page = request.page_size() > 0 ? request.page_size() : kListPage;
  drover::v1::ListLogBackupsResponse response;
  DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(
        const std::vector<Document> documents,
        reader.List(Table::kLogBackups,
                    {.after_key = request.page_token(), .descending = true, .limit = page + 1}));
    response.Clear();
    for (const Document& document : documents) {
      if (response.backups_size() == page) {
        response.set_next_page_token(std::string(IdOf(response.backups(page - 1).name())));
        break;
      }
      response.add_backups()->ParseFromString(document.body);
    }
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<drover::v1::LogBackup> LogArchive::Get(absl::string_view name) {
  DROVER_ASSIGN_OR_RETURN(const std::string id, ResourceId(name, kCollection, "name"));
  absl::StatusOr<Document> document;
  absl::Status status = store_->Read([&](StoreReader& reader) {
    document = reader.Get(Table::kLogBackups, id);
    return document.status();
  });
  if (absl::IsNotFound(status)) {
    return MakeError(absl::StatusCode::kNotFound, "LOG_BACKUP_NOT_FOUND",
                     absl::StrCat("there is no log backup ", name));
  }
  if (!status.ok()) return status;
  drover::v1::LogBackup backup;
  backup.ParseFromString(document->body);
  return backup;
}

// ---------------------------------------------------------------- deleting

absl::StatusOr<std::vector<drover::v1::LogGap>> LogArchive::RunsBefore(absl::Time before,
                                                                       int64_t* entries) {
  std::vector<drover::v1::LogGap> runs;
  DROVER_RETURN_IF_ERROR(ForEachBefore(*store_, before, [&](const drover::v1::LogEntry& entry) {
    // Entries about deletions stay.
    if (entry.gaps_size() > 0) return absl::OkStatus();
    ++*entries;
    if (runs.empty() || runs.back().last_id() + 1 != entry.id()) {
      runs.emplace_back().set_first_id(entry.id());
    }
    runs.back().set_last_id(entry.id());
    runs.back().set_last_hash(entry.hash());
    return absl::OkStatus();
  }));
  return runs;
}

absl::Status LogArchive::CheckHeld(const std::vector<drover::v1::LogGap>& runs) {
  DROVER_ASSIGN_OR_RETURN(std::vector<drover::v1::LogBackup> backups, AllBackups(*store_));
  // The one that reaches furthest first, so that few files have to be read.
  std::sort(backups.begin(), backups.end(),
            [](const auto& a, const auto& b) { return a.last_id() > b.last_id(); });
  std::set<std::string> intact;
  std::set<std::string> damaged;
  std::string why;
  const auto holds = [&](const drover::v1::LogBackup& backup, int64_t id) {
    if (id < backup.first_id() || id > backup.last_id()) return false;
    if (intact.contains(backup.name())) return true;
    if (damaged.contains(backup.name())) return false;
    const absl::Status status = CheckLogBackup(backup, *vault_);
    (status.ok() ? intact : damaged).insert(backup.name());
    if (!status.ok()) absl::StrAppend(&why, "; ", status.message());
    return status.ok();
  };
  for (const auto& run : runs) {
    for (int64_t id = run.first_id(); id <= run.last_id();) {
      const auto holder = std::find_if(backups.begin(), backups.end(),
                                       [&](const auto& backup) { return holds(backup, id); });
      if (holder == backups.end()) return NotBackedUp(id, why);
      id = holder->last_id() + 1;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<drover::v1::DeleteLogResponse> LogArchive::Delete(
    const drover::v1::DeleteLogRequest& request, const Caller& caller) {
  if (request.confirm() != kConfirm) {
    return InvalidField("confirm", absl::StrCat("must be \"", kConfirm, "\""));
  }
  if (!request.has_before_time()) {
    return InvalidField("before_time", "is required: entries older than it are deleted");
  }
  const Turn turn(this);
  DROVER_ASSIGN_OR_RETURN(const drover::v1::VerifyLogResponse verified, log_->Verify());
  if (!verified.intact()) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "LOG_NOT_INTACT",
        absl::StrCat("the log was tampered with and stays as evidence: ", verified.problem()));
  }
  int64_t entries = 0;
  DROVER_ASSIGN_OR_RETURN(const std::vector<drover::v1::LogGap> runs,
                          RunsBefore(FromProto(request.before_time()), &entries));
  drover::v1::DeleteLogResponse response;
  if (runs.empty()) return response;
  DROVER_RETURN_IF_ERROR(CheckHeld(runs));
  drover::v1::LogEntry entry;
  entry.set_kind(drover::v1::LOG_KIND_OPERATION);
  entry.set_user(caller.user);
  entry.set_client_address(caller.client_address);
  entry.set_action("delete log entries");
  entry.set_result("OK");
  entry.set_detail(Describe(runs, entries));
  entry.mutable_gaps()->Assign(runs.begin(), runs.end());
  DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) -> absl::Status {
    int64_t deleted = 0;
    for (const auto& run : runs) {
      DROVER_ASSIGN_OR_RETURN(const int64_t count, writer.DeleteLog(run.first_id(), run.last_id()));
      deleted += count;
    }
    response.set_deleted(deleted);
    return log_->Append(writer, entry);
  }));
  return response;
}

}  // namespace drover::core
