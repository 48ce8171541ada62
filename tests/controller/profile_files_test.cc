// The profiles that come with Drover, and files that are none.
#include "controller/profile_files.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/resource_name.h"
#include "tests/testing/temp_dir.h"

namespace drover {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ProfileFiles, SixComeWithDrover) {
  const auto profiles = ReadProfiles(ProfilesFolder(""));
  ASSERT_TRUE(profiles.ok()) << profiles.status();
  std::vector<std::string> ids;
  for (const v1::Profile& profile : *profiles) {
    ids.emplace_back(IdOf(profile.name()));
    std::vector<std::string> roles;
    for (const auto& role : profile.roles()) roles.push_back(role.role());
    EXPECT_THAT(roles, ElementsAre("web", "daemon", "celery")) << profile.name();
  }
  EXPECT_THAT(ids, ElementsAre("crawler", "dns", "page-speed", "page-tampering", "stability",
                               "third-party-notice"));
}

TEST(ProfileFiles, ProblemsHaveTheirLines) {
  const auto bad = ParseProfiles(
      "[[profile]]\nname = \"x\"\nbuilt_in = true\n"
      "  [[profile.dependency]]\n  id = \"a\"\n  protocol = \"oracle\"\n  prot = 1\n",
      "x.toml");
  EXPECT_THAT(std::string(bad.status().message()), HasSubstr("x.toml:3: unknown key \"built_in\""));
  EXPECT_THAT(std::string(bad.status().message()), HasSubstr("x.toml:6: protocol cannot"));
  EXPECT_THAT(std::string(bad.status().message()), HasSubstr("x.toml:7: unknown key \"prot\""));
  EXPECT_THAT(std::string(ParseProfiles("a = [", "y.toml").status().message()),
              HasSubstr("y.toml:1"));
}

TEST(ProfileFiles, AFolderWithABadProfileIsRefused) {
  testing::TempDir dir;
  testing::WriteFile(dir.File("a.toml"), "[[profile]]\nname = \"a\"\n");
  EXPECT_THAT(std::string(ReadProfiles(dir.path()).status().message()),
              HasSubstr("at least one role"));
  EXPECT_EQ(ReadProfiles(dir.File("none")).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace drover
