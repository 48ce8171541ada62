// A real client over TLS against the real server.
#include "controller/api/server.h"

#include <gmock/gmock.h>
#include <google/protobuf/empty.pb.h>
#include <grpcpp/channel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "controller/agents/authority.h"
#include "controller/agents/server_certificate.h"
#include "controller/api/call_log.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/inventory.pb.h"
#include "proto/support/channel.h"
#include "proto/support/status.h"
#include "tests/controller/api/fake_gate.h"
#include "tests/testing/test_store.h"

namespace drover::api {
namespace {

using google::protobuf::Empty;
using ::testing::HasSubstr;

// What a streaming handler of these tests got: the sink, and word of room and of the end.
class Feed {
 public:
  void Opened(std::shared_ptr<StreamSink> sink) {
    absl::MutexLock lock(&mutex_);
    sink_ = std::move(sink);
  }
  std::shared_ptr<StreamSink> WaitForSink() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](std::shared_ptr<StreamSink>* sink) { return *sink != nullptr; }, &sink_));
    return sink_;
  }
  absl::Notification room;
  absl::Notification gone;

 private:
  absl::Mutex mutex_;
  std::shared_ptr<StreamSink> sink_;
};

class FeedSubscription : public Subscription {
 public:
  explicit FeedSubscription(Feed* feed) : feed_(feed) {}
  ~FeedSubscription() override { feed_->gone.Notify(); }
  void OnRoom() override {
    if (!feed_->room.HasBeenNotified()) feed_->room.Notify();
  }

 private:
  Feed* const feed_;
};

class ServerTest : public ::testing::Test {
 protected:
  ServerTest()
      : log_(
            [this](v1::LogEntry entry) {
              absl::MutexLock lock(&mutex_);
              entries_.push_back(std::move(entry));
              return absl::OkStatus();
            },
            [](absl::string_view) { return std::nullopt; }, &world_.clock()),
        dispatcher_(gate_.AsGate(), &log_) {
    auto authority = agents::Authority::Open(&world_.store(), &world_.vault(), &world_.clock());
    EXPECT_TRUE(authority.ok()) << authority.status();
    authority_ = *std::move(authority);
  }
  ~ServerTest() override { server_.reset(); }

  void Serve(ServerOptions options = {}) {
    agents::ServerCertificate certificate(authority_.get(), &world_.clock(),
                                          world_.directory() + "/tls", {"127.0.0.1"});
    const absl::Status refreshed = certificate.Refresh();
    ASSERT_TRUE(refreshed.ok()) << refreshed;
    options.listen = "127.0.0.1:0";
    options.certificate_file = certificate.certificate_file();
    options.key_file = certificate.key_file();
    server_ = std::make_unique<Server>(options, &dispatcher_, &world_.clock());
    const absl::Status started = server_->Start();
    ASSERT_TRUE(started.ok()) << started;
    channel_ = Dial(authority_->certificate());
  }
  std::shared_ptr<grpc::Channel> Dial(const std::string& authority) {
    return OpenChannel(absl::StrCat("127.0.0.1:", server_->port()), authority);
  }
  // A Watch that the test feeds.
  void ServeFeed() {
    dispatcher_.OnStream<v1::WatchRequest, v1::WatchResponse>(
        "ActivityService.Watch",
        [this](const Call&, const v1::WatchRequest&,
               std::shared_ptr<StreamSink> sink) -> absl::StatusOr<std::unique_ptr<Subscription>> {
          feed_.Opened(std::move(sink));
          return std::make_unique<FeedSubscription>(&feed_);
        });
  }
  static v1::WatchResponse Event(int number, size_t padding = 0) {
    v1::WatchResponse response;
    response.mutable_event()->set_sequence(number);
    response.mutable_event()->set_message(std::string(padding, 'x'));
    return response;
  }

  testing::TestStore world_;
  FakeGate gate_;
  absl::Mutex mutex_;
  std::vector<v1::LogEntry> entries_ ABSL_GUARDED_BY(mutex_);
  CallLog log_;
  Dispatcher dispatcher_;
  Feed feed_;
  std::unique_ptr<agents::Authority> authority_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(ServerTest, AnswersAndCarriesErrorsWithTheirDetails) {
  dispatcher_.OnUnary<v1::GetVmRequest, v1::Vm>(
      "InventoryService.GetVm",
      [](const Call& call, const v1::GetVmRequest& request) -> absl::StatusOr<v1::Vm> {
        if (request.name() == "vms/none") {
          return MakeError(absl::StatusCode::kNotFound, "VM_NOT_FOUND", "there is no VM none",
                           {{"vm", "none"}});
        }
        v1::Vm vm;
        vm.set_name(request.name());
        vm.set_remark(call.caller.client_address);
        return vm;
      });
  Serve();
  v1::GetVmRequest request;
  request.set_name("vms/web-01");
  v1::Vm vm;
  const CallOptions signed_in{"admin"};
  const absl::Status ok =
      UnaryCall(channel_, "/drover.v1.InventoryService/GetVm", request, &vm, signed_in);
  ASSERT_TRUE(ok.ok()) << ok;
  EXPECT_EQ(vm.name(), "vms/web-01");
  EXPECT_EQ(vm.remark(), "127.0.0.1");

  request.set_name("vms/none");
  const absl::Status none =
      UnaryCall(channel_, "/drover.v1.InventoryService/GetVm", request, &vm, signed_in);
  EXPECT_TRUE(absl::IsNotFound(none));
  EXPECT_TRUE(HasReason(none, "VM_NOT_FOUND"));
  EXPECT_EQ(ErrorMetadata(none, "vm"), "none");

  request.set_name("x");
  const absl::Status bad =
      UnaryCall(channel_, "/drover.v1.InventoryService/GetVm", request, &vm, signed_in);
  EXPECT_TRUE(absl::IsInvalidArgument(bad));
  const google::rpc::BadRequest violations = ViolationsOf(bad);
  ASSERT_EQ(violations.field_violations_size(), 1);
  EXPECT_EQ(violations.field_violations(0).field(), "name");
}

TEST_F(ServerTest, WhatIsNotThereIsUnimplemented) {
  Serve();
  Empty answer;
  const auto call = [&](const std::string& method) {
    return UnaryCall(channel_, method, Empty(), &answer, {"system"}).code();
  };
  EXPECT_EQ(call("/drover.v1.ConfigService/ListProfiles"), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(call("/drover.v1.InventoryService/Nope"), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(call("/other.Service/Nope"), absl::StatusCode::kUnimplemented);
}

TEST_F(ServerTest, NeedsASessionAndARole) {
  Serve();
  Empty answer;
  const absl::Status anonymous =
      UnaryCall(channel_, "/drover.v1.InventoryService/ListVms", Empty(), &answer);
  EXPECT_TRUE(HasReason(anonymous, "NOT_SIGNED_IN")) << anonymous;
  const absl::Status refused =
      UnaryCall(channel_, "/drover.v1.PeopleService/ListUsers", Empty(), &answer, {"admin"});
  EXPECT_TRUE(HasReason(refused, "ROLE_NOT_SUFFICIENT")) << refused;
}

TEST_F(ServerTest, GarbageIsRefused) {
  Serve();
  // A string field (search) that holds bytes that are no UTF-8.
  v1::WatchRequest garbage;
  garbage.GetReflection()->MutableUnknownFields(&garbage)->AddLengthDelimited(4, "\xff\xfe");
  Empty answer;
  const absl::Status refused =
      UnaryCall(channel_, "/drover.v1.InventoryService/ListVms", garbage, &answer, {"admin"});
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
}

TEST_F(ServerTest, ShowsItsOwnAuthorityOnly) {
  Serve();
  testing::TestStore other_world;
  auto other =
      agents::Authority::Open(&other_world.store(), &other_world.vault(), &other_world.clock());
  ASSERT_TRUE(other.ok());
  Empty answer;
  const absl::Status refused = UnaryCall(Dial((*other)->certificate()),
                                         "/drover.v1.PeopleService/GetSelf", Empty(), &answer);
  EXPECT_TRUE(HasReason(refused, "CERTIFICATE_REFUSED")) << refused;
}

TEST_F(ServerTest, TellsItsHealth) {
  Serve();
  Empty answer;
  const absl::Status healthy =
      UnaryCall(channel_, "/grpc.health.v1.Health/Check", Empty(), &answer);
  ASSERT_TRUE(healthy.ok()) << healthy;
  const auto& fields = answer.GetReflection()->GetUnknownFields(answer);
  ASSERT_EQ(fields.field_count(), 1);
  EXPECT_EQ(fields.field(0).varint(), 1u);  // SERVING
}

TEST_F(ServerTest, RefusesMoreCallsThanItCanQueue) {
  absl::Notification entered;
  absl::Notification go;
  dispatcher_.OnUnary<v1::GetVmRequest, v1::Vm>("InventoryService.GetVm",
                                                [&](const Call&, const v1::GetVmRequest&) {
                                                  if (!entered.HasBeenNotified()) entered.Notify();
                                                  go.WaitForNotification();
                                                  return v1::Vm();
                                                });
  ServerOptions options;
  options.workers = 1;
  options.queue = 1;
  Serve(options);
  v1::GetVmRequest request;
  request.set_name("vms/a");
  std::atomic<int> busy = 0;
  std::atomic<int> fine = 0;
  absl::Notification first_busy;
  const auto call = [&] {
    v1::Vm vm;
    const absl::Status status =
        UnaryCall(channel_, "/drover.v1.InventoryService/GetVm", request, &vm, {"admin"});
    if (status.ok()) ++fine;
    if (HasReason(status, "SERVER_BUSY") && ++busy == 1) first_busy.Notify();
  };
  std::vector<std::thread> threads;
  threads.emplace_back(call);
  entered.WaitForNotification();
  // One waits, one is refused.
  threads.emplace_back(call);
  threads.emplace_back(call);
  first_busy.WaitForNotification();
  go.Notify();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(fine, 2);
  EXPECT_EQ(busy, 1);
}

TEST_F(ServerTest, StreamsInOrderUntilTheEnd) {
  ServeFeed();
  Serve();
  ServerStream stream(channel_, "/drover.v1.ActivityService/Watch", v1::WatchRequest(), {"admin"});
  std::shared_ptr<StreamSink> sink = feed_.WaitForSink();
  for (int i = 1; i <= 20; ++i) EXPECT_TRUE(sink->Push(Event(i)));
  sink->Finish(absl::OkStatus());
  v1::WatchResponse response;
  for (int i = 1; i <= 20; ++i) {
    ASSERT_TRUE(stream.Read(&response));
    EXPECT_EQ(response.event().sequence(), i);
  }
  EXPECT_FALSE(stream.Read(&response));
  EXPECT_TRUE(stream.Finish().ok());
  feed_.gone.WaitForNotification();
}

TEST_F(ServerTest, TellsASlowReadersSubscriptionAndThenThatThereIsRoom) {
  ServeFeed();
  ServerOptions options;
  options.stream_queue = 8;
  Serve(options);
  ServerStream stream(channel_, "/drover.v1.ActivityService/Watch", v1::WatchRequest(), {"admin"});
  std::shared_ptr<StreamSink> sink = feed_.WaitForSink();
  int pushed = 0;
  // Fills what the transport takes, then the queue. Large, so that it does not take for ever.
  while (sink->Push(Event(pushed + 1, 256 << 10))) {
    ++pushed;
    ASSERT_LT(pushed, 10000);
  }
  EXPECT_FALSE(feed_.room.HasBeenNotified());
  v1::WatchResponse response;
  for (int i = 1; i <= pushed; ++i) {
    ASSERT_TRUE(stream.Read(&response));
    EXPECT_EQ(response.event().sequence(), i);
  }
  feed_.room.WaitForNotification();
  EXPECT_TRUE(sink->Push(Event(pushed + 1)));
  ASSERT_TRUE(stream.Read(&response));
  EXPECT_EQ(response.event().sequence(), pushed + 1);
}

TEST_F(ServerTest, LetsGoOfTheSubscriptionWhenTheReaderLeaves) {
  ServeFeed();
  Serve();
  {
    ServerStream stream(channel_, "/drover.v1.ActivityService/Watch", v1::WatchRequest(),
                        {"admin"});
    feed_.WaitForSink();
  }
  feed_.gone.WaitForNotification();
  // Nobody reads; that is no error of the sender's.
  EXPECT_TRUE(feed_.WaitForSink()->Push(Event(1)));
}

TEST_F(ServerTest, ARefusedStreamSaysWhy) {
  ServeFeed();
  Serve();
  ServerStream stream(channel_, "/drover.v1.ActivityService/Watch", v1::WatchRequest());
  v1::WatchResponse response;
  EXPECT_FALSE(stream.Read(&response));
  EXPECT_TRUE(HasReason(stream.Finish(), "NOT_SIGNED_IN"));
}

TEST_F(ServerTest, EndsStreamsWhoseSessionEnded) {
  ServeFeed();
  Serve();
  ServerStream stream(channel_, "/drover.v1.ActivityService/Watch", v1::WatchRequest(), {"admin"});
  std::shared_ptr<StreamSink> sink = feed_.WaitForSink();
  ASSERT_TRUE(sink->Push(Event(1)));
  v1::WatchResponse response;
  ASSERT_TRUE(stream.Read(&response));
  server_->RecheckStreams();
  ASSERT_TRUE(sink->Push(Event(2)));
  ASSERT_TRUE(stream.Read(&response));
  gate_.SignEverybodyOut();
  server_->RecheckStreams();
  EXPECT_FALSE(stream.Read(&response));
  EXPECT_TRUE(HasReason(stream.Finish(), "SESSION_EXPIRED"));
}

TEST_F(ServerTest, RefusesMoreStreamsThanAllowed) {
  ServeFeed();
  ServerOptions options;
  options.max_streams = 1;
  Serve(options);
  ServerStream first(channel_, "/drover.v1.ActivityService/Watch", v1::WatchRequest(), {"admin"});
  feed_.WaitForSink();
  ServerStream second(channel_, "/drover.v1.ActivityService/Watch", v1::WatchRequest(), {"admin"});
  v1::WatchResponse response;
  EXPECT_FALSE(second.Read(&response));
  EXPECT_TRUE(HasReason(second.Finish(), "TOO_MANY_STREAMS"));
}

TEST_F(ServerTest, StopsWithOpenStreamsAndCallsUnderWay) {
  ServeFeed();
  absl::Notification entered;
  dispatcher_.OnUnary<v1::GetVmRequest, v1::Vm>("InventoryService.GetVm",
                                                [&](const Call&, const v1::GetVmRequest&) {
                                                  entered.Notify();
                                                  return v1::Vm();
                                                });
  Serve();
  ServerStream stream(channel_, "/drover.v1.ActivityService/Watch", v1::WatchRequest(), {"admin"});
  feed_.WaitForSink();
  v1::GetVmRequest request;
  request.set_name("vms/a");
  v1::Vm vm;
  absl::Status answered;
  std::thread caller([&] {
    answered = UnaryCall(channel_, "/drover.v1.InventoryService/GetVm", request, &vm, {"admin"});
  });
  entered.WaitForNotification();
  server_->Stop(absl::Seconds(30));
  caller.join();
  EXPECT_TRUE(answered.ok()) << answered;
  v1::WatchResponse response;
  EXPECT_FALSE(stream.Read(&response));
  const absl::Status ended = stream.Finish();
  EXPECT_TRUE(absl::IsUnavailable(ended)) << ended;
  EXPECT_THAT(std::string(ended.message()), HasSubstr("stopping"));
  feed_.gone.WaitForNotification();
}

TEST_F(ServerTest, APortInUseIsAnError) {
  Serve();
  ServerOptions options;
  options.listen = absl::StrCat("127.0.0.1:", server_->port());
  options.certificate_file = world_.directory() + "/tls/server.crt";
  options.key_file = world_.directory() + "/tls/server.key";
  Server second(options, &dispatcher_, &world_.clock());
  EXPECT_TRUE(absl::IsUnavailable(second.Start()));
}

}  // namespace
}  // namespace drover::api
