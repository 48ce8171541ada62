// Two templates and a path, a line "--" between them: whatever both templates take, the check for
// ambiguous routes must have foreseen; what one takes must be found again from its parts.
#include "absl/strings/match.h"
#include "proto/support/contract.h"
#include "tests/fuzz/fuzz.h"
#include "web-gateway/http.h"
#include "web-gateway/route_table.h"

namespace drover::gateway {
namespace {

absl::StatusOr<RouteTable> TableOf(std::vector<absl::string_view> templates) {
  std::vector<RouteRule> rules;
  for (const absl::string_view path : templates) {
    RouteRule rule;
    rule.method = FindMethod("InventoryService/UpdateVm");
    rule.http_method = "POST";
    rule.path = std::string(path);
    rule.body = "*";
    rules.push_back(rule);
  }
  return RouteTable::Build(std::move(rules));
}

void Match(absl::string_view first, absl::string_view second, absl::string_view path) {
  const auto a = TableOf({first});
  const auto b = TableOf({second});
  const auto found_a = a.ok() ? a->Find("POST", path) : absl::StatusOr<RouteTable::Match>();
  const auto found_b = b.ok() ? b->Find("POST", path) : absl::StatusOr<RouteTable::Match>();
  if (a.ok() && b.ok()) {
    const bool ambiguous = MayMatchTheSame(a->routes()[0].path, b->routes()[0].path);
    FUZZ_MUST(ambiguous == MayMatchTheSame(b->routes()[0].path, a->routes()[0].path),
              "order decides about ambiguity");
    FUZZ_MUST(!found_a.ok() || !found_b.ok() || ambiguous, "both match, and nobody foresaw it");
    FUZZ_MUST(TableOf({first, second}).ok() == !ambiguous, "the table and the check differ");
  }
  for (const auto* found : {&found_a, &found_b}) {
    if (!found->ok()) continue;
    for (const auto& [field, value] : (*found)->values) {
      // What was taken out of the path had stood in it, so that it is no longer than it.
      FUZZ_MUST(value.size() <= path.size(), field);
      // No escape gives a NUL; HTTP has none in an address.
      FUZZ_MUST(!absl::StrContains(value, '\0') || absl::StrContains(path, '\0'), field);
    }
  }
}

void Escapes(absl::string_view path) {
  std::string whole;
  std::string kept;
  const bool plain = Unescape(path, false, false, &whole);
  FUZZ_MUST(plain == Unescape(path, true, false, &kept), "slashes decide what an escape is");
  FUZZ_MUST(!plain || whole.size() <= path.size(), "it has grown");
  std::vector<std::pair<std::string, std::string>> pairs;
  ParseQuery(path, &pairs);
}

}  // namespace
}  // namespace drover::gateway

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto parts = drover::testing::PartsOf(drover::testing::TextOf(data, size), 3);
  drover::gateway::Match(parts[0], parts[1], parts[2]);
  drover::gateway::Escapes(parts[2]);
  return 0;
}
