// What a host's performance manager answers, read: counters by name, samples in CSV.
#include "controller/vsphere/usage.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/time.h"

namespace drover::vsphere {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

// Numbers differ between servers; names do not.
const std::map<std::string, int64_t> kCounters = {{"cpu.usage.average", 2},
                                                  {"mem.consumed.average", 98},
                                                  {"net.received.average", 148},
                                                  {"net.transmitted.average", 149}};

absl::Time At(const char* text) {
  absl::Time time;
  std::string problem;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, text, &time, &problem)) << problem;
  return time;
}

std::string Series(int counter, const std::string& values) {
  return absl::StrCat("<value xsi:type=\"PerfMetricSeriesCSV\"><id><counterId>", counter,
                      "</counterId><instance/></id><value>", values, "</value></value>");
}

core::VmUsage Read(const std::string& info, const std::string& series, absl::Time since) {
  pugi::xml_document document;
  EXPECT_TRUE(document.load_string(
      absl::StrCat("<returnval><entity type=\"VirtualMachine\">vm-7</entity><sampleInfoCSV>", info,
                   "</sampleInfoCSV>", series, "</returnval>")
          .c_str()));
  return ReadUsage(document.child("returnval"), kCounters, since);
}

TEST(Usage, CountersAreFoundByName) {
  pugi::xml_document document;
  const auto counter = [](int key, const char* group, const char* name, const char* rollup) {
    return absl::StrCat("<PerfCounterInfo><key>", key, "</key><nameInfo><key>", name,
                        "</key></nameInfo><groupInfo><key>", group,
                        "</key></groupInfo><rollupType>", rollup,
                        "</rollupType></PerfCounterInfo>");
  };
  ASSERT_TRUE(document.load_string(absl::StrCat("<val>", counter(2, "cpu", "usage", "average"),
                                                counter(3, "cpu", "usage", "maximum"),
                                                counter(98, "mem", "consumed", "average"),
                                                counter(99, "mem", "active", "average"), "</val>")
                                       .c_str()));
  EXPECT_THAT(ReadCounters(document.child("val")),
              ElementsAre(Pair("cpu.usage.average", 2), Pair("mem.consumed.average", 98)));
  EXPECT_TRUE(ReadCounters(pugi::xml_node()).empty());
}

TEST(Usage, TheQueryNamesTheCountersThereAre) {
  const std::string query = UsageQuery("vm-7", {{"cpu.usage.average", 2}}, 5);
  EXPECT_THAT(query,
              HasSubstr("<entity type=\"VirtualMachine\">vm-7</entity><maxSample>5</maxSample>"));
  EXPECT_THAT(query, HasSubstr("<metricId><counterId>2</counterId><instance></instance></metricId>"
                               "<intervalId>20</intervalId><format>csv</format>"));
  EXPECT_THAT(query, Not(HasSubstr("98")));
}

TEST(Usage, SamplesHaveTheUnitsOfAgents) {
  const core::VmUsage usage = Read("20,2026-01-01T00:00:20Z,20,2026-01-01T00:00:40Z",
                                   Series(2, "1250,5000") + Series(98, "1048576,2097152") +
                                       Series(148, "1000,0") + Series(149, "0,2000"),
                                   absl::InfinitePast());
  EXPECT_EQ(usage.object, "vm-7");
  ASSERT_EQ(usage.samples.size(), 2u);
  EXPECT_EQ(FromProto(usage.samples[0].time()), At("2026-01-01T00:00:20Z"));
  EXPECT_DOUBLE_EQ(usage.samples[0].cpu_percent(), 12.5);
  EXPECT_EQ(usage.samples[0].memory_used_mb(), 1024);
  // KB/s of 1024 bytes.
  EXPECT_DOUBLE_EQ(usage.samples[0].network_receive_kbps(), 8192);
  EXPECT_DOUBLE_EQ(usage.samples[1].network_send_kbps(), 16384);
}

struct Row {
  const char* name;
  std::string info;
  std::string series;
  // Percent of CPU, in their order.
  std::vector<double> cpu;
};

TEST(Usage, WhatIsNoSampleIsLeftOut) {
  const std::string three =
      "20,2026-01-01T00:00:20Z,20,2026-01-01T00:00:40Z,20,2026-01-01T00:01:00Z";
  for (const Row& row : std::vector<Row>{
           {"as told", three, Series(2, "100,200,300"), {2, 3}},
           {"no value", three, Series(2, "100,-1,300"), {3}},
           {"memory alone is none", three, Series(98, "1,2,3"), {}},
           {"fewer values than times", three, Series(2, "100,200"), {2}},
           {"more values than times", three, Series(2, "100,200,300,400"), {2, 3}},
           {"a counter nobody asked for", three, Series(7, "1,2,3"), {}},
           {"not a number", three, Series(2, "100,x,300"), {3}},
           {"not a time", "20,then,20,2026-01-01T00:00:40Z", Series(2, "100,200"), {2}},
           {"newest first",
            "20,2026-01-01T00:01:00Z,20,2026-01-01T00:00:40Z",
            Series(2, "300,200"),
            {2, 3}},
           {"nothing", "", "", {}}}) {
    SCOPED_TRACE(row.name);
    // The first was read before.
    const core::VmUsage usage = Read(row.info, row.series, At("2026-01-01T00:00:20Z"));
    std::vector<double> cpu;
    for (const auto& sample : usage.samples) cpu.push_back(sample.cpu_percent());
    EXPECT_THAT(cpu, ::testing::ElementsAreArray(row.cpu));
  }
}

}  // namespace
}  // namespace drover::vsphere
