#include "controller/store/queries.h"

#include <string>
#include <utility>
#include <variant>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::store {
namespace {

constexpr char kLogColumns[] =
    "SELECT id, kind, time, user_id, client_address, vm, vm_type, environment, action, "
    "resource_name, result, detail, operation, gaps, hash FROM log";

// Conditions that must all hold, and what they are bound to.
class Criteria {
 public:
  void Add(absl::string_view condition, std::variant<int64_t, std::string> value) {
    values_.push_back(std::move(value));
    conditions_.push_back(absl::StrCat(condition, " ?", values_.size()));
  }
  // `column` is one of `values`; no condition when there are none.
  template <typename Values>
  void AddAnyOf(absl::string_view column, const Values& values) {
    if (values.empty()) return;
    std::vector<std::string> parameters;
    for (const auto& value : values) {
      values_.emplace_back(Value(value));
      parameters.push_back(absl::StrCat("?", values_.size()));
    }
    conditions_.push_back(absl::StrCat(column, " IN (", absl::StrJoin(parameters, ", "), ")"));
  }
  // One of `columns` contains `text`.
  void AddText(const std::vector<absl::string_view>& columns, absl::string_view text) {
    values_.emplace_back(ContainsPattern(text));
    std::vector<std::string> any;
    for (absl::string_view column : columns) {
      any.push_back(absl::StrCat(column, " LIKE ?", values_.size(), " ESCAPE '\\'"));
    }
    conditions_.push_back(absl::StrCat("(", absl::StrJoin(any, " OR "), ")"));
  }

  absl::StatusOr<Statement> Prepare(Connection& connection, absl::string_view select,
                                    absl::string_view order, int limit) const {
    std::string sql(select);
    if (!conditions_.empty()) {
      absl::StrAppend(&sql, " WHERE ", absl::StrJoin(conditions_, " AND "));
    }
    absl::StrAppend(&sql, " ORDER BY ", order, " LIMIT ?", values_.size() + 1);
    DROVER_ASSIGN_OR_RETURN(Statement statement, connection.Prepare(sql));
    int parameter = 0;
    for (const auto& value : values_) {
      ++parameter;
      if (const auto* number = std::get_if<int64_t>(&value)) {
        statement.Bind(parameter, *number);
      } else {
        statement.BindText(parameter, std::get<std::string>(value));
      }
    }
    statement.Bind(parameter + 1, limit > 0 ? limit : -1);
    return statement;
  }

 private:
  static std::string Value(const std::string& value) { return value; }
  static int64_t Value(int value) { return value; }

  std::vector<std::string> conditions_;
  std::vector<std::variant<int64_t, std::string>> values_;
};

int64_t Micros(const google::protobuf::Timestamp& time) {
  return absl::ToUnixMicros(FromProto(time));
}

absl::Status AddPageToken(absl::string_view token, absl::string_view column, Criteria& criteria) {
  if (token.empty()) return absl::OkStatus();
  int64_t before = 0;
  if (!absl::SimpleAtoi(token, &before) || before <= 0) {
    return InvalidField("page_token", "is not a token an earlier answer gave; leave it out");
  }
  criteria.Add(absl::StrCat(column, " <"), before);
  return absl::OkStatus();
}

drover::v1::LogEntry ReadEntry(const Statement& row) {
  drover::v1::LogEntry entry;
  auto text = [&](int column) { return std::string(row.Bytes(column)); };
  entry.set_id(row.Int(0));
  entry.set_kind(static_cast<drover::v1::LogKind>(row.Int(1)));
  *entry.mutable_time() = ToProto(absl::FromUnixMicros(row.Int(2)));
  entry.set_user(text(3));
  entry.set_client_address(text(4));
  entry.set_vm(text(5));
  entry.set_vm_type(text(6));
  entry.set_environment(text(7));
  entry.set_action(text(8));
  entry.set_resource_name(text(9));
  entry.set_result(text(10));
  entry.set_detail(text(11));
  entry.set_operation(text(12));
  drover::v1::LogEntry gaps;
  // What cannot be parsed is a row that was edited: its hash will tell.
  if (gaps.ParseFromString(text(13))) *entry.mutable_gaps() = gaps.gaps();
  entry.set_hash(text(14));
  return entry;
}

absl::StatusOr<std::vector<drover::v1::LogEntry>> ReadEntries(Statement rows) {
  std::vector<drover::v1::LogEntry> entries;
  while (true) {
    DROVER_ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return entries;
    entries.push_back(ReadEntry(rows));
  }
}

absl::StatusOr<std::vector<drover::v1::Event>> ReadEventRows(Statement rows) {
  std::vector<drover::v1::Event> events;
  while (true) {
    DROVER_ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return events;
    drover::v1::Event& event = events.emplace_back();
    if (!event.ParseFromString(std::string(rows.Bytes(1)))) {
      return MakeError(absl::StatusCode::kDataLoss, "STORE_CORRUPT",
                       absl::StrCat("event ", rows.Int(0), " cannot be read"));
    }
  }
}

}  // namespace

std::string ContainsPattern(absl::string_view text) {
  std::string pattern = "%";
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\') pattern.push_back('\\');
    pattern.push_back(c);
  }
  pattern.push_back('%');
  return pattern;
}

absl::StatusOr<std::vector<drover::v1::LogEntry>> SearchLog(
    Connection& connection, const drover::v1::SearchLogRequest& request, int limit) {
  Criteria criteria;
  DROVER_RETURN_IF_ERROR(AddPageToken(request.page_token(), "id", criteria));
  if (request.has_start_time()) criteria.Add("time >=", Micros(request.start_time()));
  if (request.has_end_time()) criteria.Add("time <", Micros(request.end_time()));
  criteria.AddAnyOf("kind", request.kinds());
  criteria.AddAnyOf("vm_type", request.vm_types());
  if (!request.client_address().empty()) criteria.Add("client_address =", request.client_address());
  if (!request.user().empty()) criteria.Add("user_id =", request.user());
  if (!request.vm().empty()) criteria.Add("vm =", request.vm());
  if (!request.environment().empty()) criteria.Add("environment =", request.environment());
  if (!request.text().empty()) {
    criteria.AddText({"action", "resource_name", "result", "detail"}, request.text());
  }
  DROVER_ASSIGN_OR_RETURN(Statement rows,
                          criteria.Prepare(connection, kLogColumns, "id DESC", limit));
  return ReadEntries(std::move(rows));
}

absl::StatusOr<std::vector<drover::v1::Event>> ListEvents(
    Connection& connection, const drover::v1::ListEventsRequest& request, int limit) {
  Criteria criteria;
  DROVER_RETURN_IF_ERROR(AddPageToken(request.page_token(), "sequence", criteria));
  if (request.has_start_time()) criteria.Add("time >=", Micros(request.start_time()));
  if (request.has_end_time()) criteria.Add("time <", Micros(request.end_time()));
  criteria.AddAnyOf("kind", request.kinds());
  if (!request.vm().empty()) criteria.Add("vm =", request.vm());
  if (!request.environment().empty()) criteria.Add("environment =", request.environment());
  DROVER_ASSIGN_OR_RETURN(
      Statement rows,
      criteria.Prepare(connection, "SELECT sequence, body FROM events", "sequence DESC", limit));
  return ReadEventRows(std::move(rows));
}

absl::StatusOr<std::vector<drover::v1::LogEntry>> ReadLog(Connection& connection, int64_t after_id,
                                                          int limit) {
  Criteria criteria;
  criteria.Add("id >", after_id);
  DROVER_ASSIGN_OR_RETURN(Statement rows, criteria.Prepare(connection, kLogColumns, "id", limit));
  return ReadEntries(std::move(rows));
}

absl::StatusOr<std::vector<drover::v1::Event>> ReadEvents(Connection& connection,
                                                          int64_t after_sequence, int limit) {
  Criteria criteria;
  criteria.Add("sequence >", after_sequence);
  DROVER_ASSIGN_OR_RETURN(
      Statement rows,
      criteria.Prepare(connection, "SELECT sequence, body FROM events", "sequence", limit));
  return ReadEventRows(std::move(rows));
}

}  // namespace drover::store
