#include "controller/store/sqlite.h"

#include <sqlite3.h>

#include "absl/strings/str_cat.h"
#include "proto/support/status.h"

namespace drover::store {
namespace {

constexpr int kBusyMilliseconds = 5000;
// More than the fixed statements there are; what searches add beyond is not kept.
constexpr size_t kIdleStatements = 200;

}  // namespace

absl::Status StatusOfSqlite(int code, absl::string_view message, absl::string_view path) {
  const std::string text = absl::StrCat("store ", path, ": ", message);
  switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
      return absl::OkStatus();
    case SQLITE_CONSTRAINT:
      return absl::AlreadyExistsError(text);
    case SQLITE_FULL:
      return MakeError(absl::StatusCode::kResourceExhausted, "STORE_FULL",
                       absl::StrCat(text, "; free space on its file system"));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return MakeError(absl::StatusCode::kUnavailable, "STORE_BUSY",
                       absl::StrCat(text, "; another program holds it"));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return MakeError(absl::StatusCode::kDataLoss, "STORE_CORRUPT",
                       absl::StrCat(text, "; stop droverd and restore a backup of the store"));
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_ERROR:
      return absl::InternalError(text);
    default:
      return MakeError(absl::StatusCode::kUnavailable, "STORE_FAILED", text);
  }
}

// ---------------------------------------------------------------- Statement

Statement::Statement(Connection* connection, std::string sql, sqlite3_stmt* statement)
    : connection_(connection), sql_(std::move(sql)), statement_(statement) {}

Statement::Statement(Statement&& other) noexcept
    : connection_(other.connection_),
      sql_(std::move(other.sql_)),
      statement_(std::exchange(other.statement_, nullptr)),
      bind_error_(other.bind_error_) {}

Statement::~Statement() {
  if (statement_ != nullptr) connection_->TakeBack(std::move(sql_), statement_);
}

void Statement::Bind(int parameter, int64_t value) {
  if (int code = sqlite3_bind_int64(statement_, parameter, value)) bind_error_ = code;
}

void Statement::BindText(int parameter, absl::string_view value) {
  // An empty view may have no data, which SQLite would take for NULL.
  const char* data = value.empty() ? "" : value.data();
  if (int code = sqlite3_bind_text64(statement_, parameter, data, value.size(), SQLITE_TRANSIENT,
                                     SQLITE_UTF8)) {
    bind_error_ = code;
  }
}

void Statement::BindBlob(int parameter, absl::string_view value) {
  const char* data = value.empty() ? "" : value.data();
  if (int code = sqlite3_bind_blob64(statement_, parameter, data, value.size(), SQLITE_TRANSIENT)) {
    bind_error_ = code;
  }
}

absl::StatusOr<bool> Statement::Step() {
  if (bind_error_ != 0) return connection_->Error(bind_error_);
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return connection_->Error(code);
}

absl::Status Statement::Run() {
  while (true) {
    DROVER_ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) return absl::OkStatus();
  }
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }

absl::string_view Statement::Bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? absl::string_view()
                         : absl::string_view(static_cast<const char*>(data), size);
}

// ---------------------------------------------------------------- Connection

Connection::Connection(sqlite3* database, std::string path)
    : database_(database), path_(std::move(path)) {}

Connection::~Connection() {
  for (auto& [sql, statement] : idle_) sqlite3_finalize(statement);
  sqlite3_close(database_);
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const std::string& path,
                                                             Access access) {
  sqlite3* database = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                    (access == Access::kReadWrite ? SQLITE_OPEN_CREATE : 0);
  const int code = sqlite3_open_v2(path.c_str(), &database, flags, nullptr);
  if (code != SQLITE_OK) {
    absl::Status status = StatusOfSqlite(code, sqlite3_errmsg(database), path);
    sqlite3_close(database);
    return status;
  }
  std::unique_ptr<Connection> connection(new Connection(database, path));
  sqlite3_busy_timeout(database, kBusyMilliseconds);
  sqlite3_db_config(database, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  DROVER_RETURN_IF_ERROR(connection->Execute("PRAGMA synchronous = FULL"));
  if (access == Access::kReadOnly) {
    DROVER_RETURN_IF_ERROR(connection->Execute("PRAGMA query_only = 1"));
  }
  return connection;
}

absl::Status Connection::Execute(absl::string_view sql) {
  return Error(sqlite3_exec(database_, std::string(sql).c_str(), nullptr, nullptr, nullptr));
}

absl::StatusOr<Statement> Connection::Prepare(absl::string_view sql) {
  std::string text(sql);
  if (auto it = idle_.find(text); it != idle_.end()) {
    sqlite3_stmt* statement = it->second;
    idle_.erase(it);
    return Statement(this, std::move(text), statement);
  }
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(database_, text.data(), static_cast<int>(text.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return Error(code);
  return Statement(this, std::move(text), statement);
}

absl::StatusOr<int64_t> Connection::QueryInt(absl::string_view sql) {
  DROVER_ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  DROVER_ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (!row) return absl::NotFoundError(absl::StrCat(sql, ": no row"));
  return statement.Int(0);
}

bool Connection::InTransaction() const { return sqlite3_get_autocommit(database_) == 0; }

int64_t Connection::Changes() const { return sqlite3_changes64(database_); }

absl::Status Connection::Error(int code) const {
  return StatusOfSqlite(code, sqlite3_errmsg(database_), path_);
}

void Connection::TakeBack(std::string sql, sqlite3_stmt* statement) {
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  if (idle_.size() >= kIdleStatements || !idle_.emplace(std::move(sql), statement).second) {
    sqlite3_finalize(statement);
  }
}

}  // namespace drover::store
