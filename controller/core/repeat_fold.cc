#include "controller/core/repeat_fold.h"

namespace drover::core {
namespace {

constexpr absl::Duration kWindow = absl::Minutes(1);
constexpr size_t kMaxEntries = 10000;

}  // namespace

std::optional<int> RepeatFold::Count(absl::string_view what, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  if (entries_.size() >= kMaxEntries) entries_.clear();
  auto [it, is_new] = entries_.try_emplace(what, Entry{now, 0});
  if (is_new) return 0;
  if (now - it->second.since < kWindow) {
    ++it->second.left_out;
    return std::nullopt;
  }
  const int left_out = it->second.left_out;
  it->second = Entry{now, 0};
  return left_out;
}

}  // namespace drover::core
