// Which addresses are spoken for, and the next free one of a pool. Thread promise: a value of one
// thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controller/core/ipv4.h"

namespace drover::core {

class AddressAllocator {
 public:
  // `holder` is for people. The first one to take an address has it.
  void Take(uint32_t address, const std::string& holder) { holders_.emplace(address, holder); }
  // "" when it is free.
  std::string HolderOf(uint32_t address) const;
  // Takes the lowest free address of the pool; nothing when all are taken.
  std::optional<uint32_t> Next(const std::vector<AddressRange>& pool, const std::string& holder);

 private:
  std::map<uint32_t, std::string> holders_;
};

}  // namespace drover::core
