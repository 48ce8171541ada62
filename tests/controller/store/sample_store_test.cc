// Samples in a real file: what is kept, how finely, and what a crash leaves.
#include "controller/store/sample_store.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"

namespace drover::store {
namespace {

using core::UsagePoint;
using ::testing::IsEmpty;
using ::testing::SizeIs;

UsagePoint At(int64_t time, double cpu = 1) {
  UsagePoint point;
  point.time = time;
  point.cpu = point.cpu_min = point.cpu_max = cpu;
  point.memory = point.memory_min = point.memory_max = 700 + time % 100;
  point.disk = 9000;
  point.network = 12.5;
  point.memory_total = 2048;
  point.disk_total = 20480;
  return point;
}

TEST(SampleCodecTest, WhatGoesInComesOut) {
  std::vector<UsagePoint> points;
  for (int i = 0; i < 500; ++i) points.push_back(At(1767225600 + i * 10, i % 100 + 0.25));
  points[7].by_hypervisor = true;
  points[8].time = points[7].time - 100;
  std::vector<UsagePoint> thinned = core::Thin(points, absl::Minutes(1));
  points.insert(points.end(), thinned.begin(), thinned.end());
  const std::string row = EncodePoints(points);
  std::vector<UsagePoint> read;
  ASSERT_TRUE(DecodePoints(row, read));
  ASSERT_EQ(read.size(), points.size());
  for (size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].time, points[i].time);
    EXPECT_EQ(read[i].span, points[i].span);
    EXPECT_EQ(read[i].count, points[i].count);
    EXPECT_EQ(read[i].by_hypervisor, points[i].by_hypervisor);
    EXPECT_NEAR(read[i].cpu, points[i].cpu, 0.01);
    EXPECT_NEAR(read[i].cpu_max, points[i].cpu_max, 0.01);
    EXPECT_NEAR(read[i].cpu_min, points[i].cpu_min, 0.01);
    EXPECT_NEAR(read[i].memory, points[i].memory, 1);
    EXPECT_NEAR(read[i].memory_max, points[i].memory_max, 1);
    EXPECT_EQ(read[i].disk, 9000);
    EXPECT_EQ(read[i].memory_total, 2048);
  }
  // A row that was cut short gives what is whole.
  std::vector<UsagePoint> part;
  EXPECT_FALSE(DecodePoints(absl::string_view(row).substr(0, row.size() - 1), part));
  EXPECT_EQ(part.size(), points.size() - 1);
}

TEST(SampleCodecTest, AnyBytesAreReadWithoutHarm) {
  std::string bytes;
  for (int i = 0; i < 5000; ++i) bytes.push_back(static_cast<char>((i * 2654435761u) >> 24));
  for (size_t i = 0; i + 40 < bytes.size(); i += 7) {
    std::vector<UsagePoint> points;
    DecodePoints(absl::string_view(bytes).substr(i, 40), points);
  }
}

class SampleStoreTest : public ::testing::Test {
 protected:
  SampleStoreTest() { Open(); }
  void Open() {
    store_.reset();
    auto store = SqliteSampleStore::Open(dir_.path() + "/store", &clock_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  int64_t Now() { return absl::ToUnixSeconds(clock_.Now()); }
  std::vector<UsagePoint> All(const std::string& uid = "u") {
    auto points = store_->Read(uid, 0, Now() + 1000);
    EXPECT_TRUE(points.ok()) << points.status();
    return points.value_or(std::vector<UsagePoint>());
  }
  // So many samples, ten seconds apart, as time goes by.
  void Live(int samples, const std::string& uid = "u") {
    for (int i = 0; i < samples; ++i) {
      clock_.Advance(absl::Seconds(10));
      store_->Add(uid, {At(Now(), i % 50)});
      if (i % 60 == 0) {
        ASSERT_TRUE(store_->Flush().ok());
      }
    }
    ASSERT_TRUE(store_->Flush().ok());
  }

  testing::TempDir dir_;
  testing::FakeClock clock_;
  std::unique_ptr<SqliteSampleStore> store_;
};

TEST_F(SampleStoreTest, IsReadAtOnceAndAfterAStart) {
  store_->Add("u", {At(Now() - 10, 5), At(Now(), 6)});
  store_->Add("other", {At(Now(), 7)});
  ASSERT_THAT(All(), SizeIs(2));
  ASSERT_TRUE(store_->Flush().ok());
  Open();
  const auto points = All();
  ASSERT_THAT(points, SizeIs(2));
  EXPECT_EQ(points[0].cpu, 5);
  EXPECT_EQ(points[1].disk_total, 20480);
  EXPECT_THAT(All("nobody"), IsEmpty());
  struct stat info;
  ASSERT_EQ(stat((dir_.path() + "/store/samples.db").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(SampleStoreTest, AWindowIsItsOwnPart) {
  Live(1000);
  const int64_t now = Now();
  const auto points = store_->Read("u", now - 3600, now);
  ASSERT_TRUE(points.ok());
  EXPECT_EQ(points->size(), 360u);
  EXPECT_EQ(points->front().time, now - 3600);
  EXPECT_EQ(points->back().time, now - 10);
  EXPECT_THAT(All(), SizeIs(1000)) << "each once, wherever it is kept";
  Open();
  EXPECT_THAT(All(), SizeIs(1000));
}

TEST_F(SampleStoreTest, WhatComesLateIsPutInItsPlace) {
  Live(400);
  store_->Add("u", {At(Now() - 3605, 77)});
  ASSERT_TRUE(store_->Flush().ok());
  EXPECT_THAT(All(), SizeIs(401));
  Open();
  EXPECT_THAT(All(), SizeIs(401));
}

TEST_F(SampleStoreTest, WhatIsTooOldOrOfTheFutureIsDropped) {
  store_->Add("u", {At(Now() - 2 * 86400), At(Now() + 3600)});
  EXPECT_THAT(All(), IsEmpty());
}

TEST_F(SampleStoreTest, ThinsAsItAges) {
  Live(360);
  const int64_t begin = Now() - 3600;
  clock_.Advance(absl::Hours(30));
  ASSERT_TRUE(store_->Flush().ok());
  ASSERT_TRUE(store_->ThinOld().ok());
  auto points = store_->Read("u", begin - 100, begin + 4000);
  ASSERT_TRUE(points.ok());
  EXPECT_LE(points->size(), 62u);
  EXPECT_GE(points->size(), 60u);
  EXPECT_EQ(points->at(1).span, 60);
  int total = 0;
  double most = 0;
  for (const UsagePoint& point : *points) {
    total += point.count;
    most = std::max(most, point.cpu_max);
  }
  EXPECT_EQ(total, 360);
  EXPECT_EQ(most, 49);
  clock_.Advance(absl::Hours(24 * 8));
  ASSERT_TRUE(store_->Flush().ok());
  ASSERT_TRUE(store_->ThinOld().ok());
  points = store_->Read("u", begin - 1000, begin + 5000);
  EXPECT_LE(points->size(), 8u);
  EXPECT_EQ(points->front().span, 600);
  clock_.Advance(absl::Hours(24 * 25));
  ASSERT_TRUE(store_->Flush().ok());
  ASSERT_TRUE(store_->ThinOld().ok());
  EXPECT_THAT(All(), IsEmpty());
}

TEST_F(SampleStoreTest, NothingIsLeftOfAVmThatIsGone) {
  Live(400);
  Live(10, "other");
  ASSERT_TRUE(store_->Forget("u").ok());
  EXPECT_THAT(All(), IsEmpty());
  Open();
  EXPECT_THAT(All(), IsEmpty());
  EXPECT_THAT(All("other"), SizeIs(10));
  EXPECT_THAT(store_->Vms(), ::testing::ElementsAre("other"));
}

TEST_F(SampleStoreTest, ADamagedFileIsPutAside) {
  store_->Add("u", {At(Now())});
  ASSERT_TRUE(store_->Flush().ok());
  store_.reset();
  std::ofstream(dir_.path() + "/store/samples.db", std::ios::binary) << std::string(100000, 'x');
  Open();
  EXPECT_THAT(All(), IsEmpty());
  store_->Add("u", {At(Now())});
  EXPECT_TRUE(store_->Flush().ok());
  struct stat info;
  EXPECT_EQ(stat((dir_.path() + "/store/samples.db.damaged").c_str(), &info), 0);
}

// A child adds and flushes, tells the number of each flush that returned, and is killed at some
// moment: all it told of is there, once.
TEST_F(SampleStoreTest, KillMinusNine) {
  store_.reset();
  for (int round = 0; round < 5; ++round) {
    const std::string folder = dir_.path() + "/killed" + std::to_string(round);
    int told[2];
    ASSERT_EQ(pipe(told), 0);
    const pid_t child = fork();
    if (child == 0) {
      testing::FakeClock clock;
      auto store = SqliteSampleStore::Open(folder, &clock);
      if (!store.ok()) _exit(1);
      for (int i = 0;; ++i) {
        clock.Advance(absl::Seconds(10));
        for (int vm = 0; vm < 20; ++vm) {
          (*store)->Add(std::to_string(vm), {At(absl::ToUnixSeconds(clock.Now()))});
        }
        if (!(*store)->Flush().ok()) _exit(1);
        if (write(told[1], &i, sizeof(i)) != sizeof(i)) _exit(1);
      }
    }
    close(told[1]);
    int last = 0;
    const int enough = 150 * round + 40;
    while (last < enough && read(told[0], &last, sizeof(last)) == sizeof(last)) {
    }
    kill(child, SIGKILL);
    int more;
    while (read(told[0], &more, sizeof(more)) == sizeof(more)) last = more;
    close(told[0]);
    int status;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    testing::FakeClock clock;
    clock.Advance(absl::Seconds(10 * (last + 1)));
    auto store = SqliteSampleStore::Open(folder, &clock);
    ASSERT_TRUE(store.ok()) << store.status();
    for (int vm = 0; vm < 20; ++vm) {
      const auto points = (*store)->Read(std::to_string(vm), 0, int64_t{1} << 40);
      ASSERT_TRUE(points.ok());
      EXPECT_GE(points->size(), static_cast<size_t>(last + 1));
      EXPECT_LE(points->size(), static_cast<size_t>(last + 2));
    }
  }
}

}  // namespace
}  // namespace drover::store
