// What the body of a read or write sees: documents, events and log rows over one connection.
//
// Thread promise: used by one thread at a time, within one transaction of its connection.
#pragma once

#include <vector>

#include "controller/core/ports.h"
#include "controller/store/sqlite.h"

namespace drover::store {

class Transaction : public core::StoreWriter {
 public:
  explicit Transaction(Connection* connection) : connection_(connection) {}

  absl::StatusOr<core::Document> Get(core::Table table, absl::string_view key) override;
  absl::StatusOr<std::vector<core::Document>> List(core::Table table,
                                                   const core::ListQuery& query) override;
  absl::StatusOr<int64_t> LastLogId() override;
  absl::Status Put(core::Table table, const core::Document& document) override;
  absl::Status Insert(core::Table table, const core::Document& document) override;
  absl::Status Delete(core::Table table, absl::string_view key) override;
  absl::StatusOr<int64_t> AppendEvent(drover::v1::Event event) override;
  absl::Status AppendLog(const drover::v1::LogEntry& entry) override;
  absl::StatusOr<int64_t> DeleteLog(int64_t first, int64_t last) override;

 private:
  Connection* const connection_;
};

}  // namespace drover::store
