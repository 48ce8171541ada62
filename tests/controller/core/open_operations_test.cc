#include "controller/core/open_operations.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/test_store.h"

namespace drover::core {
namespace {

TEST(OpenOperations, TheLastOfManyQuickChangesIsToldToo) {
  testing::TestStore files;
  const auto open = std::make_shared<OpenOperations>(&files.store(), &files.clock(), 4, 4);
  int told = 0;
  bool last = false;
  open->OnChange([&](absl::string_view) {
    ++told;
    // Nothing else is waited for.
    if (last) open->Shutdown();
  });
  ASSERT_TRUE(open->Load().ok());
  open->OpenGates();
  std::vector<OperationRecord> records(1);
  records[0].mutable_operation()->set_state(drover::v1::Operation::STATE_QUEUED);
  ASSERT_TRUE(open->Insert(records, "", RequestRecord()).ok());
  const std::optional<std::string> id = open->Take();
  ASSERT_TRUE(id.has_value());
  const auto log = [&](const std::string& line) {
    open->Touch(*id, [&](OperationRecord& record) {
      record.mutable_operation()->add_log()->set_text(line);
      return true;
    });
  };
  log("first");
  const int before = told;
  log("second");
  log("third");
  open->Touch(*id, [](OperationRecord&) { return false; });
  EXPECT_EQ(told, before);
  const std::optional<OpenOperations::Nap> nap = open->OpenDue();
  ASSERT_TRUE(nap.has_value());
  EXPECT_EQ(nap->duration, absl::Milliseconds(200));
  files.clock().Advance(nap->duration);
  last = true;
  EXPECT_FALSE(open->OpenDue().has_value());
  EXPECT_EQ(told, before + 1);
}

}  // namespace
}  // namespace drover::core
