// Two hours of samples of 1,000 VMs, every ten seconds: written, and then a window of two hours of
// one VM read. The controller's sample store against plain sqlite3 with the same rows, prepared
// statements, one transaction for each ten seconds, WAL and synchronous = NORMAL as ours has, in
// three layouts:
//
//   clustered   WITHOUT ROWID, primary key (vm, time)
//   indexed     rows as they come, and an index on (vm, time)
//   by time     WITHOUT ROWID, primary key (time, vm): nothing is cheaper to write
//
// The reference is the best layout of the three for each figure on its own. Median of three rounds,
// in turns. Ends with 1 when somebody read other rows than there are, or ours takes more than twice
// as long.
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controller/store/sample_store.h"

namespace {

using drover::core::UsagePoint;
using SteadyClock = std::chrono::steady_clock;

constexpr int kVms = 1000;
constexpr int kTicks = 720;
constexpr int kWindows = 200;
constexpr int kRounds = 3;
constexpr int64_t kBegin = 1767225600;

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "sample_store: %s\n", what.c_str());
  std::exit(1);
}

double SecondsSince(SteadyClock::time_point begin) {
  return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

class StandingClock : public drover::core::Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixSeconds(now); }
  absl::Status Sleep(absl::Duration, std::stop_token) override {
    return absl::CancelledError("nobody sleeps here");
  }
  int64_t now = kBegin;
};

// As machines are: CPU moves, memory drifts, the disk fills slowly.
UsagePoint SampleOf(int vm, int tick) {
  UsagePoint point;
  const uint32_t noise = (vm * 2654435761u) ^ (tick * 40503u * 2246822519u);
  point.time = kBegin + tick * 10;
  point.cpu = point.cpu_min = point.cpu_max = (noise >> 8) % 10000 / 100.0;
  point.memory = point.memory_min = point.memory_max = 1000 + (noise >> 4) % 64;
  point.disk = 9000 + tick / 100;
  point.network = (noise >> 12) % 5000 / 10.0;
  point.memory_total = 2048;
  point.disk_total = 20480;
  return point;
}

struct Figures {
  double write = 0;
  double read = 0;
  double bytes = 0;
};

double BytesOf(const std::string& directory) {
  double bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(directory)) {
    bytes += static_cast<double>(file.file_size());
  }
  return bytes;
}

Figures Ours(const std::string& directory) {
  StandingClock clock;
  auto store = drover::store::SqliteSampleStore::Open(directory, &clock);
  if (!store.ok()) Fail(std::string(store.status().message()));
  std::vector<std::string> names;
  for (int vm = 0; vm < kVms; ++vm) names.push_back(absl::StrCat("4210-0000-0000-", vm));
  Figures figures;
  auto begin = SteadyClock::now();
  for (int tick = 0; tick < kTicks; ++tick) {
    clock.now = kBegin + tick * 10;
    for (int vm = 0; vm < kVms; ++vm) (*store)->Add(names[vm], {SampleOf(vm, tick)});
    if (!(*store)->Flush().ok()) Fail("it could not be written");
  }
  figures.write = SecondsSince(begin);
  begin = SteadyClock::now();
  for (int i = 0; i < kWindows; ++i) {
    const auto points = (*store)->Read(names[i * 37 % kVms], kBegin, kBegin + kTicks * 10);
    if (!points.ok() || points->size() != kTicks) Fail("ours has other samples than were added");
  }
  figures.read = SecondsSince(begin) / kWindows;
  store->reset();
  figures.bytes = BytesOf(directory);
  return figures;
}

// Plain sqlite3.
class Plain {
 public:
  Plain(const std::string& path, const char* schema) {
    Check(sqlite3_open(path.c_str(), &database_));
    Run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    Run(schema);
    Check(sqlite3_prepare_v2(database_,
                             "INSERT INTO samples (vm, time, cpu, memory, disk, network, "
                             "memory_total, disk_total) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                             -1, &insert_, nullptr));
    Check(sqlite3_prepare_v2(database_,
                             "SELECT time, cpu, memory, disk, network, memory_total, disk_total "
                             "FROM samples WHERE vm = ? AND time >= ? AND time < ? ORDER BY time",
                             -1, &select_, nullptr));
  }
  ~Plain() {
    sqlite3_finalize(insert_);
    sqlite3_finalize(select_);
    sqlite3_close(database_);
  }
  void Run(const char* sql) { Check(sqlite3_exec(database_, sql, nullptr, nullptr, nullptr)); }
  void Insert(int vm, const UsagePoint& point) {
    sqlite3_bind_int64(insert_, 1, vm);
    sqlite3_bind_int64(insert_, 2, point.time);
    sqlite3_bind_int64(insert_, 3, static_cast<int64_t>(point.cpu * 100));
    sqlite3_bind_int64(insert_, 4, static_cast<int64_t>(point.memory));
    sqlite3_bind_int64(insert_, 5, static_cast<int64_t>(point.disk));
    sqlite3_bind_int64(insert_, 6, static_cast<int64_t>(point.network * 10));
    sqlite3_bind_int64(insert_, 7, point.memory_total);
    sqlite3_bind_int64(insert_, 8, point.disk_total);
    if (sqlite3_step(insert_) != SQLITE_DONE) Fail(sqlite3_errmsg(database_));
    sqlite3_reset(insert_);
  }
  std::vector<UsagePoint> Read(int vm) {
    std::vector<UsagePoint> points;
    sqlite3_bind_int64(select_, 1, vm);
    sqlite3_bind_int64(select_, 2, kBegin);
    sqlite3_bind_int64(select_, 3, kBegin + kTicks * 10);
    while (sqlite3_step(select_) == SQLITE_ROW) {
      UsagePoint point;
      point.time = sqlite3_column_int64(select_, 0);
      point.cpu = point.cpu_min = point.cpu_max = sqlite3_column_int64(select_, 1) / 100.0;
      point.memory = point.memory_min = point.memory_max =
          static_cast<double>(sqlite3_column_int64(select_, 2));
      point.disk = static_cast<double>(sqlite3_column_int64(select_, 3));
      point.network = sqlite3_column_int64(select_, 4) / 10.0;
      point.memory_total = sqlite3_column_int(select_, 5);
      point.disk_total = sqlite3_column_int(select_, 6);
      points.push_back(point);
    }
    sqlite3_reset(select_);
    return points;
  }

 private:
  void Check(int code) {
    if (code != SQLITE_OK) Fail(sqlite3_errmsg(database_));
  }
  sqlite3* database_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  sqlite3_stmt* select_ = nullptr;
};

Figures Sqlite(const std::string& directory, const char* schema, bool reads) {
  std::filesystem::create_directory(directory);
  Figures figures;
  {
    Plain plain(directory + "/plain.db", schema);
    auto begin = SteadyClock::now();
    for (int tick = 0; tick < kTicks; ++tick) {
      plain.Run("BEGIN");
      for (int vm = 0; vm < kVms; ++vm) plain.Insert(vm, SampleOf(vm, tick));
      plain.Run("COMMIT");
    }
    figures.write = SecondsSince(begin);
    begin = SteadyClock::now();
    const int windows = reads ? kWindows : 1;
    for (int i = 0; i < windows; ++i) {
      if (plain.Read(i * 37 % kVms).size() != kTicks) Fail("sqlite3 has other samples");
    }
    figures.read = SecondsSince(begin) / windows;
  }
  figures.bytes = BytesOf(directory);
  return figures;
}

constexpr char kColumns[] =
    "vm INTEGER NOT NULL, time INTEGER NOT NULL, cpu INTEGER, memory INTEGER, disk INTEGER, "
    "network INTEGER, memory_total INTEGER, disk_total INTEGER";

Figures Median(std::vector<Figures> rounds) {
  const auto middle = [&](double Figures::*figure) {
    std::sort(rounds.begin(), rounds.end(),
              [figure](const Figures& a, const Figures& b) { return a.*figure < b.*figure; });
    return rounds[rounds.size() / 2].*figure;
  };
  return {middle(&Figures::write), middle(&Figures::read), middle(&Figures::bytes)};
}

}  // namespace

int main() {
  char folder[] = "/var/tmp/drover-sample-store-XXXXXX";
  if (mkdtemp(folder) == nullptr) Fail("no folder below /var/tmp");
  const std::string root = folder;
  const std::map<std::string, std::string> layouts = {
      {"clustered",
       absl::StrCat("CREATE TABLE samples (", kColumns, ", PRIMARY KEY (vm, time)) WITHOUT ROWID")},
      {"indexed", absl::StrCat("CREATE TABLE samples (", kColumns,
                               "); CREATE INDEX by_vm ON samples (vm, time)")},
      {"by time", absl::StrCat("CREATE TABLE samples (", kColumns,
                               ", PRIMARY KEY (time, vm)) WITHOUT ROWID")}};
  std::map<std::string, std::vector<Figures>> rounds;
  for (int round = 0; round < kRounds; ++round) {
    const std::string at = absl::StrCat(root, "/", round);
    std::filesystem::create_directory(at);
    std::filesystem::permissions(at, std::filesystem::perms::owner_all);
    rounds["ours"].push_back(Ours(at + "/ours"));
    for (const auto& [name, schema] : layouts) {
      rounds[name].push_back(
          Sqlite(absl::StrCat(at, "/", name), schema.c_str(), name != "by time"));
    }
    std::filesystem::remove_all(at);
  }
  std::filesystem::remove_all(root);
  const Figures ours = Median(rounds["ours"]);
  Figures best{1e9, 1e9, 1e18};
  std::printf("%d VMs, %d samples of each, a transaction every ten seconds\n", kVms, kTicks);
  std::printf("%-12s %12s %16s %10s\n", "", "write, s", "window, us", "MB");
  for (const auto& [name, figures] : rounds) {
    const Figures median = Median(figures);
    std::printf("%-12s %12.2f %16.0f %10.1f\n", name.c_str(), median.write, median.read * 1e6,
                median.bytes / 1e6);
    if (name == "ours") continue;
    best = {std::min(best.write, median.write), std::min(best.read, median.read),
            std::min(best.bytes, median.bytes)};
  }
  std::printf("%-12s %12.2f %16.2f %10.2f\n", "ours/best", ours.write / best.write,
              ours.read / best.read, ours.bytes / best.bytes);
  if (ours.write > 2 * best.write || ours.read > 2 * best.read) Fail("more than twice as long");
  return 0;
}
