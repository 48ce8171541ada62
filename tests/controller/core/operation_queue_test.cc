#include "controller/core/operation_queue.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace drover::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;

void AddOpen(OperationQueue& queue, OperationQueue::Item item) {
  const std::string id = item.id;
  queue.Add(std::move(item));
  queue.Open(id);
}

TEST(OperationQueue, OldestRunsFirst) {
  OperationQueue queue(10, 10);
  AddOpen(queue, {"2", {"vms/b"}, "", ""});
  AddOpen(queue, {"1", {"vms/a"}, "", ""});
  EXPECT_THAT(queue.Take(), Optional(std::string("1")));
  EXPECT_THAT(queue.Take(), Optional(std::string("2")));
  EXPECT_EQ(queue.Take(), std::nullopt);
}

TEST(OperationQueue, OneAtATimePerVmInOrder) {
  OperationQueue queue(10, 10);
  AddOpen(queue, {"1", {"vms/a"}, "", ""});
  AddOpen(queue, {"2", {"vms/a"}, "", ""});
  AddOpen(queue, {"3", {"vms/a"}, "", ""});
  EXPECT_THAT(queue.Take(), Optional(std::string("1")));
  EXPECT_EQ(queue.Take(), std::nullopt);
  EXPECT_THAT(queue.QueueOf("vms/a"), ElementsAre("1", "2", "3"));
  EXPECT_THAT(queue.WaitsFor("3"), ElementsAre("1"));
  EXPECT_THAT(queue.WaitsFor("1"), IsEmpty());
  queue.Remove("1");
  EXPECT_THAT(queue.Take(), Optional(std::string("2")));
  EXPECT_THAT(queue.WaitsFor("3"), ElementsAre("2"));
}

TEST(OperationQueue, AnOlderOneThatIsNotOpenYetKeepsItsPlace) {
  OperationQueue queue(10, 10);
  queue.Add({"1", {"vms/a"}, "", ""});
  AddOpen(queue, {"2", {"vms/a"}, "", ""});
  EXPECT_EQ(queue.Take(), std::nullopt);
  queue.Open("1");
  EXPECT_THAT(queue.Take(), Optional(std::string("1")));
}

TEST(OperationQueue, CrossedVmsDoNotLock) {
  OperationQueue queue(10, 10);
  AddOpen(queue, {"1", {"vms/a", "vms/b"}, "", ""});
  AddOpen(queue, {"2", {"vms/b", "vms/a"}, "", ""});
  AddOpen(queue, {"3", {"vms/c"}, "", ""});
  EXPECT_THAT(queue.Take(), Optional(std::string("1")));
  EXPECT_THAT(queue.Take(), Optional(std::string("3")));
  EXPECT_EQ(queue.Take(), std::nullopt);
  queue.Remove("1");
  EXPECT_THAT(queue.Take(), Optional(std::string("2")));
}

TEST(OperationQueue, LaneIsLimited) {
  OperationQueue queue(2, 10);
  for (const char* id : {"1", "2", "3"}) {
    AddOpen(queue, {id, {std::string("vms/") + id}, "hypervisors/slow", ""});
  }
  AddOpen(queue, {"4", {"vms/4"}, "hypervisors/fast", ""});
  EXPECT_THAT(queue.Take(), Optional(std::string("1")));
  EXPECT_THAT(queue.Take(), Optional(std::string("2")));
  EXPECT_THAT(queue.Take(), Optional(std::string("4")));
  EXPECT_EQ(queue.Take(), std::nullopt);
  queue.PutBack("1");
  EXPECT_THAT(queue.Take(), Optional(std::string("3")));
  EXPECT_EQ(queue.running(), 3);
}

TEST(OperationQueue, BatchIsLimitedByItsOwnWishAndByTheQueue) {
  OperationQueue queue(10, 2);
  queue.SetAtOnce("p", 1);
  AddOpen(queue, {"1", {"vms/1"}, "", "p"});
  AddOpen(queue, {"2", {"vms/2"}, "", "p"});
  for (const char* id : {"3", "4", "5"}) AddOpen(queue, {id, {}, "", "q"});
  EXPECT_THAT(queue.Take(), Optional(std::string("1")));
  EXPECT_THAT(queue.Take(), Optional(std::string("3")));
  EXPECT_THAT(queue.Take(), Optional(std::string("4")));
  EXPECT_EQ(queue.Take(), std::nullopt);
  queue.Remove("1");
  EXPECT_THAT(queue.Take(), Optional(std::string("2")));
}

TEST(OperationQueue, WhatWaitsTakesNoWorkerButItsShareOfTheWish) {
  OperationQueue queue(1, 1);
  queue.SetAtOnce("p", 2);
  for (const char* id : {"1", "2", "3"}) AddOpen(queue, {id, {}, "lane", "p"});
  EXPECT_THAT(queue.Take(), Optional(std::string("1")));
  EXPECT_EQ(queue.Take(), std::nullopt);
  queue.PutBack("1");
  EXPECT_THAT(queue.Take(), Optional(std::string("2")));
  queue.PutBack("2");
  EXPECT_EQ(queue.Take(), std::nullopt);
  queue.Open("2");
  EXPECT_THAT(queue.Take(), Optional(std::string("2")));
  queue.Remove("2");
  EXPECT_THAT(queue.Take(), Optional(std::string("3")));
}

TEST(OperationQueue, ClosedAndPutBackOnesDoNotRun) {
  OperationQueue queue(10, 10);
  AddOpen(queue, {"1", {"vms/a"}, "", ""});
  queue.Close("1");
  EXPECT_EQ(queue.Take(), std::nullopt);
  queue.Open("1");
  EXPECT_THAT(queue.Take(), Optional(std::string("1")));
  queue.PutBack("1");
  EXPECT_EQ(queue.Take(), std::nullopt);
  EXPECT_THAT(queue.QueueOf("vms/a"), ElementsAre("1"));
  queue.Open("1");
  EXPECT_THAT(queue.Take(), Optional(std::string("1")));
  queue.Remove("1");
  EXPECT_THAT(queue.QueueOf("vms/a"), IsEmpty());
  EXPECT_EQ(queue.running(), 0);
}

}  // namespace
}  // namespace drover::core
