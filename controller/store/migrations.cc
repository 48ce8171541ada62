#include "controller/store/migrations.h"

#include <cerrno>
#include <cstdio>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "controller/store/private_file.h"
#include "proto/support/log.h"
#include "proto/support/status.h"

namespace drover::store {
namespace {

// "Drov": tells our files from other programs'.
constexpr int64_t kApplicationId = 0x44726f76;

constexpr char kVersionTable[] =
    "CREATE TABLE schema_version ("
    "version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, "
    "applied BIGINT NOT NULL)";

absl::Status BeginNewStore(Connection& connection) {
  DROVER_RETURN_IF_ERROR(connection.Execute("BEGIN IMMEDIATE"));
  DROVER_RETURN_IF_ERROR(connection.Execute(kVersionTable));
  DROVER_RETURN_IF_ERROR(
      connection.Execute(absl::StrCat("PRAGMA application_id = ", kApplicationId)));
  return connection.Execute("COMMIT");
}

// Makes an empty file a store. A file with other things in it is left alone.
absl::Status RecogniseStore(Connection& connection) {
  DROVER_ASSIGN_OR_RETURN(const int64_t id, connection.QueryInt("PRAGMA application_id"));
  DROVER_ASSIGN_OR_RETURN(const int64_t objects,
                          connection.QueryInt("SELECT count(*) FROM sqlite_master"));
  if (id == 0 && objects == 0) return BeginNewStore(connection);
  if (id == kApplicationId) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "NOT_A_STORE",
                   "the file is an SQLite database of another program; give Drover a folder of its "
                   "own");
}

// Version -> name and checksum.
using Applied = std::map<int64_t, std::pair<std::string, std::string>>;

absl::StatusOr<Applied> ReadApplied(Connection& connection) {
  DROVER_ASSIGN_OR_RETURN(Statement rows,
                          connection.Prepare("SELECT version, name, checksum FROM schema_version"));
  Applied applied;
  while (true) {
    DROVER_ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return applied;
    applied[rows.Int(0)] = {std::string(rows.Bytes(1)), std::string(rows.Bytes(2))};
  }
}

absl::Status CheckApplied(const Applied& applied, const std::vector<Migration>& migrations) {
  const int64_t known = static_cast<int64_t>(migrations.size());
  if (!applied.empty() && applied.rbegin()->first > known) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "STORE_TOO_NEW",
        absl::StrCat("the store was written by a newer Drover: its schema is ",
                     applied.rbegin()->first, ", this program knows ", known,
                     "; start the newer program, or restore the copy made before the upgrade"));
  }
  for (const auto& [version, name_and_checksum] : applied) {
    const Migration& migration = migrations[version - 1];
    if (name_and_checksum.second == migration.checksum) continue;
    return MakeError(absl::StatusCode::kFailedPrecondition, "STORE_ALTERED",
                     absl::StrCat("schema step ", version, " of the store (",
                                  name_and_checksum.first, ") is not the one this program knows (",
                                  migration.name, "); start the program that wrote the store"));
  }
  return absl::OkStatus();
}

// Replaces the copy of an attempt that failed: the store is as it was then.
absl::Status BackUp(Connection& connection, const std::string& directory, int next) {
  DROVER_RETURN_IF_ERROR(MakePrivateDirectory(directory));
  const std::string path = absl::StrFormat("%s/store-before-%04d.db", directory, next);
  const std::string draft = path + ".part";
  // SQLite copies into an empty file and keeps its mode.
  std::remove(draft.c_str());
  DROVER_RETURN_IF_ERROR(MakePrivateFile(draft));
  {
    DROVER_ASSIGN_OR_RETURN(Statement copy, connection.Prepare("VACUUM INTO ?1"));
    copy.BindText(1, draft);
    DROVER_RETURN_IF_ERROR(copy.Run());
  }
  DROVER_RETURN_IF_ERROR(SyncFile(draft));
  if (std::rename(draft.c_str(), path.c_str()) != 0) {
    return MakeError(absl::StatusCode::kUnavailable, "STORE_FAILED",
                     absl::ErrnoToStatus(errno, absl::StrCat("cannot make ", path)).ToString());
  }
  DROVER_RETURN_IF_ERROR(SyncFile(path));
  LogInfo("store: copied to ", path, " before its schema changes");
  return absl::OkStatus();
}

absl::Status Apply(Connection& connection, const Migration& migration, absl::Time now) {
  DROVER_RETURN_IF_ERROR(connection.Execute(migration.sql));
  DROVER_ASSIGN_OR_RETURN(
      Statement insert,
      connection.Prepare("INSERT INTO schema_version (version, name, checksum, applied) "
                         "VALUES (?1, ?2, ?3, ?4)"));
  insert.Bind(1, migration.number);
  insert.BindText(2, migration.name);
  insert.BindText(3, migration.checksum);
  insert.Bind(4, absl::ToUnixMicros(now));
  return insert.Run();
}

absl::Status ApplyInTransaction(Connection& connection, const Migration& migration,
                                absl::Time now) {
  DROVER_RETURN_IF_ERROR(connection.Execute("BEGIN IMMEDIATE"));
  absl::Status status = Apply(connection, migration, now);
  if (status.ok()) status = connection.Execute("COMMIT");
  if (!status.ok()) {
    if (connection.InTransaction()) (void)connection.Execute("ROLLBACK");
    return Annotate(status, absl::StrCat("schema step ", migration.name));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Migrate(Connection& connection, const std::vector<Migration>& migrations,
                     const std::string& backup_directory, absl::Time now) {
  DROVER_RETURN_IF_ERROR(RecogniseStore(connection));
  DROVER_ASSIGN_OR_RETURN(const Applied applied, ReadApplied(connection));
  DROVER_RETURN_IF_ERROR(CheckApplied(applied, migrations));
  bool backed_up = applied.empty();
  for (const Migration& migration : migrations) {
    if (applied.contains(migration.number)) continue;
    if (!std::exchange(backed_up, true)) {
      DROVER_RETURN_IF_ERROR(BackUp(connection, backup_directory, migration.number));
    }
    DROVER_RETURN_IF_ERROR(ApplyInTransaction(connection, migration, now));
  }
  return absl::OkStatus();
}

}  // namespace drover::store
