// Searches over events and log rows. Thread promise: as the connection's.
#pragma once

#include <vector>

#include "controller/core/ports.h"
#include "controller/store/sqlite.h"

namespace drover::store {

absl::StatusOr<std::vector<drover::v1::LogEntry>> SearchLog(
    Connection& connection, const drover::v1::SearchLogRequest& request, int limit);
absl::StatusOr<std::vector<drover::v1::Event>> ListEvents(
    Connection& connection, const drover::v1::ListEventsRequest& request, int limit);
absl::StatusOr<std::vector<drover::v1::LogEntry>> ReadLog(Connection& connection, int64_t after_id,
                                                          int limit);
absl::StatusOr<std::vector<drover::v1::Event>> ReadEvents(Connection& connection,
                                                          int64_t after_sequence, int limit);

// A LIKE pattern, with '\' as escape, that finds `text` anywhere and takes it literally.
std::string ContainsPattern(absl::string_view text);

}  // namespace drover::store
