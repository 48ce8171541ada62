// A page of 100 VMs of 5,000, with a filter and an order: the controller's answer against plain SQL
// of the same, over a table with the same columns in SQLite. With --fill DIRECTORY it only makes a
// store with that many VMs, for the benches of the gateway and the page.
//
//   vm_list_page [--fill DIRECTORY] [COUNT]
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controller/core/inventory.h"
#include "controller/secrets/openssl_vault.h"
#include "controller/store/sqlite_store.h"
#include "controller/system_clock.h"

namespace drover {
namespace {

constexpr int kRounds = 400;

void Check(const absl::Status& status) {
  if (status.ok()) return;
  fprintf(stderr, "vm_list_page: %s\n", status.ToString().c_str());
  exit(1);
}

v1::Vm Machine(int number) {
  static const char* const kTypes[] = {"web", "spider", "mysql", "mongo", "celery"};
  v1::Vm vm;
  vm.set_name(absl::StrCat("vms/machine-", number));
  vm.set_type(absl::StrCat("types/", kTypes[number % 5]));
  vm.set_environment(absl::StrCat("environments/env-", number % 20));
  vm.mutable_network()->set_ip(
      absl::StrCat("127.", 1 + number / 62500, ".", number / 250 % 250, ".", 1 + number % 250));
  vm.set_remark(absl::StrCat("rack ", number % 97));
  vm.set_cpus(1 + number % 8);
  vm.set_memory_mb(1024 * (1 + number * 7919 % 64));
  vm.set_disk_gb(40);
  vm.set_os_version("Debian GNU/Linux 12 (64-bit)");
  vm.set_state(v1::Vm::STATE_READY);
  return vm;
}

void Fill(core::Inventory& inventory, int count) {
  for (const char* type : {"web", "spider", "mysql", "mongo", "celery"}) {
    v1::VmType made;
    made.set_template_(absl::StrCat("tpl-", type));
    Check(inventory.AddType(type, made).status());
  }
  for (int i = 0; i < 20; ++i) {
    Check(inventory.AddEnvironment(absl::StrCat("env-", i), v1::Environment()).status());
  }
  // Many at a time: they share the store's transactions.
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&inventory, t, count] {
      for (int i = t; i < count; i += 16) Check(inventory.AddVm(Machine(i)));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

struct Times {
  double p50 = 0;
  double p99 = 0;
};

Times Measure(const std::function<void()>& once) {
  for (int i = 0; i < 20; ++i) once();
  std::vector<double> took;
  for (int i = 0; i < kRounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    once();
    took.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
            .count());
  }
  std::sort(took.begin(), took.end());
  return {took[kRounds / 2], took[kRounds * 99 / 100]};
}

// The same rows in columns; the page's text values are read out, as an answer needs them.
class SqlTable {
 public:
  explicit SqlTable(const core::Inventory& inventory) {
    Run("CREATE TABLE vms (name TEXT PRIMARY KEY, type TEXT, environment TEXT, ip TEXT, remark "
        "TEXT, cpus INT, memory INT, disk INT, os TEXT, power INT)");
    Run("BEGIN");
    for (const v1::Vm& vm : inventory.ListVms()) {
      char* sql =
          sqlite3_mprintf("INSERT INTO vms VALUES(%Q,%Q,%Q,%Q,%Q,%d,%d,%d,%Q,%d)",
                          vm.name().c_str(), vm.type().c_str(), vm.environment().c_str(),
                          vm.network().ip().c_str(), vm.remark().c_str(), vm.cpus(), vm.memory_mb(),
                          vm.disk_gb(), vm.os_version().c_str(), vm.power());
      Run(sql);
      sqlite3_free(sql);
    }
    Run("COMMIT");
    sqlite3_prepare_v2(
        db_,
        "SELECT * FROM vms WHERE type = 'types/web' AND (name LIKE '%ine-%' OR ip "
        "LIKE '%ine-%' OR remark LIKE '%ine-%') ORDER BY memory DESC, name LIMIT 100",
        -1, &page_, nullptr);
    sqlite3_prepare_v2(db_,
                       "SELECT count(*) FROM vms WHERE type = 'types/web' AND (name LIKE '%ine-%' "
                       "OR ip LIKE '%ine-%' OR remark LIKE '%ine-%')",
                       -1, &total_, nullptr);
  }
  ~SqlTable() {
    sqlite3_finalize(page_);
    sqlite3_finalize(total_);
    sqlite3_close(db_);
  }
  int Page() {
    size_t bytes = 0;
    int rows = 0;
    for (; sqlite3_step(page_) == SQLITE_ROW; ++rows) {
      for (int column = 0; column < 10; ++column) {
        bytes += reinterpret_cast<const char*>(sqlite3_column_text(page_, column)) != nullptr;
      }
    }
    sqlite3_reset(page_);
    // Pages are numbered, so that both say how many there are.
    sqlite3_step(total_);
    sqlite3_reset(total_);
    return bytes == 0 ? 0 : rows;
  }

 private:
  void Run(const char* sql) {
    if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
      Check(absl::InternalError(sqlite3_errmsg(db_)));
    }
  }
  static sqlite3* Open() {
    sqlite3* db = nullptr;
    sqlite3_open(":memory:", &db);
    return db;
  }
  sqlite3* const db_ = Open();
  sqlite3_stmt* page_ = nullptr;
  sqlite3_stmt* total_ = nullptr;
};

void Compare(const core::Inventory& inventory, int count) {
  v1::ListVmsRequest request;
  request.set_page_size(100);
  request.add_types("types/web");
  request.set_search("ine-");
  request.set_order_by("memory desc");
  int rows = 0;
  std::string wire;
  const Times ours = Measure([&] {
    const auto answer = inventory.QueryVms(request);
    Check(answer.status());
    rows = answer->vms_size();
    // As it goes to the gateway.
    answer->SerializeToString(&wire);
  });
  SqlTable table(inventory);
  int sql_rows = 0;
  const Times sql = Measure([&] { sql_rows = table.Page(); });
  if (rows != 100 || sql_rows != 100) Check(absl::InternalError("not a page of 100"));
  printf(
      "page of 100 of %d VMs, filter and order:  ours p50 %.3f ms, p99 %.3f ms;  plain SQL p50 "
      "%.3f ms, p99 %.3f ms;  ratio %.2f, %.2f (must: 3)\n",
      count, ours.p50, ours.p99, sql.p50, sql.p99, ours.p50 / sql.p50, ours.p99 / sql.p99);
}

int Main(std::vector<std::string> words) {
  std::string fill;
  if (words.size() > 1 && words[0] == "--fill") {
    fill = words[1];
    words.erase(words.begin(), words.begin() + 2);
  }
  const int count = words.empty() ? 5000 : atoi(words[0].c_str());
  char scratch[] = "/var/tmp/vm_list_page.XXXXXX";
  const std::string directory = fill.empty() ? mkdtemp(scratch) : fill;
  {
    SystemClock clock;
    auto store = store::SqliteStore::Open(directory, clock);
    Check(store.status());
    auto vault = secrets::OpenSslVault::Open(directory + "/drover.key");
    Check(vault.status());
    core::Inventory inventory(store->get(), vault->get(), &clock);
    Check(inventory.Load());
    Fill(inventory, count);
    if (fill.empty()) Compare(inventory, count);
  }
  if (fill.empty()) return system(absl::StrCat("rm -rf ", directory).c_str());
  return 0;
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  return drover::Main(std::vector<std::string>(argv + 1, argv + argc));
}
