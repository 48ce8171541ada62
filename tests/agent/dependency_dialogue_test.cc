// Answers of services, whole, in pieces, refused and nonsense.
#include "agent/dependency_dialogue.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace drover::agent {
namespace {

using Kind = Dialogue::Kind;
using ::testing::HasSubstr;

std::string Hex(const char* hex) { return absl::HexStringToBytes(hex); }

TEST(DependencyDialogue, Answers) {
  struct Row {
    const char* name;
    Kind kind;
    std::string answer;
    bool ok;
    const char* words;
  };
  const std::string rpc =
      "44726f76"
      "00000001"
      "00000000"
      "00000000"
      "00000000";
  for (const Row& row : std::vector<Row>{
           {"mysql", Kind::kMysql, Hex("0d0000000a352e372e340001000000aabb"), true, "MySQL 5.7.4"},
           {"mysql that refuses the host", Kind::kMysql,
            Hex("120000") + '\0' + "\xff\x6a\x04Host 'x' is not", false, "Host 'x' is not"},
           {"mysql, nonsense", Kind::kMysql, "HTTP/1.1 400 Bad", false, "not MySQL's"},
           {"redis", Kind::kRedis, "+PONG\r\n", true, "Redis"},
           {"redis with a password", Kind::kRedis, "-NOAUTH Authentication required.\r\n", true,
            "asks for a password"},
           {"redis that loads", Kind::kRedis, "-LOADING Redis is loading\r\n", false, "LOADING"},
           {"redis, nonsense", Kind::kRedis, "SSH-2.0-OpenSSH\r\n", false, "not Redis's"},
           {"http", Kind::kHttp, "HTTP/1.1 404 Not Found\r\n", true, "404"},
           {"http, broken inside", Kind::kHttp, "HTTP/1.1 502 Bad Gateway\r\n", false, "502"},
           {"amqp of another version", Kind::kRabbitmq, std::string("AMQP\0\1\0\0", 8), false,
            "AMQP 1-0-0"},
           {"amqp, nonsense", Kind::kRabbitmq, "HTTP/1.1 400", false, "not AMQP"},
           {"nfs", Kind::kNfs, Hex(("80000018" + rpc + "00000000").c_str()), true, "NFS version 3"},
           {"another program", Kind::kNfs, Hex(("80000018" + rpc + "00000001").c_str()), false,
            "no NFS"},
           {"nfs, nonsense", Kind::kNfs, "HTTP/1.1 400", false, "not ONC RPC"},
           {"mongo, nonsense", Kind::kMongo, "HTTP/1.0 200 OK....", false, "not MongoDB's"}}) {
    SCOPED_TRACE(row.name);
    const Dialogue dialogue{.kind = row.kind};
    const auto answer = JudgeAnswer(dialogue, row.answer, false);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->ok, row.ok);
    EXPECT_THAT(answer->detail, HasSubstr(row.words));
    // No beginning of it is taken for the whole of a good one.
    for (size_t i = 0; i < row.answer.size() && row.ok; ++i) {
      const auto part = JudgeAnswer(dialogue, absl::string_view(row.answer).substr(0, i), false);
      EXPECT_TRUE(!part.has_value() || part->ok) << i;
      const auto cut = JudgeAnswer(dialogue, absl::string_view(row.answer).substr(0, i), true);
      EXPECT_TRUE(cut.has_value()) << i;
    }
  }
}

TEST(DependencyDialogue, PortMapperAndOtherVersions) {
  const std::string rpc =
      "44726f76"
      "00000001"
      "00000000"
      "00000000"
      "00000000";
  const Dialogue mapper{.kind = Kind::kPortmap};
  EXPECT_EQ(JudgeAnswer(mapper,
                        Hex(("8000001c" + rpc +
                             "00000000"
                             "00000801")
                                .c_str()),
                        false)
                ->port,
            2049);
  const Dialogue nfs{.kind = Kind::kNfs};
  const auto other = JudgeAnswer(nfs,
                                 Hex(("80000020" + rpc +
                                      "00000002"
                                      "00000004"
                                      "00000004")
                                         .c_str()),
                                 false);
  EXPECT_FALSE(other->ok);
  EXPECT_EQ(other->other_version, 4);
}

TEST(DependencyDialogue, AnythingIsAnsweredWithoutHarm) {
  for (const Kind kind : {Kind::kMongo, Kind::kMysql, Kind::kPortmap, Kind::kNfs, Kind::kRabbitmq,
                          Kind::kRedis, Kind::kHttp}) {
    uint32_t state = 1;
    for (int round = 0; round < 2000; ++round) {
      std::string data;
      const size_t size = (state = state * 1664525 + 1013904223) >> 24;
      for (size_t i = 0; i < size; ++i) {
        data.push_back(static_cast<char>((state = state * 1664525 + 1013904223) >> 24));
      }
      EXPECT_TRUE(JudgeAnswer({.kind = kind}, data, true).has_value());
    }
  }
}

}  // namespace
}  // namespace drover::agent
