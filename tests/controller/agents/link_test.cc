// Real agents' streams over mTLS against the real link server, store and authority.
#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "controller/agents/agent_directory.h"
#include "controller/agents/authority.h"
#include "controller/agents/enrolment.h"
#include "controller/agents/link_server.h"
#include "controller/agents/server_certificate.h"
#include "controller/agents/x509.h"
#include "drover/agent/v1/agent_link.grpc.pb.h"
#include "proto/support/grpc_status.h"
#include "proto/support/status.h"
#include "tests/testing/test_store.h"

namespace drover::agents {
namespace {

using drover::agent::v1::AgentEvent;
using drover::agent::v1::AgentLink;
using drover::agent::v1::AgentMessage;
using drover::agent::v1::Command;
using drover::agent::v1::CommandUpdate;
using drover::agent::v1::ControllerMessage;
using drover::agent::v1::DesiredState;
using drover::agent::v1::EnrollRequest;
using drover::agent::v1::EnrollResponse;
using drover::agent::v1::Hello;
using drover::agent::v1::Identity;
using drover::agent::v1::Samples;
using drover::agent::v1::StateReport;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kInterval = absl::Seconds(10);

// A list that a test may wait on.
template <typename T>
class Seen {
 public:
  void Add(T value) {
    absl::MutexLock lock(&mutex_);
    values_.push_back(std::move(value));
  }
  std::vector<T> WaitFor(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return values_.size() >= count;
    };
    mutex_.Await(absl::Condition(&enough));
    return values_;
  }
  std::vector<T> values() {
    absl::MutexLock lock(&mutex_);
    return values_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<T> values_ ABSL_GUARDED_BY(mutex_);
};

// The core's part, remembered.
class FakeListener : public core::AgentListener {
 public:
  absl::Status OnConnected(absl::string_view uid, const Hello&) override {
    happened.Add(absl::StrCat("connected ", uid));
    return absl::OkStatus();
  }
  void OnDisconnected(absl::string_view uid, absl::string_view why) override {
    whys.Add(std::string(why));
    happened.Add(absl::StrCat("disconnected ", uid));
  }
  void OnQuarantined(absl::string_view uid, absl::string_view) override {
    happened.Add(absl::StrCat("quarantined ", uid));
  }
  absl::Status OnEvents(absl::string_view, const std::vector<AgentEvent>& told) override {
    absl::MutexLock lock(&mutex);
    mutex.Await(absl::Condition(&store_works));
    if (!events_status.ok()) return events_status;
    for (const AgentEvent& event : told) events.Add(event.sequence());
    return absl::OkStatus();
  }
  absl::Status OnCommandUpdate(absl::string_view, const CommandUpdate& update) override {
    updates.Add(update);
    return absl::OkStatus();
  }
  void OnState(absl::string_view, const StateReport& state) override { states.Add(state); }
  void OnSamples(absl::string_view, const Samples&) override {}
  void OnDesiredStateApplied(absl::string_view, int64_t generation) override {
    applied.Add(generation);
  }
  absl::StatusOr<DesiredState> DesiredStateOf(absl::string_view) override {
    absl::MutexLock lock(&mutex);
    DesiredState desired;
    desired.set_generation(generation);
    return desired;
  }

  Seen<std::string> happened;
  Seen<std::string> whys;
  Seen<int64_t> events;
  Seen<CommandUpdate> updates;
  Seen<StateReport> states;
  Seen<int64_t> applied;
  absl::Mutex mutex;
  bool store_works ABSL_GUARDED_BY(mutex) = true;
  absl::Status events_status ABSL_GUARDED_BY(mutex);
  int64_t generation ABSL_GUARDED_BY(mutex) = 1;
};

// A guest: a key of its own, what it believes to be, and the certificate it was given.
struct Guest {
  KeyPtr key;
  std::string certificate;
  Identity identity;

  explicit Guest(const std::string& machine) {
    key = *NewKey();
    identity.set_machine_fingerprint("machine-" + machine);
    identity.set_instance_id("instance-" + machine);
    identity.set_hostname(machine);
  }
  std::string Request() const {
    const RequestPtr request(X509_REQ_new());
    X509_REQ_set_pubkey(request.get(), key.get());
    X509_REQ_sign(request.get(), key.get(), EVP_sha256());
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(bio, request.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string pem(data, static_cast<size_t>(size));
    BIO_free_all(bio);
    return pem;
  }
};

// One stream of an agent.
class Link {
 public:
  Link(std::shared_ptr<grpc::Channel> channel, const Identity& identity)
      : stub_(AgentLink::NewStub(std::move(channel))), stream_(stub_->Link(&context_)) {
    AgentMessage hello;
    *hello.mutable_hello()->mutable_identity() = identity;
    Write(hello);
  }
  ~Link() {
    context_.TryCancel();
    if (!finished_) Finish().IgnoreError();
  }
  void Write(const AgentMessage& message) { stream_->Write(message); }
  void Beat(int64_t number) {
    AgentMessage message;
    message.mutable_heartbeat()->set_number(number);
    Write(message);
  }
  void Event(int64_t sequence) {
    AgentMessage message;
    message.mutable_event()->set_sequence(sequence);
    Write(message);
  }
  bool Read(ControllerMessage* message) { return stream_->Read(message); }
  // The next message of this kind; others are passed over.
  ControllerMessage Next(ControllerMessage::MessageCase kind) {
    ControllerMessage message;
    while (Read(&message)) {
      if (message.message_case() == kind) return message;
    }
    ADD_FAILURE() << "the stream ended: " << Finish();
    return {};
  }
  void Welcomed() {
    Next(ControllerMessage::kWelcome);
    Next(ControllerMessage::kDesiredState);
  }
  absl::Status Finish() {
    finished_ = true;
    return FromGrpcStatus(stream_->Finish());
  }
  // Reads to the end.
  absl::Status End() {
    ControllerMessage message;
    while (Read(&message)) {
    }
    return Finish();
  }

 private:
  std::unique_ptr<AgentLink::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<AgentMessage, ControllerMessage>> stream_;
  bool finished_ = false;
};

class LinkTest : public ::testing::Test {
 protected:
  LinkTest() {
    authority_ = *Authority::Open(&world_.store(), &world_.vault(), &world_.clock());
    enrolment_ = std::make_unique<Enrolment>(
        &world_.store(), &world_.vault(), &world_.clock(), authority_.get(), "10.0.0.1:8444",
        [this](v1::LogEntry entry) { audit_.Add(std::move(entry)); });
    DirectoryOptions options;
    options.heartbeat = kInterval;
    directory_ = std::make_unique<AgentDirectory>(options, enrolment_.get(), &world_.clock());
    directory_->SetListener(&listener_);
    ServerCertificate certificate(authority_.get(), &world_.clock(), world_.directory() + "/tls",
                                  {"127.0.0.1"});
    EXPECT_TRUE(certificate.Refresh().ok());
    LinkServerOptions server;
    server.listen = "127.0.0.1:0";
    server.certificate_file = certificate.certificate_file();
    server.key_file = certificate.key_file();
    server.authority_file = certificate.authority_file();
    server_ = std::make_unique<LinkServer>(server, directory_.get(), authority_.get());
    const absl::Status started = server_->Start();
    EXPECT_TRUE(started.ok()) << started;
  }

  // A connection of its own each time, as from another machine.
  std::shared_ptr<grpc::Channel> Dial(const Guest* guest) {
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = authority_->certificate();
    if (guest != nullptr) {
      tls.pem_cert_chain = guest->certificate;
      tls.pem_private_key = *KeyToPem(guest->key.get());
    }
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("drover-controller");
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", server_->port()),
                                     grpc::SslCredentials(tls), arguments);
  }
  std::string Token(const std::string& uid, const std::string& bios = "") {
    auto kit = directory_->NewEnrolmentKit(uid, bios, absl::Hours(1));
    EXPECT_TRUE(kit.ok()) << kit.status();
    EXPECT_EQ(kit->controller_address(), "10.0.0.1:8444");
    EXPECT_EQ(kit->authority(), authority_->certificate());
    return kit->token();
  }
  absl::Status Enroll(Guest& guest, const std::string& token) {
    EnrollRequest request;
    request.set_token(token);
    request.set_certificate_request(guest.Request());
    *request.mutable_identity() = guest.identity;
    EnrollResponse response;
    grpc::ClientContext context;
    const absl::Status status =
        FromGrpcStatus(AgentLink::NewStub(Dial(nullptr))->Enroll(&context, request, &response));
    if (status.ok()) guest.certificate = response.certificate_chain();
    return status;
  }
  Guest Enrolled(const std::string& uid) {
    Guest guest(uid);
    const absl::Status enrolled = Enroll(guest, Token(uid));
    EXPECT_TRUE(enrolled.ok()) << enrolled;
    return guest;
  }
  std::unique_ptr<Link> Connect(const Guest& guest) {
    return std::make_unique<Link>(Dial(&guest), guest.identity);
  }

  testing::TestStore world_;
  FakeListener listener_;
  Seen<v1::LogEntry> audit_;
  std::unique_ptr<Authority> authority_;
  std::unique_ptr<Enrolment> enrolment_;
  std::unique_ptr<AgentDirectory> directory_;
  std::unique_ptr<LinkServer> server_;
};

TEST_F(LinkTest, EnrolsLinksAndCarriesBothWays) {
  const Guest guest = Enrolled("uid-1");
  const auto link = Connect(guest);
  const ControllerMessage welcome = link->Next(ControllerMessage::kWelcome);
  EXPECT_EQ(welcome.welcome().heartbeat_seconds(), 10);
  EXPECT_EQ(link->Next(ControllerMessage::kDesiredState).desired_state().generation(), 1);
  EXPECT_TRUE(directory_->IsConnected("uid-1"));
  EXPECT_THAT(listener_.happened.values(), ElementsAre("connected uid-1"));

  Command command;
  command.set_id("c-1");
  ASSERT_TRUE(directory_->Send("uid-1", command).ok());
  EXPECT_EQ(link->Next(ControllerMessage::kCommand).command().id(), "c-1");
  ASSERT_TRUE(directory_->CancelCommand("uid-1", "c-1").ok());
  EXPECT_EQ(link->Next(ControllerMessage::kCancel).cancel().id(), "c-1");

  AgentMessage update;
  update.mutable_command_update()->set_command_id("c-1");
  update.mutable_command_update()->set_state(CommandUpdate::STATE_RUNNING);
  link->Write(update);
  update.mutable_command_update()->set_state(CommandUpdate::STATE_CANCELLED);
  link->Write(update);
  EXPECT_EQ(link->Next(ControllerMessage::kCommandAcknowledged).command_acknowledged(), "c-1");
  EXPECT_EQ(listener_.updates.WaitFor(2)[1].state(), CommandUpdate::STATE_CANCELLED);

  {
    absl::MutexLock lock(&listener_.mutex);
    listener_.generation = 2;
  }
  directory_->DesiredStateChanged("uid-1");
  EXPECT_EQ(link->Next(ControllerMessage::kDesiredState).desired_state().generation(), 2);
  AgentMessage applied;
  applied.set_desired_state_applied(2);
  link->Write(applied);
  EXPECT_THAT(listener_.applied.WaitFor(1), ElementsAre(2));
  AgentMessage state;
  state.mutable_state()->set_ip("10.0.0.7");
  link->Write(state);
  EXPECT_EQ(listener_.states.WaitFor(1)[0].ip(), "10.0.0.7");
}

TEST_F(LinkTest, NothingGoesToAnAgentThatIsNotThere) {
  EXPECT_FALSE(directory_->IsConnected("uid-1"));
  EXPECT_TRUE(HasReason(directory_->Send("uid-1", Command()), "AGENT_NOT_CONNECTED"));
  EXPECT_TRUE(HasReason(directory_->CancelCommand("uid-1", "c"), "AGENT_NOT_CONNECTED"));
}

TEST_F(LinkTest, AcknowledgesEventsOnlyWhenTheyAreDurable) {
  const Guest guest = Enrolled("uid-1");
  const auto link = Connect(guest);
  link->Welcomed();
  {
    absl::MutexLock lock(&listener_.mutex);
    listener_.store_works = false;
  }
  for (int i = 1; i <= 3; ++i) link->Event(i);
  // While the store is busy heartbeats go out all the same, and nothing is acknowledged.
  world_.clock().Advance(kInterval);
  directory_->Tick();
  ControllerMessage message;
  ASSERT_TRUE(link->Read(&message));
  EXPECT_TRUE(message.has_heartbeat()) << message.ShortDebugString();
  {
    absl::MutexLock lock(&listener_.mutex);
    listener_.store_works = true;
  }
  int64_t last = 0;
  while (last < 3) last = link->Next(ControllerMessage::kEventsAcknowledged).events_acknowledged();
  EXPECT_THAT(listener_.events.values(), ElementsAre(1, 2, 3));
}

TEST_F(LinkTest, EndsTheStreamWhenEventsCannotBeStored) {
  const Guest guest = Enrolled("uid-1");
  auto link = Connect(guest);
  link->Welcomed();
  {
    absl::MutexLock lock(&listener_.mutex);
    listener_.events_status = absl::UnavailableError("disk full");
  }
  link->Event(1);
  EXPECT_TRUE(absl::IsUnavailable(link->End()));
  listener_.happened.WaitFor(2);
  EXPECT_FALSE(directory_->IsConnected("uid-1"));
}

TEST_F(LinkTest, DropsWhoFellSilentAndNotWhoBeats) {
  const Guest silent = Enrolled("uid-silent");
  const Guest alive = Enrolled("uid-alive");
  auto silent_link = Connect(silent);
  auto alive_link = Connect(alive);
  silent_link->Welcomed();
  alive_link->Welcomed();
  for (int i = 1; i <= 3; ++i) {
    world_.clock().Advance(kInterval);
    alive_link->Beat(i);
    // Acknowledged: what was said before it was heard.
    alive_link->Event(i);
    alive_link->Next(ControllerMessage::kEventsAcknowledged);
    directory_->Tick();
    EXPECT_EQ(alive_link->Next(ControllerMessage::kHeartbeat).heartbeat().echo(), i);
  }
  const absl::Status ended = silent_link->End();
  EXPECT_FALSE(ended.ok());
  EXPECT_THAT(listener_.happened.WaitFor(3), Contains("disconnected uid-silent"));
  EXPECT_THAT(listener_.whys.WaitFor(1)[0], HasSubstr("three heartbeats"));
  EXPECT_FALSE(directory_->IsConnected("uid-silent"));
  EXPECT_TRUE(directory_->IsConnected("uid-alive"));
}

TEST_F(LinkTest, TheNewestStreamOfAMachineSupersedes) {
  const Guest guest = Enrolled("uid-1");
  auto old_link = Connect(guest);
  old_link->Welcomed();
  auto new_link = Connect(guest);
  new_link->Welcomed();
  const absl::Status ended = old_link->End();
  EXPECT_TRUE(HasReason(ended, "SUPERSEDED")) << ended;
  ASSERT_TRUE(directory_->Send("uid-1", Command()).ok());
  new_link->Next(ControllerMessage::kCommand);
  // It was never away.
  EXPECT_THAT(listener_.happened.values(), ElementsAre("connected uid-1", "connected uid-1"));
}

TEST_F(LinkTest, TellsWhenTheConnectionIsLost) {
  const Guest guest = Enrolled("uid-1");
  Connect(guest)->Welcomed();
  EXPECT_THAT(listener_.happened.WaitFor(2), ElementsAre("connected uid-1", "disconnected uid-1"));
  EXPECT_FALSE(directory_->IsConnected("uid-1"));
}

TEST_F(LinkTest, ACopyOfAnIdentityIsQuarantinedAndTheOriginalStays) {
  const Guest guest = Enrolled("uid-1");
  auto original = Connect(guest);
  original->Welcomed();
  // The same key and certificate on another machine.
  Identity copied = guest.identity;
  copied.set_machine_fingerprint("machine-of-the-copy");
  Link copy(Dial(&guest), copied);
  EXPECT_TRUE(HasReason(copy.End(), "IDENTITY_QUARANTINED"));
  EXPECT_THAT(listener_.happened.WaitFor(2), ElementsAre("connected uid-1", "quarantined uid-1"));
  // What is sent reaches the original only.
  ASSERT_TRUE(directory_->Send("uid-1", Command()).ok());
  original->Next(ControllerMessage::kCommand);
  // Audited once for each copy, however often it comes.
  EXPECT_TRUE(HasReason(Link(Dial(&guest), copied).End(), "IDENTITY_QUARANTINED"));
  int quarantines = 0;
  for (const v1::LogEntry& entry : audit_.values()) {
    if (entry.action() == "quarantine agent") {
      ++quarantines;
      EXPECT_EQ(entry.resource_name(), "uid-1");
      EXPECT_EQ(entry.client_address(), "127.0.0.1");
    }
  }
  EXPECT_EQ(quarantines, 1);
  // The original may come and go as before.
  Connect(guest)->Welcomed();
  // A person may decide otherwise: then the next machine is the VM.
  ASSERT_TRUE(directory_->LiftQuarantine("uid-1").ok());
  Link chosen(Dial(&guest), copied);
  chosen.Welcomed();
  EXPECT_TRUE(directory_->IsConnected("uid-1"));
}

TEST_F(LinkTest, FiftyCopiesOfAnEnrolledTemplateGetIdentitiesOfTheirOwn) {
  const Guest templ = Enrolled("template");
  std::vector<Guest> clones;
  std::vector<std::unique_ptr<Link>> links;
  for (int i = 0; i < 50; ++i) {
    // A clone makes a key of its own, because its machine is another one, and is given a token.
    clones.push_back(Enrolled(absl::StrCat("clone-", i)));
    links.push_back(Connect(clones.back()));
  }
  for (auto& link : links) link->Welcomed();
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(directory_->IsConnected(absl::StrCat("clone-", i)));
    EXPECT_NE(clones[i].certificate, templ.certificate);
  }
}

TEST_F(LinkTest, ATokenWorksOnce) {
  const std::string token = Token("uid-1");
  Guest guest("uid-1");
  ASSERT_TRUE(Enroll(guest, token).ok());
  const std::string first = guest.certificate;
  // The answer was lost on the way: the same key is answered the same.
  ASSERT_TRUE(Enroll(guest, token).ok());
  EXPECT_EQ(guest.certificate, first);
  Guest thief("thief");
  const absl::Status replayed = Enroll(thief, token);
  EXPECT_TRUE(HasReason(replayed, "ENROLMENT_TOKEN_REFUSED")) << replayed;
  EXPECT_EQ(audit_.values().back().action(), "refuse agent");
  EXPECT_EQ(audit_.values().back().result(), "UNAUTHENTICATED");
  // The first one is in force all the same.
  Connect(guest)->Welcomed();
}

TEST_F(LinkTest, TokensOfTheWrongKindAreRefused) {
  Guest guest("uid-1");
  EXPECT_TRUE(HasReason(Enroll(guest, "made-up"), "ENROLMENT_TOKEN_REFUSED"));
  EXPECT_TRUE(HasReason(Enroll(guest, ""), "ENROLMENT_TOKEN_REFUSED"));

  const std::string expired = Token("uid-1");
  world_.clock().Advance(absl::Hours(1));
  EXPECT_TRUE(HasReason(Enroll(guest, expired), "ENROLMENT_TOKEN_REFUSED"));

  const std::string replaced = Token("uid-1");
  const std::string current = Token("uid-1");
  EXPECT_TRUE(HasReason(Enroll(guest, replaced), "ENROLMENT_TOKEN_REFUSED"));

  const std::string bound = Token("uid-2", "564d0000-1111-2222-3333-444455556666");
  guest.identity.set_bios_uuid("ffffffff-1111-2222-3333-444455556666");
  EXPECT_TRUE(HasReason(Enroll(guest, bound), "ENROLMENT_TOKEN_REFUSED"));
  // Old firmware tells the first parts the other way round.
  guest.identity.set_bios_uuid("00004D56-1111-2222-3333-444455556666");
  EXPECT_TRUE(Enroll(guest, bound).ok());
  EXPECT_TRUE(Enroll(guest, current).ok());
}

TEST_F(LinkTest, AnEarlierCertificateOfTheVmIsRefused) {
  Guest guest = Enrolled("uid-1");
  auto link = Connect(guest);
  link->Welcomed();
  const Guest before{Enrolled("uid-other")};
  Guest again("uid-1");
  ASSERT_TRUE(Enroll(again, Token("uid-1")).ok());
  // Its stream ends, and it is not let in again.
  EXPECT_TRUE(HasReason(link->End(), "CERTIFICATE_REVOKED"));
  EXPECT_TRUE(HasReason(Connect(guest)->End(), "CERTIFICATE_REVOKED"));
  Connect(again)->Welcomed();
}

TEST_F(LinkTest, RevokedIdentitiesAreOut) {
  const Guest guest = Enrolled("uid-1");
  auto link = Connect(guest);
  link->Welcomed();
  const std::string token = Token("uid-1");
  ASSERT_TRUE(directory_->Revoke("uid-1").ok());
  EXPECT_TRUE(HasReason(link->End(), "CERTIFICATE_REVOKED"));
  EXPECT_TRUE(HasReason(Connect(guest)->End(), "CERTIFICATE_REVOKED"));
  Guest other("uid-1");
  EXPECT_TRUE(HasReason(Enroll(other, token), "ENROLMENT_TOKEN_REFUSED"));
}

TEST_F(LinkTest, TheLinkNeedsACertificateOfOurs) {
  const Guest nobody("nobody");
  Link link(Dial(nullptr), nobody.identity);
  EXPECT_TRUE(HasReason(link.End(), "CERTIFICATE_REQUIRED"));

  testing::TestStore elsewhere;
  const auto other = *Authority::Open(&elsewhere.store(), &elsewhere.vault(), &elsewhere.clock());
  Guest foreign("uid-1");
  foreign.certificate = other->IssueAgent(foreign.Request(), "uid-1")->chain;
  EXPECT_FALSE(Connect(foreign)->End().ok());
  EXPECT_FALSE(directory_->IsConnected("uid-1"));
}

TEST_F(LinkTest, HelloComesFirst) {
  const Guest guest = Enrolled("uid-1");
  const auto stub = AgentLink::NewStub(Dial(&guest));
  grpc::ClientContext context;
  const auto stream = stub->Link(&context);
  AgentMessage message;
  message.mutable_event()->set_sequence(1);
  stream->Write(message);
  ControllerMessage answer;
  EXPECT_FALSE(stream->Read(&answer));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(listener_.events.values().empty());
}

TEST_F(LinkTest, TwoHundredAgentsAtOnce) {
  constexpr int kAgents = 200;
  std::vector<Guest> guests;
  for (int i = 0; i < kAgents; ++i) guests.push_back(Enrolled(absl::StrCat("uid-", i)));
  std::vector<std::unique_ptr<Link>> links(kAgents);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = t; i < kAgents; i += 8) {
        links[i] = Connect(guests[i]);
        links[i]->Welcomed();
        for (int sequence = 1; sequence <= 5; ++sequence) links[i]->Event(sequence);
        int64_t last = 0;
        while (last < 5) {
          last = links[i]->Next(ControllerMessage::kEventsAcknowledged).events_acknowledged();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(listener_.events.values().size(), 5u * kAgents);
  for (int i = 0; i < kAgents; ++i) {
    const std::string uid = absl::StrCat("uid-", i);
    EXPECT_TRUE(directory_->IsConnected(uid));
    EXPECT_TRUE(directory_->Send(uid, Command()).ok());
  }
  for (auto& link : links) link->Next(ControllerMessage::kCommand);
}

TEST_F(LinkTest, StoppingEndsStreamsAndTellsNobodyOfLoss) {
  const Guest guest = Enrolled("uid-1");
  auto link = Connect(guest);
  link->Welcomed();
  server_->Stop(absl::Seconds(10));
  const absl::Status ended = link->End();
  EXPECT_TRUE(absl::IsUnavailable(ended)) << ended;
  EXPECT_THAT(listener_.happened.values(), ElementsAre("connected uid-1"));
}

}  // namespace
}  // namespace drover::agents
