// SQLite as the store needs it: connections that keep their prepared statements, and statements
// that bind and read by type. Nothing outside this folder sees SQLite.
//
// Thread promise: a connection and its statements are used by one thread at a time. A statement
// borrows from its connection and must be gone before it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;
struct sqlite3_stmt;

namespace drover::store {

class Connection;

// A prepared statement on loan from its connection's cache; goes back, reset, when it is destroyed.
// Parameters count from 1, columns from 0. A failed Bind is reported by the next Step.
class Statement {
 public:
  Statement(Connection* connection, std::string sql, sqlite3_stmt* statement);
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  Statement(const Statement&) = delete;
  ~Statement();

  void Bind(int parameter, int64_t value);
  void BindText(int parameter, absl::string_view value);
  void BindBlob(int parameter, absl::string_view value);

  // True when there is a row. Errors as core::Store tells them; ALREADY_EXISTS for a key that is
  // there.
  absl::StatusOr<bool> Step();
  // Steps to the end, for statements without rows.
  absl::Status Run();

  int64_t Int(int column) const;
  // Text or blob; valid until the next Step.
  absl::string_view Bytes(int column) const;

 private:
  Connection* connection_;
  std::string sql_;
  sqlite3_stmt* statement_;
  int bind_error_ = 0;
};

enum class Access { kReadWrite, kReadOnly };

class Connection {
 public:
  // The file is created when it is not there (kReadWrite). Waits up to five seconds for other
  // processes' locks.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const std::string& path, Access access);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // One or many statements, without parameters.
  absl::Status Execute(absl::string_view sql);
  absl::StatusOr<Statement> Prepare(absl::string_view sql);
  // The first column of the first row of a query without parameters.
  absl::StatusOr<int64_t> QueryInt(absl::string_view sql);

  // False after SQLite ended a transaction by itself, as it does when the disk is full.
  bool InTransaction() const;
  // Rows changed by the last statement.
  int64_t Changes() const;
  // The status for a result code of the last call on this connection.
  absl::Status Error(int code) const;

 private:
  friend class Statement;
  Connection(sqlite3* database, std::string path);
  void TakeBack(std::string sql, sqlite3_stmt* statement);

  sqlite3* const database_;
  const std::string path_;
  // Statements nobody uses at the moment, by their text.
  absl::flat_hash_map<std::string, sqlite3_stmt*> idle_;
};

// SQLite's result code as a status; `path` is named, values never are.
absl::Status StatusOfSqlite(int code, absl::string_view message, absl::string_view path);

}  // namespace drover::store
