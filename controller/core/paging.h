// Pages of lists: sizes, and tokens that say where the next page begins. A token belongs to one
// list with one set of criteria; with others it is refused. Tokens are places in an order, not
// counts, so rows that come and go between two pages shift nothing. Thread promise: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace drover::core {

// Rows of a page where the caller names no number.
constexpr int kUsualPage = 100;

// 128 bits over `data`, lower-case hex. Tells values apart; keeps nobody from making two alike.
std::string Fingerprint(absl::string_view data);

// `fallback` for 0. INVALID_ARGUMENT naming page_size when it is below 0 or above 1000.
absl::StatusOr<int> PageSize(int32_t requested, int fallback);

// `scope` names the list and its criteria; `place` is what the last row of the page is ordered by.
std::string MakePageToken(absl::string_view scope, const std::vector<std::string>& place);
// The place. INVALID_ARGUMENT naming page_token when it was not made by MakePageToken for this
// scope with so many parts.
absl::StatusOr<std::vector<std::string>> ParsePageToken(absl::string_view token,
                                                        absl::string_view scope, size_t parts);

}  // namespace drover::core
