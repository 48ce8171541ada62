#include "proto/support/resource_name.h"

#include "gtest/gtest.h"

namespace drover {
namespace {

TEST(ResourceName, GoesRoundTrip) {
  EXPECT_EQ(ResourceName("vms", "web-01"), "vms/web-01");
  EXPECT_EQ(*ResourceId("vms/web-01", "vms", "name"), "web-01");
  EXPECT_EQ(IdOf("vms/web-01"), "web-01");
  EXPECT_EQ(IdOf("web-01"), "web-01");
  EXPECT_EQ(IdOf(""), "");
}

TEST(ResourceName, OfAnotherCollectionIsRefused) {
  for (const char* wrong : {"", "vms", "vms/", "types/web", "vms/a/b", "/vms/a", "web-01"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ResourceId(wrong, "vms", "name").status())) << wrong;
  }
}

TEST(IsValidId, LettersDigitsAndDashes) {
  for (const char* right : {"a", "0", "web-01", "10"}) EXPECT_TRUE(IsValidId(right)) << right;
  EXPECT_TRUE(IsValidId(std::string(63, 'a')));
  EXPECT_FALSE(IsValidId(std::string(64, 'a')));
  for (const char* wrong : {"", "-a", "a-", "A", "a_b", "a.b", "a b", "ä", "a/b"}) {
    EXPECT_FALSE(IsValidId(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace drover
