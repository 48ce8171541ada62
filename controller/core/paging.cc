#include "controller/core/paging.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

constexpr int kLargestPage = 1000;

// FNV-1a.
uint64_t Hash(absl::string_view data, uint64_t hash) {
  for (unsigned char c : data) hash = (hash ^ c) * 1099511628211ULL;
  return hash;
}

void AppendPart(std::string& text, absl::string_view part) {
  absl::StrAppend(&text, part.size(), ":", part);
}

bool TakePart(absl::string_view& text, std::string* part) {
  size_t size = 0;
  size_t digits = 0;
  while (digits < text.size() && digits < 6 && text[digits] >= '0' && text[digits] <= '9') {
    size = size * 10 + static_cast<size_t>(text[digits++] - '0');
  }
  if (digits == 0 || digits >= text.size() || text[digits] != ':') return false;
  text.remove_prefix(digits + 1);
  if (text.size() < size) return false;
  *part = std::string(text.substr(0, size));
  text.remove_prefix(size);
  return true;
}

}  // namespace

std::string Fingerprint(absl::string_view data) {
  return absl::StrFormat("%016x%016x", Hash(data, 14695981039346656037ULL),
                         Hash(data, 0x9e3779b97f4a7c15ULL));
}

absl::StatusOr<int> PageSize(int32_t requested, int fallback) {
  if (requested < 0 || requested > kLargestPage) {
    return InvalidField("page_size", absl::StrCat("is ", requested, "; it is 1 to ", kLargestPage,
                                                  ", or 0 for ", fallback));
  }
  return requested == 0 ? fallback : requested;
}

std::string MakePageToken(absl::string_view scope, const std::vector<std::string>& place) {
  std::string text;
  AppendPart(text, Fingerprint(scope).substr(0, 16));
  for (const std::string& part : place) AppendPart(text, part);
  return absl::WebSafeBase64Escape(text);
}

absl::StatusOr<std::vector<std::string>> ParsePageToken(absl::string_view token,
                                                        absl::string_view scope, size_t parts) {
  absl::Status refused = InvalidField(
      "page_token", "is not a token of this list with these criteria; begin without a token");
  std::string text;
  if (!absl::WebSafeBase64Unescape(token, &text)) return refused;
  absl::string_view rest = text;
  std::string part;
  if (!TakePart(rest, &part) || part != Fingerprint(scope).substr(0, 16)) return refused;
  std::vector<std::string> place;
  while (!rest.empty()) {
    if (!TakePart(rest, &part)) return refused;
    place.push_back(std::move(part));
  }
  if (place.size() != parts) return refused;
  return place;
}

}  // namespace drover::core
