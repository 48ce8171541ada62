#include "controller/core/address_allocator.h"

namespace drover::core {

std::string AddressAllocator::HolderOf(uint32_t address) const {
  auto holder = holders_.find(address);
  return holder == holders_.end() ? "" : holder->second;
}

std::optional<uint32_t> AddressAllocator::Next(const std::vector<AddressRange>& pool,
                                               const std::string& holder) {
  std::optional<uint32_t> lowest;
  for (const AddressRange& range : pool) {
    // Walks the taken addresses beside the range, so that a full pool costs one pass.
    uint64_t candidate = range.first;
    for (auto taken = holders_.lower_bound(range.first);
         taken != holders_.end() && taken->first == candidate && candidate <= range.last; ++taken) {
      ++candidate;
    }
    if (candidate <= range.last && (!lowest || candidate < *lowest)) {
      lowest = static_cast<uint32_t>(candidate);
    }
  }
  if (lowest) Take(*lowest, holder);
  return lowest;
}

}  // namespace drover::core
