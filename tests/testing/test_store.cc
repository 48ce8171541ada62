#include "tests/testing/test_store.h"

#include <cstdio>
#include <cstdlib>

#include "controller/store/sqlite.h"

namespace drover::testing {
namespace {

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "test store: %s\n", status.ToString().c_str());
  std::abort();
}

}  // namespace

TestStore::TestStore() {
  auto vault = secrets::OpenSslVault::Open(directory_.File("key"));
  Require(vault.status());
  vault_ = *std::move(vault);
  Reopen();
}

void TestStore::Reopen() {
  store_.reset();
  auto store = store::SqliteStore::Open(directory_.File("store"), clock_);
  Require(store.status());
  store_ = *std::move(store);
}

void TestStore::Tamper(const std::string& sql) {
  Close();
  {
    auto connection =
        store::Connection::Open(directory_.File("store/drover.db"), store::Access::kReadWrite);
    Require(connection.status());
    Require((*connection)->Execute(sql));
  }
  Reopen();
}

}  // namespace drover::testing
