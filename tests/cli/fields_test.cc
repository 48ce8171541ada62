#include "cli/fields.h"

#include "drover/v1/activity.pb.h"
#include "drover/v1/inventory.pb.h"
#include "gtest/gtest.h"

namespace drover::cli {
namespace {

const absl::Time kNow =
    absl::FromCivil(absl::CivilSecond(2026, 11, 23, 12, 0, 0), absl::UTCTimeZone());

struct SetRow {
  const char* path;
  const char* text;
  const char* shown;
};

TEST(SetField, TakesWhatPeopleType) {
  const SetRow rows[] = {
      {"network.ip", "10.0.0.1", "10.0.0.1"},
      {"memory_mb", "4096", "4096 MB"},
      {"memory_mb", "4G", "4096 MB"},
      {"memory_mb", "1.5g", "1536 MB"},
      {"memory_mb", "512M", "512 MB"},
      {"disk_gb", "40G", "40 GB"},
      {"disk_gb", "1T", "1024 GB"},
      {"disk_gb", "2048M", "2 GB"},
      {"cpus", "8", "8"},
      {"type", "web", "web"},
      {"type", "types/web", "web"},
      {"power", "off", "off"},
      {"power", "OFF", "off"},
      {"waiting_operations", "7", "7"},
  };
  for (const SetRow& row : rows) {
    v1::Vm vm;
    ASSERT_TRUE(SetField(&vm, row.path, row.text, kNow).ok()) << row.path << " " << row.text;
    EXPECT_EQ(FieldText(vm, row.path), row.shown) << row.path << " " << row.text;
  }
}

TEST(SetField, WritesResourceNames) {
  v1::Vm vm;
  ASSERT_TRUE(SetField(&vm, "type", "web", kNow).ok());
  EXPECT_EQ(vm.type(), "types/web");
}

// Records of what happened hold names too.
TEST(SetField, WritesResourceNamesIntoCriteria) {
  v1::ListEventsRequest events;
  ASSERT_TRUE(SetField(&events, "vm", "web-01", kNow).ok());
  EXPECT_EQ(events.vm(), "vms/web-01");
  v1::SearchLogRequest log;
  ASSERT_TRUE(SetField(&log, "vm_types", "web", kNow).ok());
  ASSERT_TRUE(SetField(&log, "text", "web", kNow).ok());
  EXPECT_EQ(log.vm_types(0), "types/web");
  EXPECT_EQ(log.text(), "web");
  v1::EnvironmentDocument document;
  ASSERT_TRUE(SetField(&document, "environment", "shop", kNow).ok());
  EXPECT_EQ(document.environment(), "shop");
}

struct RefuseRow {
  const char* path;
  const char* text;
  const char* message;
};

TEST(SetField, RefusesWhatItCannotBe) {
  const RefuseRow rows[] = {
      {"memory_mb", "lots", "\"lots\" is not a number, e.g. 4096M or 4G"},
      {"memory_mb", "4X", "\"4X\" is not a number, e.g. 4096M or 4G"},
      {"memory_mb", "1", "1 is out of range; it is 64 to 6291456"},
      {"memory_mb", "1000000000000", "1e+12 is out of range; it is 64 to 6291456"},
      {"cpus", "2.5", "\"2.5\" is not a whole number"},
      {"cpus", "0", "0 is out of range; it is 1 to 128"},
      {"cpus", "-1", "-1 is out of range; it is 1 to 128"},
      {"type", "vms/web", "\"vms/web\" is not one of the types; give its name, or \"types/NAME\""},
      {"power", "on-ish", "\"on-ish\" is not one of on, off, suspended"},
      {"power", "suspnded",
       "\"suspnded\" is not one of on, off, suspended; did you mean \"suspended\"?"},
      {"imported", "maybe", "\"maybe\" is neither true nor false"},
  };
  for (const RefuseRow& row : rows) {
    v1::Vm vm;
    const absl::Status status = SetField(&vm, row.path, row.text, kNow);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << row.path << " " << row.text;
    EXPECT_EQ(std::string(status.message()), row.message);
  }
}

TEST(ParseTime, TakesSpansDatesAndRfc3339) {
  EXPECT_EQ(*ParseTime("2h", kNow), kNow - absl::Hours(2));
  EXPECT_EQ(*ParseTime("90s", kNow), kNow - absl::Seconds(90));
  EXPECT_EQ(*ParseTime("1d", kNow), kNow - absl::Hours(24));
  EXPECT_EQ(*ParseTime("now", kNow), kNow);
  EXPECT_EQ(*ParseTime("2026-11-23T20:00:00+08:00", kNow), kNow);
  EXPECT_EQ(*ParseTime("2026-11-23", kNow),
            absl::FromCivil(absl::CivilDay(2026, 11, 23), absl::LocalTimeZone()));
  EXPECT_EQ(*ParseTime("2026-11-23 10:30", kNow),
            absl::FromCivil(absl::CivilMinute(2026, 11, 23, 10, 30), absl::LocalTimeZone()));
  for (const char* wrong : {"", "yesterday", "2026-13-01", "-1h", "10:30"}) {
    EXPECT_FALSE(ParseTime(wrong, kNow).ok()) << wrong;
  }
}

TEST(EnumWord, DropsTheTypesPrefix) {
  EXPECT_EQ(EnumWord(*v1::PowerAction_descriptor()->FindValueByName("POWER_ACTION_HARD_OFF")),
            "hard-off");
  EXPECT_EQ(EnumWord(*v1::Operation::State_descriptor()->FindValueByName("STATE_PARTLY_FAILED")),
            "partly-failed");
  EXPECT_EQ(EnumWord(*v1::PowerState_descriptor()->FindValueByNumber(0)), "");
  EXPECT_EQ(FindEnumWord(*v1::CopyMethod_descriptor(), "create_and_copy")->number(),
            v1::COPY_METHOD_CREATE_AND_COPY);
}

TEST(Human, Sizes) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanBytes(200.0 * 1024 * 1024), "200 MiB");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(12340)), "12.3s");
  EXPECT_EQ(HumanDuration(absl::Seconds(125)), "2m05s");
  EXPECT_EQ(HumanDuration(absl::Minutes(190)), "3h10m");
}

}  // namespace
}  // namespace drover::cli
