#include "controller/core/paging.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using ::testing::ElementsAre;

std::string FieldOf(const absl::Status& status) {
  auto violations = ViolationsOf(status);
  return violations.field_violations_size() == 1 ? violations.field_violations(0).field() : "";
}

TEST(Paging, TokensComeBackWithAnyBytes) {
  const std::string odd("\0:\n\xff 12:", 8);
  auto place = ParsePageToken(MakePageToken("vms", {odd, "", "web-01"}), "vms", 3);
  ASSERT_TRUE(place.ok()) << place.status();
  EXPECT_THAT(*place, ElementsAre(odd, "", "web-01"));
}

TEST(Paging, TokensOfOtherListsAndDamagedOnesAreRefused) {
  std::string token = MakePageToken("vms", {"web-01"});
  const std::pair<std::string, std::string> rows[] = {
      {token, "types"},
      {token.substr(1), "vms"},
      {"!", "vms"},
      {"abc", "vms"},
      {MakePageToken("vms", {"a", "b"}), "vms"},
  };
  for (const auto& [text, scope] : rows) {
    EXPECT_EQ(FieldOf(ParsePageToken(text, scope, 1).status()), "page_token") << text;
  }
}

TEST(Paging, SizesHaveBounds) {
  EXPECT_EQ(*PageSize(0, 10), 10);
  EXPECT_EQ(*PageSize(1000, 10), 1000);
  EXPECT_EQ(FieldOf(PageSize(-1, 10).status()), "page_size");
  EXPECT_EQ(FieldOf(PageSize(1001, 10).status()), "page_size");
}

TEST(Paging, FingerprintsTellApart) {
  EXPECT_EQ(Fingerprint("a").size(), 32);
  EXPECT_EQ(Fingerprint("a"), Fingerprint("a"));
  EXPECT_NE(Fingerprint("a"), Fingerprint("b"));
}

}  // namespace
}  // namespace drover::core
