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
  // Somebody else set the password: only calls open to every signed-in user (ACCESS_SIGNED_IN: see
  // oneself, change the password, sign out) are allowed.
  bool must_change_password = false;
};

}  // namespace drover::core
