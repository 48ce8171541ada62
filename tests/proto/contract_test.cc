#include "proto/support/contract.h"

#include "gtest/gtest.h"

namespace drover {
namespace {

TEST(Contract, FindsMethodsByEachSpelling) {
  const auto* method = FindMethod("InventoryService/GetVm");
  ASSERT_NE(method, nullptr);
  EXPECT_EQ(FindMethod("/drover.v1.InventoryService/GetVm"), method);
  EXPECT_EQ(MethodPath(*method), "/drover.v1.InventoryService/GetVm");
  EXPECT_EQ(NewMessage(*method->output_type())->GetTypeName(), "drover.v1.Vm");
  for (const char* wrong :
       {"", "/", "GetVm", "InventoryService", "InventoryService/", "InventoryService/Nothing",
        "NoService/GetVm", "/drover.v2.InventoryService/GetVm"}) {
    EXPECT_EQ(FindMethod(wrong), nullptr) << wrong;
  }
}

TEST(Contract, HasSixSubjects) { EXPECT_EQ(PublicServices().size(), 6u); }

}  // namespace
}  // namespace drover
