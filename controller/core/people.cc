#include "controller/core/people.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "controller/core/password_policy.h"
#include "controller/core/user_records.h"
#include "proto/support/log.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

constexpr char kCollection[] = "users";
constexpr char kFirstUser[] = "admin";
constexpr int kPage = 100;
// A session's use is written down when the last note of it is older than this.
constexpr absl::Duration kNoteUse = absl::Minutes(1);
constexpr std::array<absl::string_view, 5> kChangeable = {"display_name", "role", "mail",
                                                          "language", "password"};

std::string KeyOf(Vault& vault, absl::string_view token) {
  return absl::BytesToHexString(vault.Sha256(token));
}

absl::Status LoginFailed() {
  return MakeError(absl::StatusCode::kUnauthenticated, "LOGIN_FAILED",
                   "wrong user name or password");
}

absl::Status SessionExpired() {
  return MakeError(absl::StatusCode::kUnauthenticated, "SESSION_EXPIRED",
                   "the session has expired or is unknown; sign in again");
}

absl::Status CheckRole(drover::v1::Role role) {
  if (role == drover::v1::ROLE_ADMINISTRATOR || role == drover::v1::ROLE_SYSTEM_ADMINISTRATOR) {
    return absl::OkStatus();
  }
  return InvalidField("user.role", "must be administrator or system administrator");
}

absl::Status CheckLanguage(absl::string_view language) {
  if (language.empty() || language == "en" || language == "zh-CN") return absl::OkStatus();
  return InvalidField("user.language", "must be \"en\" or \"zh-CN\"");
}

std::vector<std::string> ChangedFields(const drover::v1::UpdateUserRequest& request) {
  if (request.update_mask().paths_size() > 0) {
    return {request.update_mask().paths().begin(), request.update_mask().paths().end()};
  }
  std::vector<std::string> fields;
  const drover::v1::User& user = request.user();
  if (!user.display_name().empty()) fields.emplace_back("display_name");
  if (user.role() != drover::v1::ROLE_UNSPECIFIED) fields.emplace_back("role");
  if (!user.mail().empty()) fields.emplace_back("mail");
  if (!user.language().empty()) fields.emplace_back("language");
  if (!user.password().empty()) fields.emplace_back("password");
  return fields;
}

absl::Status CheckChange(const drover::v1::User& user, const std::vector<std::string>& fields,
                         absl::string_view id, const Caller& caller) {
  if (fields.empty()) return InvalidField("update_mask", "names no field to change");
  for (const std::string& field : fields) {
    if (std::find(kChangeable.begin(), kChangeable.end(), field) == kChangeable.end()) {
      return InvalidField("update_mask", absl::StrCat("\"", field, "\" cannot be changed"));
    }
    if (field == "role") DROVER_RETURN_IF_ERROR(CheckRole(user.role()));
    if (field == "language") DROVER_RETURN_IF_ERROR(CheckLanguage(user.language()));
    if (field != "password") continue;
    if (id == caller.user) {
      return InvalidField("user.password",
                          "is your own; change it with ChangePassword, which asks for the old one");
    }
    DROVER_RETURN_IF_ERROR(CheckNewPassword("user.password", user.password(), id));
  }
  return absl::OkStatus();
}

// Whether the user's sessions have to end.
bool ApplyChange(const drover::v1::User& from, const std::vector<std::string>& fields,
                 const std::string& password_hash, UserRecord& record) {
  bool ends_sessions = false;
  drover::v1::User& user = *record.mutable_user();
  for (const std::string& field : fields) {
    if (field == "display_name") user.set_display_name(from.display_name());
    if (field == "mail") user.set_mail(from.mail());
    if (field == "language") user.set_language(from.language().empty() ? "en" : from.language());
    if (field == "role") {
      ends_sessions = ends_sessions || user.role() != from.role();
      user.set_role(from.role());
    }
    if (field == "password") {
      ends_sessions = true;
      record.set_password_hash(password_hash);
      user.set_must_change_password(true);
    }
  }
  return ends_sessions;
}

}  // namespace

People::People(Store* store, Vault* vault, Clock* clock, SessionPolicy policy)
    : store_(store), vault_(vault), clock_(clock), policy_(policy), throttle_(clock) {}

absl::StatusOr<std::string> People::DecoyHash() {
  {
    absl::MutexLock lock(&mutex_);
    if (!decoy_.empty()) return decoy_;
  }
  DROVER_ASSIGN_OR_RETURN(std::string hash, vault_->HashPassword(vault_->RandomBytes(16)));
  absl::MutexLock lock(&mutex_);
  decoy_ = std::move(hash);
  return decoy_;
}

absl::StatusOr<std::optional<std::string>> People::Start() {
  // Made now, so that the first attempt with an unknown name takes no longer than others.
  DROVER_RETURN_IF_ERROR(DecoyHash().status());
  std::vector<UserRecord> users;
  DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(users, ReadAllUsers(reader));
    return absl::OkStatus();
  }));
  const bool untouched =
      users.empty() ||
      (users.size() == 1 && !users[0].user().has_last_login_time() &&
       users[0].user().must_change_password() && IdOf(users[0].user().name()) == kFirstUser);
  if (!untouched) return std::nullopt;
  const std::string password = OneTimePassword(vault_->RandomBytes(20));
  UserRecord record;
  DROVER_ASSIGN_OR_RETURN(*record.mutable_password_hash(), vault_->HashPassword(password));
  drover::v1::User& user = *record.mutable_user();
  user.set_name(ResourceName(kCollection, kFirstUser));
  user.set_display_name("first system administrator");
  user.set_role(drover::v1::ROLE_SYSTEM_ADMINISTRATOR);
  user.set_language("en");
  user.set_must_change_password(true);
  *user.mutable_create_time() = ToProto(clock_->Now());
  DROVER_RETURN_IF_ERROR(
      store_->Write([&](StoreWriter& writer) { return WriteUser(writer, record); }));
  return password;
}

// ---------------------------------------------------------------- sessions

absl::Status People::CheckPassword(absl::string_view user, absl::string_view password,
                                   absl::string_view client_address, const UserRecord* record,
                                   const absl::Status& wrong) {
  DROVER_RETURN_IF_ERROR(throttle_.Begin(user, client_address));
  std::string hash;
  if (record != nullptr) {
    hash = record->password_hash();
  } else if (absl::StatusOr<std::string> decoy = DecoyHash(); decoy.ok()) {
    hash = *decoy;
  }
  const bool same = vault_->VerifyPassword(password, hash);
  const bool right = same && record != nullptr;
  throttle_.End(user, client_address, right);
  return right ? absl::OkStatus() : wrong;
}

absl::StatusOr<drover::v1::Session> People::Login(const drover::v1::LoginRequest& request,
                                                  absl::string_view client_address) {
  absl::StatusOr<UserRecord> record;
  absl::Status read = store_->Read([&](StoreReader& reader) {
    record = ReadUser(reader, request.user());
    return record.status();
  });
  if (!read.ok() && !absl::IsNotFound(read)) return read;
  DROVER_RETURN_IF_ERROR(CheckPassword(request.user(), request.password(), client_address,
                                       read.ok() ? &*record : nullptr, LoginFailed()));
  return OpenSession(*record, client_address);
}

absl::StatusOr<drover::v1::Session> People::OpenSession(const UserRecord& checked,
                                                        absl::string_view client_address) {
  const absl::Time now = clock_->Now();
  const std::string id(IdOf(checked.user().name()));
  drover::v1::Session session;
  session.set_token(absl::WebSafeBase64Escape(vault_->RandomBytes(32)));
  *session.mutable_expire_time() = ToProto(now + std::min(policy_.idle, policy_.longest));
  SessionRecord record;
  record.set_user(id);
  record.set_client_address(std::string(client_address));
  *record.mutable_create_time() = ToProto(now);
  *record.mutable_last_used_time() = ToProto(now);
  *record.mutable_expire_time() = session.expire_time();
  DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) -> absl::Status {
    absl::StatusOr<UserRecord> user = ReadUser(writer, id);
    // Deleted, or given another password, between the check and now.
    if (absl::IsNotFound(user.status())) return LoginFailed();
    if (!user.ok()) return user.status();
    if (user->password_hash() != checked.password_hash()) return LoginFailed();
    *user->mutable_user()->mutable_last_login_time() = ToProto(now);
    DROVER_RETURN_IF_ERROR(WriteUser(writer, *user));
    DROVER_RETURN_IF_ERROR(PruneSessions(writer, id, now));
    *session.mutable_user() = user->user();
    return writer.Insert(Table::kSessions,
                         {KeyOf(*vault_, session.token()), id, record.SerializeAsString()});
  }));
  return session;
}

absl::StatusOr<Caller> People::Authenticate(absl::string_view token,
                                            absl::string_view client_address) {
  const absl::Time now = clock_->Now();
  Caller caller;
  caller.client_address = std::string(client_address);
  caller.session_key = KeyOf(*vault_, token);
  SessionRecord session;
  absl::Status status = store_->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const Document document,
                            reader.Get(Table::kSessions, caller.session_key));
    if (!session.ParseFromString(document.body)) return SessionExpired();
    DROVER_ASSIGN_OR_RETURN(const UserRecord user, ReadUser(reader, session.user()));
    caller.user = session.user();
    caller.role = user.user().role();
    caller.must_change_password = user.user().must_change_password();
    return absl::OkStatus();
  });
  if (absl::IsNotFound(status)) return SessionExpired();
  if (!status.ok()) return status;
  if (now >= FromProto(session.expire_time())) return SessionExpired();
  if (now - FromProto(session.last_used_time()) >= kNoteUse) KeepAlive(caller.session_key, now);
  return caller;
}

void People::KeepAlive(absl::string_view session_key, absl::Time now) {
  absl::Status status = store_->Write([&](StoreWriter& writer) -> absl::Status {
    absl::StatusOr<Document> document = writer.Get(Table::kSessions, session_key);
    // Signed out meanwhile.
    if (absl::IsNotFound(document.status())) return absl::OkStatus();
    if (!document.ok()) return document.status();
    SessionRecord session;
    session.ParseFromString(document->body);
    const absl::Time end = FromProto(session.create_time()) + policy_.longest;
    *session.mutable_last_used_time() = ToProto(now);
    *session.mutable_expire_time() = ToProto(std::min(now + policy_.idle, end));
    return writer.Put(Table::kSessions,
                      {document->key, document->owner, session.SerializeAsString()});
  });
  // The session is good; it only may end earlier than it should.
  if (!status.ok()) LogWarning("the use of a session was not noted: ", status.message());
}

absl::Status People::Logout(const Caller& caller) {
  return store_->Write(
      [&](StoreWriter& writer) { return writer.Delete(Table::kSessions, caller.session_key); });
}

// ---------------------------------------------------------------- oneself

absl::StatusOr<drover::v1::User> People::GetSelf(const Caller& caller) {
  return GetUser(ResourceName(kCollection, caller.user));
}

absl::Status People::ChangePassword(const Caller& caller,
                                    const drover::v1::ChangePasswordRequest& request) {
  absl::StatusOr<UserRecord> record;
  DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) {
    record = ReadUser(reader, caller.user);
    return record.status();
  }));
  DROVER_RETURN_IF_ERROR(
      CheckPassword(caller.user, request.old_password(), caller.client_address, &*record,
                    MakeError(absl::StatusCode::kFailedPrecondition, "WRONG_PASSWORD",
                              "the old password is not right")));
  DROVER_RETURN_IF_ERROR(CheckNewPassword("new_password", request.new_password(), caller.user));
  if (request.new_password() == request.old_password()) {
    return InvalidField("new_password", "must differ from the old one");
  }
  DROVER_ASSIGN_OR_RETURN(const std::string hash, vault_->HashPassword(request.new_password()));
  return store_->Write([&](StoreWriter& writer) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(UserRecord user, ReadUser(writer, caller.user));
    if (user.password_hash() != record->password_hash()) {
      return absl::AbortedError("the password was changed by somebody else at the same moment");
    }
    user.set_password_hash(hash);
    user.mutable_user()->set_must_change_password(false);
    DROVER_RETURN_IF_ERROR(WriteUser(writer, user));
    return EndSessions(writer, caller.user, caller.session_key);
  });
}

// ---------------------------------------------------------------- users

absl::StatusOr<drover::v1::ListUsersResponse> People::ListUsers(
    const drover::v1::ListUsersRequest& request) {
  const int page = request.page_size() > 0 ? request.page_size() : kPage;
  drover::v1::ListUsersResponse response;
  DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(
        const std::vector<Document> documents,
        reader.List(Table::kUsers, {.after_key = request.page_token(), .limit = page + 1}));
    response.Clear();
    for (const Document& document : documents) {
      if (response.users_size() == page) {
        response.set_next_page_token(std::string(IdOf(response.users(page - 1).name())));
        break;
      }
      UserRecord record;
      record.ParseFromString(document.body);
      *response.add_users() = record.user();
    }
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<drover::v1::User> People::GetUser(absl::string_view name) {
  DROVER_ASSIGN_OR_RETURN(const std::string id, ResourceId(name, kCollection, "name"));
  absl::StatusOr<UserRecord> record;
  DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) {
    record = ReadUser(reader, id);
    return record.status();
  }));
  return record->user();
}

absl::StatusOr<drover::v1::User> People::CreateUser(const drover::v1::CreateUserRequest& request) {
  const std::string& id = request.user_id();
  if (!IsValidId(id)) {
    return InvalidField("user_id", "must be lower-case letters, digits and '-', at most 63");
  }
  // Entries of the log use this name for what Drover does by itself.
  if (id == "system") return InvalidField("user_id", "\"system\" is Drover itself; choose another");
  DROVER_RETURN_IF_ERROR(CheckRole(request.user().role()));
  DROVER_RETURN_IF_ERROR(CheckLanguage(request.user().language()));
  DROVER_RETURN_IF_ERROR(CheckNewPassword("user.password", request.user().password(), id));
  UserRecord record;
  DROVER_ASSIGN_OR_RETURN(*record.mutable_password_hash(),
                          vault_->HashPassword(request.user().password()));
  drover::v1::User& user = *record.mutable_user();
  user.set_name(ResourceName(kCollection, id));
  user.set_display_name(request.user().display_name());
  user.set_role(request.user().role());
  user.set_mail(request.user().mail());
  user.set_language(request.user().language().empty() ? "en" : request.user().language());
  user.set_must_change_password(true);
  *user.mutable_create_time() = ToProto(clock_->Now());
  absl::Status status = store_->Write([&](StoreWriter& writer) {
    return writer.Insert(Table::kUsers, {id, "", record.SerializeAsString()});
  });
  if (absl::IsAlreadyExists(status)) {
    return MakeError(absl::StatusCode::kAlreadyExists, "USER_EXISTS",
                     absl::StrCat("there is a user ", id, " already"));
  }
  if (!status.ok()) return status;
  return user;
}

absl::StatusOr<drover::v1::User> People::UpdateUser(const Caller& caller,
                                                    const drover::v1::UpdateUserRequest& request) {
  DROVER_ASSIGN_OR_RETURN(const std::string id,
                          ResourceId(request.user().name(), kCollection, "user.name"));
  const std::vector<std::string> fields = ChangedFields(request);
  DROVER_RETURN_IF_ERROR(CheckChange(request.user(), fields, id, caller));
  std::string hash;
  if (std::find(fields.begin(), fields.end(), "password") != fields.end()) {
    DROVER_ASSIGN_OR_RETURN(hash, vault_->HashPassword(request.user().password()));
  }
  drover::v1::User changed;
  DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(UserRecord record, ReadUser(writer, id));
    const drover::v1::Role before = record.user().role();
    const bool ends_sessions = ApplyChange(request.user(), fields, hash, record);
    if (before == drover::v1::ROLE_SYSTEM_ADMINISTRATOR && record.user().role() != before) {
      DROVER_RETURN_IF_ERROR(CheckOthersAdminister(writer, id));
    }
    DROVER_RETURN_IF_ERROR(WriteUser(writer, record));
    changed = record.user();
    return ends_sessions ? EndSessions(writer, id, "") : absl::OkStatus();
  }));
  return changed;
}

absl::Status People::DeleteUser(const drover::v1::DeleteUserRequest& request) {
  DROVER_ASSIGN_OR_RETURN(const std::string id, ResourceId(request.name(), kCollection, "name"));
  return store_->Write([&](StoreWriter& writer) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const UserRecord record, ReadUser(writer, id));
    if (record.user().role() == drover::v1::ROLE_SYSTEM_ADMINISTRATOR) {
      DROVER_RETURN_IF_ERROR(CheckOthersAdminister(writer, id));
    }
    DROVER_RETURN_IF_ERROR(EndSessions(writer, id, ""));
    return writer.Delete(Table::kUsers, id);
  });
}

}  // namespace drover::core
