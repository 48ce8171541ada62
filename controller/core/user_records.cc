#include "controller/core/user_records.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

constexpr size_t kSessionsOfAUser = 100;

absl::StatusOr<UserRecord> Parse(const Document& document) {
  UserRecord record;
  if (record.ParseFromString(document.body)) return record;
  return MakeError(absl::StatusCode::kDataLoss, "STORE_CORRUPT",
                   absl::StrCat("user ", document.key, " cannot be read"));
}

}  // namespace

absl::StatusOr<UserRecord> ReadUser(StoreReader& reader, absl::string_view id) {
  absl::StatusOr<Document> document = reader.Get(Table::kUsers, id);
  if (absl::IsNotFound(document.status())) {
    return MakeError(absl::StatusCode::kNotFound, "USER_NOT_FOUND",
                     absl::StrCat("there is no user ", id));
  }
  if (!document.ok()) return document.status();
  return Parse(*document);
}

absl::Status WriteUser(StoreWriter& writer, const UserRecord& record) {
  return writer.Put(Table::kUsers,
                    {std::string(IdOf(record.user().name())), "", record.SerializeAsString()});
}

absl::StatusOr<std::vector<UserRecord>> ReadAllUsers(StoreReader& reader) {
  DROVER_ASSIGN_OR_RETURN(const std::vector<Document> documents, reader.List(Table::kUsers, {}));
  std::vector<UserRecord> records;
  for (const Document& document : documents) {
    DROVER_ASSIGN_OR_RETURN(UserRecord record, Parse(document));
    records.push_back(std::move(record));
  }
  return records;
}

absl::StatusOr<std::string> LanguageOfAddress(Store& store, absl::string_view address) {
  std::string language;
  DROVER_RETURN_IF_ERROR(store.Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const std::vector<UserRecord> users, ReadAllUsers(reader));
    for (const UserRecord& user : users) {
      if (user.user().mail() == address) language = user.user().language();
    }
    return absl::OkStatus();
  }));
  return language;
}

absl::Status CheckOthersAdminister(StoreReader& reader, absl::string_view id) {
  DROVER_ASSIGN_OR_RETURN(const std::vector<UserRecord> records, ReadAllUsers(reader));
  const bool others = std::any_of(records.begin(), records.end(), [&](const UserRecord& record) {
    return record.user().role() == drover::v1::ROLE_SYSTEM_ADMINISTRATOR &&
           IdOf(record.user().name()) != id;
  });
  if (others) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "LAST_SYSTEM_ADMINISTRATOR",
                   absl::StrCat(id,
                                " is the last system administrator; make somebody else one "
                                "first"));
}

absl::Status EndSessions(StoreWriter& writer, absl::string_view user_id, absl::string_view but) {
  DROVER_ASSIGN_OR_RETURN(const std::vector<Document> sessions,
                          writer.List(Table::kSessions, {.owner = std::string(user_id)}));
  for (const Document& session : sessions) {
    if (session.key != but) DROVER_RETURN_IF_ERROR(writer.Delete(Table::kSessions, session.key));
  }
  return absl::OkStatus();
}

absl::Status PruneSessions(StoreWriter& writer, absl::string_view user_id, absl::Time now) {
  DROVER_ASSIGN_OR_RETURN(const std::vector<Document> sessions,
                          writer.List(Table::kSessions, {.owner = std::string(user_id)}));
  std::vector<std::pair<absl::Time, std::string>> alive;
  for (const Document& session : sessions) {
    SessionRecord record;
    if (!record.ParseFromString(session.body) || FromProto(record.expire_time()) <= now) {
      DROVER_RETURN_IF_ERROR(writer.Delete(Table::kSessions, session.key));
    } else {
      alive.emplace_back(FromProto(record.last_used_time()), session.key);
    }
  }
  if (alive.size() < kSessionsOfAUser) return absl::OkStatus();
  std::sort(alive.begin(), alive.end());
  alive.resize(alive.size() - kSessionsOfAUser + 1);
  for (const auto& [used, key] : alive) {
    DROVER_RETURN_IF_ERROR(writer.Delete(Table::kSessions, key));
  }
  return absl::OkStatus();
}

}  // namespace drover::core
