#include "controller/core/log_chain.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

void AddText(std::string& text, int number, absl::string_view value) {
  if (value.empty()) return;
  absl::StrAppend(&text, number, ":", value.size(), ":", value, ",");
}

void AddNumber(std::string& text, int number, int64_t value) {
  if (value != 0) AddText(text, number, absl::StrCat(value));
}

std::string CanonicalText(const drover::v1::LogGap& gap) {
  std::string text;
  AddNumber(text, 1, gap.first_id());
  AddNumber(text, 2, gap.last_id());
  AddText(text, 3, gap.last_hash());
  return text;
}

}  // namespace

std::string CanonicalText(const drover::v1::LogEntry& entry) {
  std::string text;
  AddNumber(text, 1, entry.id());
  AddNumber(text, 2, entry.kind());
  if (entry.has_time()) AddNumber(text, 3, absl::ToUnixNanos(FromProto(entry.time())));
  AddText(text, 4, entry.user());
  AddText(text, 5, entry.client_address());
  AddText(text, 6, entry.vm());
  AddText(text, 7, entry.vm_type());
  AddText(text, 8, entry.environment());
  AddText(text, 9, entry.action());
  AddText(text, 10, entry.resource_name());
  AddText(text, 11, entry.result());
  AddText(text, 12, entry.detail());
  AddText(text, 14, entry.operation());
  for (const auto& gap : entry.gaps()) AddText(text, 15, CanonicalText(gap));
  return text;
}

std::string ChainHash(Vault& vault, absl::string_view previous_hash,
                      const drover::v1::LogEntry& entry) {
  return absl::BytesToHexString(vault.Sha256(absl::StrCat(previous_hash, CanonicalText(entry))));
}

}  // namespace drover::core
