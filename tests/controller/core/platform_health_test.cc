#include "controller/core/platform_health.h"

#include <map>
#include <memory>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "tests/testing/test_store.h"

namespace drover::core {
namespace {

using Host = drover::v1::Hypervisor;
using drover::v1::Vm;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int64_t kGiB = int64_t{1} << 30;
const absl::Time kNow = absl::FromUnixSeconds(1767225600);

// What is not well has advice, what is well has none.
void ExpectSound(const HealthCheck& check) {
  EXPECT_THAT(check.name(), Not(IsEmpty()));
  EXPECT_THAT(check.finding(), Not(IsEmpty()));
  EXPECT_EQ(check.state() == HealthCheck::STATE_OK, check.advice().empty()) << check.DebugString();
}

void Expect(const HealthCheck& check, HealthCheck::State state, const std::string& finding) {
  ExpectSound(check);
  EXPECT_EQ(check.state(), state) << check.DebugString();
  EXPECT_THAT(check.finding(), HasSubstr(finding));
}

TEST(PlatformHealth, StoreByItsWrites) {
  Expect(JudgeStore(absl::Microseconds(200)), HealthCheck::STATE_OK, "less than 1 ms");
  Expect(JudgeStore(absl::Milliseconds(12)), HealthCheck::STATE_OK, "12ms");
  Expect(JudgeStore(absl::Seconds(2)), HealthCheck::STATE_WARNING, "2s");
  const HealthCheck full =
      JudgeStore(MakeError(absl::StatusCode::kResourceExhausted, "STORE_FULL", "no space"));
  Expect(full, HealthCheck::STATE_ERROR, "no space");
  EXPECT_THAT(full.advice(), HasSubstr("make room"));
}

TEST(PlatformHealth, DiskByWhatIsFree) {
  const auto disk = [](int64_t all, int64_t free, int64_t free_files) {
    return JudgeDisk(DiskFacts{"/var/lib/drover", all, free, 1000000, free_files});
  };
  Expect(disk(100 * kGiB, 50 * kGiB, 500000), HealthCheck::STATE_OK, "50.0 GiB of 100.0 GiB");
  Expect(disk(100 * kGiB, 9 * kGiB, 500000), HealthCheck::STATE_WARNING, "9.0 GiB");
  Expect(disk(4 * kGiB, 3 * kGiB / 2, 500000), HealthCheck::STATE_WARNING, "1.5 GiB");
  Expect(disk(100 * kGiB, kGiB, 500000), HealthCheck::STATE_ERROR, "1.0 GiB");
  Expect(disk(100 * kGiB, 50 * kGiB, 100), HealthCheck::STATE_ERROR, "only 100 files");
  Expect(JudgeDisk(absl::NotFoundError("cannot look")), HealthCheck::STATE_ERROR, "cannot look");
}

TEST(PlatformHealth, ClockSweepAndLog) {
  Expect(JudgeClock(true), HealthCheck::STATE_OK, "NTP");
  Expect(JudgeClock(false), HealthCheck::STATE_WARNING, "not kept");
  Expect(JudgeClock(std::nullopt), HealthCheck::STATE_WARNING, "does not tell");
  const absl::Duration interval = absl::Seconds(3);
  Expect(JudgeSweep(kNow - absl::Seconds(4), interval, kNow), HealthCheck::STATE_OK, "4s ago");
  Expect(JudgeSweep(kNow - absl::Minutes(4), interval, kNow), HealthCheck::STATE_ERROR, "4m ago");
  Expect(JudgeSweep(absl::InfinitePast(), interval, kNow), HealthCheck::STATE_WARNING, "yet");
  drover::v1::VerifyLogResponse log;
  log.set_intact(true);
  log.set_entries(42);
  Expect(JudgeLog(log), HealthCheck::STATE_OK, "42 entries");
  log.set_intact(false);
  log.set_first_bad_id(17);
  log.set_problem("its hash is wrong");
  Expect(JudgeLog(log), HealthCheck::STATE_ERROR, "entry 17: its hash is wrong");
  Expect(JudgeLog(absl::DataLossError("torn")), HealthCheck::STATE_ERROR, "torn");
}

TEST(PlatformHealth, HypervisorsByTheirStates) {
  std::vector<Host> hosts;
  Expect(JudgeHypervisors(hosts), HealthCheck::STATE_WARNING, "none yet");
  for (int i = 0; i < 9; ++i) {
    hosts.emplace_back().set_name(absl::StrCat("hypervisors/h", i));
    hosts.back().set_state(Host::STATE_CONNECTED);
  }
  Expect(JudgeHypervisors(hosts), HealthCheck::STATE_OK, "all 9");
  for (int i = 0; i < 7; ++i) hosts[static_cast<size_t>(i)].set_state(Host::STATE_UNREACHABLE);
  hosts[0].set_state_reason("no route");
  Expect(JudgeHypervisors(hosts), HealthCheck::STATE_ERROR, "7 of 9");
  EXPECT_THAT(JudgeHypervisors(hosts).finding(), HasSubstr("h0 (no route), h1, h2, h3, h4 and 2"));
  hosts[8].set_state(Host::STATE_LOGIN_REFUSED);
  EXPECT_THAT(JudgeHypervisors(hosts).advice(), HasSubstr("account"));
}

TEST(PlatformHealth, AgentsOfVmsThatRun) {
  std::vector<VmRowPtr> rows;
  const auto add = [&](drover::v1::AgentState agent, drover::v1::PowerState power) {
    auto row = std::make_shared<VmRow>();
    row->vm.set_name(absl::StrCat("vms/v", rows.size()));
    row->vm.set_agent_state(agent);
    row->vm.set_power(power);
    rows.push_back(row);
  };
  add(drover::v1::AGENT_STATE_CONNECTED, drover::v1::POWER_STATE_ON);
  add(drover::v1::AGENT_STATE_CONTACT_LOST, drover::v1::POWER_STATE_OFF);
  Expect(JudgeAgents(rows), HealthCheck::STATE_OK, "1 of 2");
  add(drover::v1::AGENT_STATE_CONTACT_LOST, drover::v1::POWER_STATE_ON);
  Expect(JudgeAgents(rows), HealthCheck::STATE_WARNING, "without contact: v2");
  add(drover::v1::AGENT_STATE_QUARANTINED, drover::v1::POWER_STATE_ON);
  Expect(JudgeAgents(rows), HealthCheck::STATE_WARNING, "quarantined: v3");
}

TEST(PlatformHealth, MailByItsQueue) {
  MailFacts mail;
  Expect(JudgeMail(mail, kNow), HealthCheck::STATE_OK, "no type has owners");
  mail.owners = true;
  Expect(JudgeMail(mail, kNow), HealthCheck::STATE_WARNING, "told nothing");
  mail.server = "smtp.lab:25";
  Expect(JudgeMail(mail, kNow), HealthCheck::STATE_OK, "no mail waits for smtp.lab:25");
  mail.waiting = 2;
  mail.oldest = kNow - absl::Seconds(1);
  Expect(JudgeMail(mail, kNow), HealthCheck::STATE_OK, "2 mails wait");
  mail.last_error = "450 later";
  Expect(JudgeMail(mail, kNow), HealthCheck::STATE_WARNING, "450 later");
  mail.oldest = kNow - absl::Hours(1);
  Expect(JudgeMail(mail, kNow), HealthCheck::STATE_ERROR, "450 later");
}

TEST(PlatformHealth, OperationsThatAreStuck) {
  OperationFacts operations;
  operations.running = 3;
  operations.queued = 4;
  Expect(JudgeOperations(operations), HealthCheck::STATE_OK, "3 under way, 4 queued");
  operations.stuck = {"1abc"};
  Expect(JudgeOperations(operations), HealthCheck::STATE_WARNING, "1abc");
}

TEST(PlatformHealth, ExaminesTheWhole) {
  testing::TestStore files;
  Inventory inventory(&files.store(), &files.vault(), &files.clock());
  EventLog events(&files.store(), &files.vault(), &files.clock(), files.directory());
  OperationRunner runner(&files.store(), &files.vault(), &files.clock());
  ReachabilitySweep sweep(nullptr, &files.store(), &inventory, &events, &files.clock(),
                          absl::Seconds(3));
  runner.Register("stand", [](const OperationRecord&) {
    OperationStep step{.title = "stand", .run = [](OperationContext& context) {
                         return context.WaitForWake(absl::Hours(100));
                       }};
    return std::vector<OperationStep>{step};
  });
  ASSERT_TRUE(runner.Start().ok());
  OperationRequest request;
  request.kind = "stand";
  const auto standing = runner.Submit(std::move(request));
  ASSERT_TRUE(standing.ok());
  ASSERT_TRUE(files.store()
                  .Write([&](StoreWriter& writer) {
                    MailRecord mail;
                    mail.set_last_error("no connection");
                    *mail.mutable_create_time() = ToProto(files.clock().Now());
                    return writer.Insert(Table::kMails, {"1", "", mail.SerializeAsString()});
                  })
                  .ok());
  HealthSources sources;
  sources.store = &files.store();
  sources.inventory = &inventory;
  sources.events = &events;
  sources.runner = &runner;
  sources.sweep = &sweep;
  sources.clock = &files.clock();
  sources.sweep_interval = absl::Seconds(3);
  sources.mail_server = "smtp.lab:25";
  sources.version = "1.2.3";
  sources.disk = [] { return DiskFacts{"/x", 100 * kGiB, 50 * kGiB, 100, 100}; };
  sources.clock_synchronised = [] { return std::optional<bool>(true); };
  PlatformHealth health(sources);
  const absl::Time began = files.clock().Now();
  files.clock().Advance(absl::Hours(30));
  const drover::v1::PlatformHealth found = health.Examine();
  EXPECT_EQ(found.version(), "1.2.3");
  EXPECT_EQ(FromProto(found.start_time()), began);
  EXPECT_EQ(FromProto(found.time()), began + absl::Hours(30));
  std::map<std::string, HealthCheck> checks;
  for (const HealthCheck& check : found.checks()) {
    ExpectSound(check);
    checks[check.name()] = check;
  }
  EXPECT_EQ(checks.size(), 9u);
  for (const char* name : {"store", "disk", "clock", "log"}) {
    EXPECT_EQ(checks[name].state(), HealthCheck::STATE_OK) << checks[name].DebugString();
  }
  EXPECT_EQ(checks["mail"].state(), HealthCheck::STATE_ERROR);
  EXPECT_THAT(checks["operations"].finding(), HasSubstr(standing->name().substr(11)));
  EXPECT_EQ(checks["sweep"].state(), HealthCheck::STATE_WARNING);
  runner.Stop();
}

}  // namespace
}  // namespace drover::core
