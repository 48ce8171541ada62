// Who asks: passed from the edge to everything that records who did something. A value.
#pragma once

#include <string>

#include "drover/v1/people.pb.h"

namespace drover::core {

struct Caller {
  // User id; "" before sign-in, "system" for the platform itself.
  std::string user;
  drover::v1::Role role = drover::v1::ROLE_UNSPECIFIED;
  // The person's address as the edge knows it (a trusted gateway's X-Forwarded-For included),
  // without port.
  std::string client_address;
  // Key of the session record, "" without one.
  std::string session_key;
};

}  // namespace drover::core
