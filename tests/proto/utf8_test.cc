#include "proto/support/utf8.h"

#include "gtest/gtest.h"

namespace drover {
namespace {

TEST(Utf8, IsAsTheStandardHasIt) {
  for (const char* good : {"", "a", "é", "中", "😀", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
    EXPECT_EQ(CleanText(good), good);
  }
  for (const char* bad : {"\x80", "\xc0\xaf", "\xc3", "\xe4\xb8", "\xed\xa0\x80",
                          "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    EXPECT_FALSE(IsUtf8(bad));
    EXPECT_TRUE(IsUtf8(CleanText(bad)));
  }
}

TEST(Utf8, CleanTextMarksWhatIsNone) {
  EXPECT_EQ(CleanText("plain 中文", 100), "plain 中文");
  EXPECT_EQ(CleanText("a\xff\xc3z\xed\xa0\x80", 100), "a??z???");
  EXPECT_EQ(CleanText("caf\xc3\xa9 \xff\xc3"), "caf\xc3\xa9 ??");
  // Overlong, surrogate, beyond the last character.
  EXPECT_EQ(CleanText("\xc0\xaf|\xed\xa0\x80|\xf5\x80\x80\x80"), "??|???|????");
}

TEST(Utf8, CleanTextKeepsTheEnd) {
  EXPECT_EQ(CleanText("abcdef", 3), "def");
  EXPECT_EQ(CleanText("中", 2), "??");
}

}  // namespace
}  // namespace drover
