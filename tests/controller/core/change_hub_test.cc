#include "controller/core/change_hub.h"

#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"

namespace drover::core {
namespace {

using drover::v1::WatchRequest;
using drover::v1::WatchResponse;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Keeps what it is told, as "e7", "c vms/x", "d vms/x", "gap 7", "beat"; takes `room` of it.
class Reader {
 public:
  ChangeHub::Sink sink() {
    return [this](const WatchResponse& response) {
      if (room == 0) return false;
      if (room > 0) --room;
      switch (response.change_case()) {
        case WatchResponse::kEvent:
          told_.push_back(absl::StrCat("e", response.event().sequence()));
          break;
        case WatchResponse::kChanged:
          told_.push_back(absl::StrCat("c ", response.changed()));
          break;
        case WatchResponse::kDeleted:
          told_.push_back(absl::StrCat("d ", response.deleted()));
          break;
        case WatchResponse::kGap:
          told_.push_back(absl::StrCat("gap ", response.gap().after_sequence()));
          break;
        default:
          told_.push_back("beat");
      }
      return true;
    };
  }
  std::vector<std::string> told() { return std::exchange(told_, {}); }

  // -1: without end.
  int room = -1;

 private:
  std::vector<std::string> told_;
};

drover::v1::Event Event(int64_t sequence, const std::string& vm = "vms/a",
                        const std::string& environment = "environments/prod") {
  drover::v1::Event event;
  event.set_sequence(sequence);
  event.set_vm(vm);
  event.set_environment(environment);
  return event;
}

class ChangeHubTest : public ::testing::Test {
 protected:
  testing::FakeClock clock_;
  ChangeHub hub_{&clock_,
                 [](absl::string_view vm) -> std::string {
                   return vm == "vms/a" ? "environments/prod" : "environments/test";
                 },
                 4};
  Reader reader_;
};

TEST_F(ChangeHubTest, AGreetingSaysFromWhenOnNothingIsMissed) {
  auto watch = hub_.Subscribe({}, reader_.sink());
  hub_.Greet(*watch);
  EXPECT_THAT(reader_.told(), ElementsAre("beat"));
  // What was sent already says it too.
  hub_.PublishEvent(Event(1));
  WatchRequest request;
  request.set_after_sequence(1);
  hub_.PublishEvent(Event(2));
  Reader other;
  auto again = hub_.Subscribe(request, other.sink());
  hub_.Greet(*again);
  EXPECT_THAT(other.told(), ElementsAre("e2"));
}

TEST_F(ChangeHubTest, WatchersGetWhatHappensFromNowOn) {
  hub_.PublishEvent(Event(1));
  auto watch = hub_.Subscribe({}, reader_.sink());
  hub_.PublishEvent(Event(2));
  hub_.PublishChange("vms/a", false);
  hub_.PublishChange("vms/a", true);
  EXPECT_THAT(reader_.told(), ElementsAre("e2", "c vms/a", "d vms/a"));
  watch->End();
  watch.reset();
  hub_.PublishEvent(Event(3));
  EXPECT_THAT(reader_.told(), IsEmpty());
}

TEST_F(ChangeHubTest, WhoComesBackGetsWhatWasMissedOrAGap) {
  for (int i = 1; i <= 6; ++i) hub_.PublishEvent(Event(i));
  WatchRequest request;
  request.set_after_sequence(4);
  auto watch = hub_.Subscribe(request, reader_.sink());
  EXPECT_THAT(reader_.told(), ElementsAre("e5", "e6"));
  // The ring holds 3 to 6.
  request.set_after_sequence(2);
  watch = hub_.Subscribe(request, reader_.sink());
  EXPECT_THAT(reader_.told(), ElementsAre("e3", "e4", "e5", "e6"));
  request.set_after_sequence(1);
  watch = hub_.Subscribe(request, reader_.sink());
  EXPECT_THAT(reader_.told(), ElementsAre("gap 1", "e3", "e4", "e5", "e6"));
}

TEST_F(ChangeHubTest, AfterARestartTheRingKnowsNothing) {
  WatchRequest request;
  request.set_after_sequence(9);
  auto watch = hub_.Subscribe(request, reader_.sink());
  EXPECT_THAT(reader_.told(), ElementsAre("gap 9"));
}

TEST_F(ChangeHubTest, ASlowReaderGetsAGapAndGoesOn) {
  auto watch = hub_.Subscribe({}, reader_.sink());
  reader_.room = 1;
  for (int i = 1; i <= 5; ++i) hub_.PublishEvent(Event(i));
  EXPECT_THAT(reader_.told(), ElementsAre("e1"));
  reader_.room = -1;
  watch->OnRoom();
  hub_.PublishEvent(Event(6));
  EXPECT_THAT(reader_.told(), ElementsAre("gap 1", "e6"));
  // Room for the gap only, and none for it at first.
  reader_.room = 0;
  hub_.PublishEvent(Event(7));
  watch->OnRoom();
  EXPECT_THAT(reader_.told(), IsEmpty());
  reader_.room = -1;
  watch->OnRoom();
  EXPECT_THAT(reader_.told(), ElementsAre("gap 6"));
}

TEST_F(ChangeHubTest, FiltersByVmEnvironmentAndKind) {
  Reader vm, environment, events;
  WatchRequest request;
  request.set_vm("vms/a");
  auto first = hub_.Subscribe(request, vm.sink());
  request.Clear();
  request.set_environment("environments/prod");
  auto second = hub_.Subscribe(request, environment.sink());
  request.Clear();
  request.set_events_only(true);
  auto third = hub_.Subscribe(request, events.sink());
  hub_.PublishEvent(Event(1, "vms/a", "environments/prod"));
  hub_.PublishEvent(Event(2, "vms/b", "environments/test"));
  hub_.PublishChange("vms/a", false);
  hub_.PublishChange("vms/b", false);
  hub_.PublishChange("environments/prod", false);
  hub_.PublishChange("types/web", false);
  EXPECT_THAT(vm.told(), ElementsAre("e1", "c vms/a"));
  EXPECT_THAT(environment.told(), ElementsAre("e1", "c vms/a", "c environments/prod"));
  EXPECT_THAT(events.told(), ElementsAre("e1", "e2"));
}

TEST_F(ChangeHubTest, HeartbeatsWhenThereIsNothingElse) {
  auto watch = hub_.Subscribe({}, reader_.sink());
  hub_.PublishEvent(Event(1));
  hub_.Beat();
  EXPECT_THAT(reader_.told(), ElementsAre("e1"));
  hub_.Beat();
  hub_.Beat();
  EXPECT_THAT(reader_.told(), ElementsAre("beat", "beat"));
}

TEST_F(ChangeHubTest, ManyPublishersKeepEachWatchersOrder) {
  Reader all;
  auto watch = hub_.Subscribe({}, all.sink());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) hub_.PublishChange(absl::StrCat("vms/", t, "-", i), true);
    });
  }
  for (std::thread& thread : threads) thread.join();
  watch->End();
  std::vector<std::string> told = all.told();
  EXPECT_EQ(told.size(), 800);
  std::vector<int> last(4, -1);
  for (const std::string& one : told) {
    int thread = one[6] - '0';
    int number = std::stoi(one.substr(8));
    EXPECT_GT(number, last[thread]);
    last[thread] = number;
  }
}

}  // namespace
}  // namespace drover::core
