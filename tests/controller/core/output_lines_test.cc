#include "controller/core/output_lines.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace drover::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(OutputLines, PiecesBecomeWholeLinesOnce) {
  OutputLines lines(0);
  EXPECT_THAT(lines.Add("one\ntw", 0, false), ElementsAre("one"));
  EXPECT_EQ(lines.seen(), 4);
  EXPECT_THAT(lines.Add("o\r\nthree", 6, false), ElementsAre("two"));
  // The same again, and all of it at the end.
  EXPECT_THAT(lines.Add("o\r\nthree", 6, false), IsEmpty());
  EXPECT_THAT(lines.Add("one\ntwo\r\nthree", 0, true), ElementsAre("three"));
  EXPECT_EQ(lines.seen(), 14);
  EXPECT_THAT(lines.Add("one\ntwo\r\nthree", 0, true), IsEmpty());
}

TEST(OutputLines, GoesOnWhereItWas) {
  OutputLines lines(4);
  EXPECT_THAT(lines.Add("one\ntwo\n", 0, true), ElementsAre("two"));
}

TEST(OutputLines, WhatIsMissingIsTold) {
  OutputLines lines(0);
  EXPECT_THAT(lines.Add("one\nbeg", 0, false), ElementsAre("one"));
  EXPECT_THAT(lines.Add("later\n", 17, false),
              ElementsAre("beg", "(10 bytes of output did not arrive)", "later"));
}

TEST(OutputLines, LongLinesAreCutAndManyAreCounted) {
  OutputLines lines(0);
  const std::string longest(OutputLines::kLongestLine, 'x');
  EXPECT_THAT(lines.Add(longest + "yz\n", 0, false), ElementsAre(longest, "yz"));
  OutputLines many(0);
  std::string text;
  for (int i = 0; i < 500; ++i) text += std::to_string(i) + "\n";
  const auto kept = many.Add(text, 0, false);
  ASSERT_EQ(kept.size(), OutputLines::kMostLines);
  EXPECT_EQ(kept.front(), "(301 lines left out)");
  EXPECT_EQ(kept[1], "301");
  EXPECT_EQ(kept.back(), "499");
}

TEST(OutputLines, OnlyTextComesOut) {
  OutputLines lines(0);
  EXPECT_THAT(lines.Add("caf\xc3\xa9 \xff\xc3\n", 0, false), ElementsAre("caf\xc3\xa9 ??"));
}

}  // namespace
}  // namespace drover::core
