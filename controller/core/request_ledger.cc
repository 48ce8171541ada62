#include "controller/core/request_ledger.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/support/json.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using google::protobuf::Message;

constexpr absl::Duration kKept = absl::Hours(24);
constexpr absl::Duration kPruneEvery = absl::Hours(1);
constexpr int kPage = 500;

std::string KeyOf(const Caller& caller, absl::string_view request_id) {
  return absl::StrCat(caller.user, " ", request_id);
}

// The same bytes for the same request, maps included.
std::string Canonical(const Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

bool Expired(const RequestRecord& record, absl::Time now) {
  return FromProto(record.create_time()) + kKept <= now;
}

}  // namespace

// Requests hold passwords, and a plain digest of one can be guessed: only the key file's holder can
// make this one.
std::string RequestLedger::HashOf(absl::string_view method, const Message& request) {
  return absl::BytesToHexString(
      vault_->Mac(absl::StrCat(method, " ", Canonical(request)), "request"));
}

absl::StatusOr<std::optional<google::protobuf::Any>> RequestLedger::Recall(
    const Caller& caller, absl::string_view method, absl::string_view request_id,
    const Message& request) {
  if (request_id.empty()) return std::nullopt;
  absl::StatusOr<Document> document;
  absl::Status status = store_->Read([&](StoreReader& reader) {
    document = reader.Get(Table::kRequests, KeyOf(caller, request_id));
    return document.status();
  });
  if (absl::IsNotFound(status)) return std::nullopt;
  if (!status.ok()) return status;
  RequestRecord record;
  if (!record.ParseFromString(document->body)) {
    return MakeError(absl::StatusCode::kDataLoss, "STORE_CORRUPT",
                     "the answer to this request_id cannot be read");
  }
  if (Expired(record, clock_->Now())) return std::nullopt;
  if (record.method() != method || record.request_hash() != HashOf(method, request)) {
    return MakeError(absl::StatusCode::kAlreadyExists, "REQUEST_ID_REUSED",
                     "this request_id was used for another request; choose a new one");
  }
  return record.response();
}

absl::Status RequestLedger::Remember(const Caller& caller, absl::string_view method,
                                     absl::string_view request_id, const Message& request,
                                     const Message& response) {
  if (request_id.empty()) return absl::OkStatus();
  const std::unique_ptr<Message> answer(response.New());
  answer->CopyFrom(response);
  ClearSecrets(answer.get());
  RequestRecord record;
  record.set_method(std::string(method));
  record.set_user(caller.user);
  record.set_request_hash(HashOf(method, request));
  record.mutable_response()->PackFrom(*answer);
  *record.mutable_create_time() = ToProto(clock_->Now());
  DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) {
    return writer.Put(Table::kRequests,
                      {KeyOf(caller, request_id), "", record.SerializeAsString()});
  }));
  return PruneNowAndThen();
}

absl::Status RequestLedger::PruneNowAndThen() {
  const absl::Time now = clock_->Now();
  {
    absl::MutexLock lock(&mutex_);
    if (now - pruned_ < kPruneEvery) return absl::OkStatus();
    pruned_ = now;
  }
  std::string after;
  while (true) {
    std::vector<Document> page;
    DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
      DROVER_ASSIGN_OR_RETURN(page,
                              reader.List(Table::kRequests, {.after_key = after, .limit = kPage}));
      return absl::OkStatus();
    }));
    if (page.empty()) return absl::OkStatus();
    after = page.back().key;
    std::vector<std::string> expired;
    for (const Document& document : page) {
      RequestRecord record;
      if (!record.ParseFromString(document.body) || Expired(record, now)) {
        expired.push_back(document.key);
      }
    }
    if (expired.empty()) continue;
    DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) -> absl::Status {
      for (const std::string& key : expired) {
        DROVER_RETURN_IF_ERROR(writer.Delete(Table::kRequests, key));
      }
      return absl::OkStatus();
    }));
  }
}

}  // namespace drover::core
