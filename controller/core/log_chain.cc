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

// ---------------------------------------------------------------- ChainWalk

void ChainWalk::Bad(int64_t id, const std::string& problem) {
  if (bad_id_ != 0 && bad_id_ <= id) return;
  bad_id_ = id;
  problem_ = problem;
}

void ChainWalk::Add(const drover::v1::LogEntry& entry) {
  ++entries_;
  for (const auto& gap : entry.gaps()) deleted_.push_back(gap);
  if (entry.id() != last_id_ + 1) {
    missing_.push_back({last_id_ + 1, entry.id() - 1, entry});
  } else if (entry.hash() != ChainHash(vault_, last_hash_, entry)) {
    Bad(entry.id(), absl::StrCat("entry ", entry.id(),
                                 " is not what was written, or does not follow entry ", last_id_));
  }
  last_id_ = entry.id();
  last_hash_ = entry.hash();
}

bool ChainWalk::WasDeleted(const Missing& missing) const {
  // Deletions may have taken the run piece by piece; each piece begins where another ended.
  int64_t next = missing.first;
  const drover::v1::LogGap* last = nullptr;
  while (next <= missing.last) {
    last = nullptr;
    for (const auto& gap : deleted_) {
      if (gap.first_id() == next && gap.last_id() >= next) last = &gap;
    }
    if (last == nullptr) return false;
    next = last->last_id() + 1;
  }
  return last != nullptr && last->last_id() == missing.last &&
         missing.next.hash() == ChainHash(vault_, last->last_hash(), missing.next);
}

void ChainWalk::CheckMissing(const Missing& missing) {
  if (WasDeleted(missing)) return;
  Bad(missing.next.id(), missing.first == missing.last
                             ? absl::StrCat("entry ", missing.first, " is missing")
                             : absl::StrCat("entries ", missing.first, " to ", missing.last,
                                            " are missing, or what follows them was changed"));
}

drover::v1::VerifyLogResponse ChainWalk::Finish(int64_t head_id, const std::string& head_hash) {
  for (const Missing& missing : missing_) CheckMissing(missing);
  if (head_id > last_id_) {
    Bad(last_id_ + 1,
        absl::StrCat("the newest entries, ", last_id_ + 1, " to ", head_id, ", are missing"));
  } else if (head_id != last_id_ || head_hash != last_hash_) {
    Bad(last_id_, absl::StrCat("entry ", last_id_, " is not the newest that was written"));
  }
  drover::v1::VerifyLogResponse response;
  response.set_intact(bad_id_ == 0);
  response.set_entries(entries_);
  response.set_first_bad_id(bad_id_);
  response.set_problem(problem_);
  return response;
}

}  // namespace drover::core
