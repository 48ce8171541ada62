// Brings a store's schema up to what this program knows, forward only.
//
// Thread promise: used once, before the store is opened to others. Each migration is one
// transaction: a program that dies in between goes on at the next start.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "controller/store/sqlite.h"

namespace drover::store {

struct Migration {
  int number;
  std::string name;
  // SHA-256 of `sql`, lower-case hex.
  std::string checksum;
  std::string sql;
};

// The files of schema/, compiled in, numbered from 1 without a hole.
const std::vector<Migration>& Schema();

// Applies those of `migrations` that the store at `connection` does not have. A store that is not
// new is first copied to `backup_directory` as store-before-NNNN.db, readable by its owner only.
// FAILED_PRECONDITION, reason STORE_TOO_NEW when the store has migrations this program does not
// know; STORE_ALTERED when one it knows was another; NOT_A_STORE when the file is some other
// program's.
absl::Status Migrate(Connection& connection, const std::vector<Migration>& migrations,
                     const std::string& backup_directory, absl::Time now);

}  // namespace drover::store
