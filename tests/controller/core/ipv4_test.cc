#include "controller/core/ipv4.h"

#include "gtest/gtest.h"

namespace drover::core {
namespace {

TEST(Ipv4, ParsesDottedAddressesOnly) {
  struct Row {
    const char* text;
    std::optional<uint32_t> address;
  };
  const Row rows[] = {
      {"10.0.0.1", 0x0a000001},
      {"255.255.255.255", 0xffffffff},
      {"0.0.0.0", 0},
      {"10.0.0", std::nullopt},
      {"10.0.0.1.2", std::nullopt},
      {"10.0.0.256", std::nullopt},
      {"10.0.0.01", std::nullopt},
      {"10.0.0.-1", std::nullopt},
      {"10.0.0.1 ", std::nullopt},
      {"10.0.0.1/24", std::nullopt},
      {"", std::nullopt},
      {"a.b.c.d", std::nullopt},
      {"10.0.0.1000", std::nullopt},
  };
  for (const Row& row : rows) EXPECT_EQ(ParseIpv4(row.text), row.address) << row.text;
}

TEST(Ipv4, FormatsWhatItParses) {
  for (uint32_t address : {0u, 0x0a000001u, 0xc0a801feu, 0xffffffffu}) {
    EXPECT_EQ(ParseIpv4(FormatIpv4(address)), address);
  }
}

TEST(Ipv4, MasksHaveTheirOnesInFront) {
  EXPECT_EQ(ParseNetmask("255.255.255.0"), 0xffffff00);
  EXPECT_EQ(ParseNetmask("255.255.255.255"), 0xffffffff);
  EXPECT_EQ(ParseNetmask("128.0.0.0"), 0x80000000);
  for (const char* text : {"0.0.0.0", "255.0.255.0", "0.0.0.255", "255.255.255.1", "24", ""}) {
    EXPECT_EQ(ParseNetmask(text), std::nullopt) << text;
  }
}

TEST(Ipv4, RangesHoldBothEnds) {
  auto range = ParseAddressRange("10.0.0.10-10.0.0.99");
  ASSERT_TRUE(range.ok()) << range.status();
  EXPECT_EQ(range->first, 0x0a00000a);
  EXPECT_EQ(range->last, 0x0a000063);
  EXPECT_EQ(range->size(), 90);
  range = ParseAddressRange("10.0.0.10 - 10.0.0.10");
  ASSERT_TRUE(range.ok()) << range.status();
  EXPECT_EQ(range->size(), 1);
  range = ParseAddressRange("10.0.0.7");
  ASSERT_TRUE(range.ok()) << range.status();
  EXPECT_EQ(range->size(), 1);
}

TEST(Ipv4, RangesThatAreNoneAreRefused) {
  for (const char* text : {"", "-", "10.0.0.1-", "10.0.0.1-10.0.0.2-10.0.0.3", "10.0.0.9-10.0.0.1",
                           "10.0.0.0/24", "10.0.0.1-99", "0.0.0.0-255.255.255.255"}) {
    EXPECT_EQ(ParseAddressRange(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace drover::core
