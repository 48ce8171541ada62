#include "controller/store/transaction.h"

#include "absl/strings/str_cat.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::store {
namespace {

absl::string_view NameOf(core::Table table) {
  switch (table) {
    case core::Table::kHypervisors:
      return "hypervisors";
    case core::Table::kTypes:
      return "types";
    case core::Table::kEnvironments:
      return "environments";
    case core::Table::kVms:
      return "vms";
    case core::Table::kUsers:
      return "users";
    case core::Table::kSessions:
      return "sessions";
    case core::Table::kOperations:
      return "operations";
    case core::Table::kAgents:
      return "agents";
    case core::Table::kTokens:
      return "tokens";
    case core::Table::kCommands:
      return "commands";
    case core::Table::kRequests:
      return "requests";
    case core::Table::kLogBackups:
      return "log_backups";
    case core::Table::kMails:
      return "mails";
    case core::Table::kAlerts:
      return "alerts";
    case core::Table::kWorkingCopies:
      return "working_copies";
    case core::Table::kRollouts:
      return "rollouts";
    case core::Table::kAutomaticUpgrades:
      return "automatic_upgrades";
    case core::Table::kCommits:
      return "commits";
    case core::Table::kProfiles:
      return "profiles";
    case core::Table::kConfigurations:
      return "configurations";
    case core::Table::kSettings:
      return "settings";
  }
  return "";
}

core::Document ReadDocument(const Statement& row) {
  return {std::string(row.Bytes(0)), std::string(row.Bytes(1)), std::string(row.Bytes(2))};
}

absl::Status WriteDocument(Connection& connection, absl::string_view sql,
                           const core::Document& document) {
  DROVER_ASSIGN_OR_RETURN(Statement insert, connection.Prepare(sql));
  insert.BindText(1, document.key);
  insert.BindText(2, document.owner);
  insert.BindBlob(3, document.body);
  return insert.Run();
}

}  // namespace

absl::StatusOr<core::Document> Transaction::Get(core::Table table, absl::string_view key) {
  DROVER_ASSIGN_OR_RETURN(Statement rows,
                          connection_->Prepare(absl::StrCat("SELECT key, owner, body FROM ",
                                                            NameOf(table), " WHERE key = ?1")));
  rows.BindText(1, key);
  DROVER_ASSIGN_OR_RETURN(const bool row, rows.Step());
  if (!row) return absl::NotFoundError(absl::StrCat(key, " is not in ", NameOf(table)));
  return ReadDocument(rows);
}

absl::StatusOr<std::vector<core::Document>> Transaction::List(core::Table table,
                                                              const core::ListQuery& query) {
  std::string sql = absl::StrCat("SELECT key, owner, body FROM ", NameOf(table), " WHERE 1 = 1");
  if (query.owner.has_value()) absl::StrAppend(&sql, " AND owner = ?1");
  if (!query.after_key.empty())
    absl::StrAppend(&sql, " AND key ", query.descending ? "<" : ">", " ?2");
  absl::StrAppend(&sql, " ORDER BY key", query.descending ? " DESC" : "", " LIMIT ?3");
  DROVER_ASSIGN_OR_RETURN(Statement rows, connection_->Prepare(sql));
  if (query.owner.has_value()) rows.BindText(1, *query.owner);
  if (!query.after_key.empty()) rows.BindText(2, query.after_key);
  rows.Bind(3, query.limit > 0 ? query.limit : -1);
  std::vector<core::Document> documents;
  while (true) {
    DROVER_ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return documents;
    documents.push_back(ReadDocument(rows));
  }
}

absl::StatusOr<int64_t> Transaction::LastLogId() {
  return connection_->QueryInt("SELECT coalesce(max(id), 0) FROM log");
}

absl::Status Transaction::Put(core::Table table, const core::Document& document) {
  return WriteDocument(*connection_,
                       absl::StrCat("INSERT INTO ", NameOf(table),
                                    " (key, owner, body) VALUES (?1, ?2, ?3) ON CONFLICT (key) DO "
                                    "UPDATE SET owner = excluded.owner, body = excluded.body"),
                       document);
}

absl::Status Transaction::Insert(core::Table table, const core::Document& document) {
  absl::Status status = WriteDocument(
      *connection_,
      absl::StrCat("INSERT INTO ", NameOf(table), " (key, owner, body) VALUES (?1, ?2, ?3)"),
      document);
  if (absl::IsAlreadyExists(status)) {
    return absl::AlreadyExistsError(
        absl::StrCat(document.key, " is in ", NameOf(table), " already"));
  }
  return status;
}

absl::Status Transaction::Delete(core::Table table, absl::string_view key) {
  DROVER_ASSIGN_OR_RETURN(Statement rows, connection_->Prepare(absl::StrCat(
                                              "DELETE FROM ", NameOf(table), " WHERE key = ?1")));
  rows.BindText(1, key);
  return rows.Run();
}

absl::StatusOr<int64_t> Transaction::AppendEvent(drover::v1::Event event) {
  DROVER_ASSIGN_OR_RETURN(
      const int64_t sequence,
      connection_->QueryInt("SELECT coalesce(max(sequence), 0) + 1 FROM events"));
  event.set_sequence(sequence);
  DROVER_ASSIGN_OR_RETURN(
      Statement insert,
      connection_->Prepare("INSERT INTO events (sequence, time, kind, vm, environment, body) "
                           "VALUES (?1, ?2, ?3, ?4, ?5, ?6)"));
  insert.Bind(1, sequence);
  insert.Bind(2, absl::ToUnixMicros(FromProto(event.time())));
  insert.BindText(3, event.kind());
  insert.BindText(4, event.vm());
  insert.BindText(5, event.environment());
  insert.BindBlob(6, event.SerializeAsString());
  DROVER_RETURN_IF_ERROR(insert.Run());
  return sequence;
}

absl::Status Transaction::AppendLog(const drover::v1::LogEntry& entry) {
  DROVER_ASSIGN_OR_RETURN(
      Statement insert,
      connection_->Prepare("INSERT INTO log (id, kind, time, user_id, client_address, vm, vm_type, "
                           "environment, action, resource_name, result, detail, operation, gaps, "
                           "hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, "
                           "?14, ?15)"));
  drover::v1::LogEntry gaps;
  *gaps.mutable_gaps() = entry.gaps();
  insert.Bind(1, entry.id());
  insert.Bind(2, entry.kind());
  insert.Bind(3, absl::ToUnixMicros(FromProto(entry.time())));
  insert.BindText(4, entry.user());
  insert.BindText(5, entry.client_address());
  insert.BindText(6, entry.vm());
  insert.BindText(7, entry.vm_type());
  insert.BindText(8, entry.environment());
  insert.BindText(9, entry.action());
  insert.BindText(10, entry.resource_name());
  insert.BindText(11, entry.result());
  insert.BindText(12, entry.detail());
  insert.BindText(13, entry.operation());
  insert.BindBlob(14, gaps.SerializeAsString());
  insert.BindText(15, entry.hash());
  return insert.Run();
}

absl::StatusOr<int64_t> Transaction::DeleteLog(int64_t first, int64_t last) {
  DROVER_ASSIGN_OR_RETURN(Statement rows,
                          connection_->Prepare("DELETE FROM log WHERE id >= ?1 AND id <= ?2"));
  rows.Bind(1, first);
  rows.Bind(2, last);
  DROVER_RETURN_IF_ERROR(rows.Run());
  return connection_->Changes();
}

}  // namespace drover::store
