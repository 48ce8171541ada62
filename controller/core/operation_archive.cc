#include "controller/core/operation_archive.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controller/core/operation_record.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::v1::ListOperationsRequest;
using drover::v1::ListOperationsResponse;
using drover::v1::Operation;

constexpr int kDefaultPage = 50;
constexpr int kMaxPage = 1000;
constexpr int kReadAtOnce = 200;
constexpr char kRequestPrefix[] = "operation:";

absl::StatusOr<OperationRecord> Parse(const Document& document) {
  OperationRecord record;
  if (!record.ParseFromString(document.body)) {
    return MakeError(absl::StatusCode::kDataLoss, "OPERATION_UNREADABLE",
                     absl::StrCat("operation ", document.key, " cannot be read"));
  }
  return record;
}

bool Matches(const OperationRecord& record, const ListOperationsRequest& request) {
  const auto& states = request.states();
  if (!states.empty() &&
      std::find(states.begin(), states.end(), record.operation().state()) == states.end()) {
    return false;
  }
  if (request.top_level_only() && !record.operation().parent().empty()) return false;
  if (request.resource_name().empty()) return true;
  const auto& names = record.resource_names();
  return std::find(names.begin(), names.end(), request.resource_name()) != names.end();
}

// No ended operation can match.
bool OpenOnly(const ListOperationsRequest& request) {
  const auto& states = request.states();
  return !states.empty() && std::none_of(states.begin(), states.end(), [](int state) {
    return IsDone(static_cast<Operation::State>(state));
  });
}

}  // namespace

std::string RequestKey(absl::string_view user, absl::string_view request_id) {
  if (request_id.empty()) return "";
  return absl::StrCat(kRequestPrefix, user, ":", request_id);
}

absl::StatusOr<std::vector<Document>> OperationArchive::Page(Table table,
                                                             const ListQuery& query) const {
  std::vector<Document> page;
  DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(page, reader.List(table, query));
    return absl::OkStatus();
  }));
  return page;
}

absl::StatusOr<OperationRecord> OperationArchive::Find(absl::string_view id) const {
  if (std::optional<OperationRecord> open = open_->Find(id)) return *std::move(open);
  Document document;
  const absl::Status read = store_->Read([&](StoreReader& reader) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(document, reader.Get(Table::kOperations, id));
    return absl::OkStatus();
  });
  if (absl::IsNotFound(read)) {
    return MakeError(absl::StatusCode::kNotFound, "OPERATION_NOT_FOUND",
                     absl::StrCat("there is no operation \"", id, "\""));
  }
  DROVER_RETURN_IF_ERROR(read);
  return Parse(document);
}

absl::StatusOr<std::vector<OperationRecord>> OperationArchive::ListKind(absl::string_view kind,
                                                                        absl::string_view before_id,
                                                                        int limit) const {
  std::vector<OperationRecord> found;
  ListQuery query;
  query.owner = "";
  query.descending = true;
  query.limit = kReadAtOnce;
  query.after_key = std::string(before_id);
  while (static_cast<int>(found.size()) < limit) {
    DROVER_ASSIGN_OR_RETURN(const std::vector<Document> page, Page(Table::kOperations, query));
    for (const Document& document : page) {
      DROVER_ASSIGN_OR_RETURN(OperationRecord record, Parse(document));
      if (record.operation().kind() != kind) continue;
      // What is open is newer in memory.
      if (std::optional<OperationRecord> open = open_->Find(document.key))
        record = *std::move(open);
      found.push_back(std::move(record));
      if (static_cast<int>(found.size()) == limit) break;
    }
    if (page.size() < kReadAtOnce) break;
    query.after_key = page.back().key;
  }
  return found;
}

absl::StatusOr<std::vector<OperationRecord>> OperationArchive::ChildrenOf(
    absl::string_view id) const {
  ListQuery query;
  query.owner = std::string(id);
  DROVER_ASSIGN_OR_RETURN(const std::vector<Document> page, Page(Table::kOperations, query));
  std::vector<OperationRecord> children;
  for (const Document& document : page) {
    DROVER_ASSIGN_OR_RETURN(OperationRecord record, Parse(document));
    children.push_back(std::move(record));
  }
  return children;
}

absl::StatusOr<ListOperationsResponse> OperationArchive::List(
    const ListOperationsRequest& request) const {
  size_t size = request.page_size() > 0 ? static_cast<size_t>(request.page_size()) : kDefaultPage;
  size = std::min<size_t>(size, kMaxPage);
  if (!request.page_token().empty() && !IsValidId(request.page_token())) {
    return InvalidField("page_token", "it is not one that a list has answered");
  }
  ListOperationsResponse response;
  // False when the page is full.
  const auto take = [&](OperationRecord record) {
    if (!Matches(record, request)) return true;
    if (static_cast<size_t>(response.operations_size()) == size) {
      response.set_next_page_token(
          std::string(IdOf(response.operations(static_cast<int>(size) - 1).name())));
      return false;
    }
    *response.add_operations() = std::move(*record.mutable_operation());
    return true;
  };
  if (OpenOnly(request)) {
    std::vector<OperationRecord> open = open_->All();
    for (auto it = open.rbegin(); it != open.rend(); ++it) {
      const bool later = request.page_token().empty() ||
                         IdOf(it->operation().name()) < absl::string_view(request.page_token());
      if (later && !take(std::move(*it))) break;
    }
    return response;
  }
  ListQuery query;
  query.descending = true;
  query.limit = kReadAtOnce;
  query.after_key = request.page_token();
  if (request.top_level_only()) query.owner = "";
  for (;;) {
    DROVER_ASSIGN_OR_RETURN(const std::vector<Document> page, Page(Table::kOperations, query));
    for (const Document& document : page) {
      std::optional<OperationRecord> open = open_->Find(document.key);
      if (!open.has_value()) {
        DROVER_ASSIGN_OR_RETURN(open, Parse(document));
      }
      if (!take(*std::move(open))) return response;
    }
    if (page.size() < kReadAtOnce) return response;
    query.after_key = page.back().key;
  }
}

absl::Status OperationArchive::Prune(absl::Time before, absl::Time requests_before) const {
  const std::string oldest_kept = NextOperationId(before, "");
  ListQuery query;
  query.owner = "";
  query.limit = kReadAtOnce;
  for (bool more = true; more;) {
    DROVER_ASSIGN_OR_RETURN(const std::vector<Document> page, Page(Table::kOperations, query));
    more = page.size() == kReadAtOnce;
    for (const Document& document : page) {
      query.after_key = document.key;
      if (document.key >= oldest_kept) {
        more = false;
        break;
      }
      DROVER_ASSIGN_OR_RETURN(const OperationRecord record, Parse(document));
      if (!IsDone(record)) continue;
      DROVER_RETURN_IF_ERROR(store_->Write([&](StoreWriter& writer) -> absl::Status {
        ListQuery of_it;
        of_it.owner = document.key;
        DROVER_ASSIGN_OR_RETURN(const std::vector<Document> children,
                                writer.List(Table::kOperations, of_it));
        for (const Document& child : children) {
          DROVER_RETURN_IF_ERROR(writer.Delete(Table::kOperations, child.key));
        }
        return writer.Delete(Table::kOperations, document.key);
      }));
    }
  }
  ListQuery requests;
  requests.after_key = kRequestPrefix;
  requests.limit = kReadAtOnce;
  for (bool more = true; more;) {
    DROVER_ASSIGN_OR_RETURN(const std::vector<Document> page, Page(Table::kRequests, requests));
    more = page.size() == kReadAtOnce;
    for (const Document& document : page) {
      requests.after_key = document.key;
      if (!absl::StartsWith(document.key, kRequestPrefix)) return absl::OkStatus();
      RequestRecord record;
      if (record.ParseFromString(document.body) &&
          FromProto(record.create_time()) >= requests_before) {
        continue;
      }
      DROVER_RETURN_IF_ERROR(store_->Write(
          [&](StoreWriter& writer) { return writer.Delete(Table::kRequests, document.key); }));
    }
  }
  return absl::OkStatus();
}

}  // namespace drover::core
