// The real store and the real vault in a folder of the test's own, under a fake clock: what tests
// of the core stand on.
//
// Thread promise: as the parts'. Reopen while nobody uses them.
#pragma once

#include <memory>
#include <string>

#include "controller/core/ports.h"
#include "controller/secrets/openssl_vault.h"
#include "controller/store/sqlite_store.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"

namespace drover::testing {

class TestStore {
 public:
  TestStore();

  FakeClock& clock() { return clock_; }
  store::SqliteStore& store() { return *store_; }
  core::Vault& vault() { return *vault_; }
  const std::string& directory() const { return directory_.path(); }

  // As a controller that ends and starts again.
  void Close() { store_.reset(); }
  void Reopen();
  // Runs SQL in the closed store's file, as somebody who edits it. Reopens it.
  void Tamper(const std::string& sql);

 private:
  TempDir directory_;
  FakeClock clock_;
  std::unique_ptr<core::Vault> vault_;
  std::unique_ptr<store::SqliteStore> store_;
};

}  // namespace drover::testing
