// What is said to a service to learn that it is what it should be, and how its answer is judged: by
// MongoDB, MySQL, NFS, RabbitMQ, Redis and HTTP as they speak themselves, no library between.
//
// Thread promise: pure functions over what was received so far.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "drover/agent/v1/agent_link.pb.h"

namespace drover::agent {

using Protocol = drover::v1::Profile::Protocol;

// The protocol's own; 0 for TCP and HTTP, which have none of their own here.
int UsualPort(Protocol protocol);
// "MySQL", for people.
absl::string_view NameOf(Protocol protocol);

// One connection's worth of dialogue.
struct Dialogue {
  enum class Kind { kMongo, kMysql, kPortmap, kNfs, kRabbitmq, kRedis, kTcp, kHttp };
  Kind kind = Kind::kTcp;
  // Of the calls to NFS.
  int version = 3;
  std::string host;
};

// What is said first; "" when the service begins.
std::string RequestOf(const Dialogue& dialogue);

struct Answer {
  bool ok = false;
  // Who answered, or what was wrong; for people.
  std::string detail;
  // Of the port mapper: where NFS is, 0 when it is not registered.
  int port = 0;
  // Of NFS: it is there, with these versions instead.
  int other_version = 0;
};
// nothing = not enough yet. `ended`: there is no more to come.
std::optional<Answer> JudgeAnswer(const Dialogue& dialogue, absl::string_view received, bool ended);

}  // namespace drover::agent
