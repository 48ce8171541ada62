// Keeps secrets out of the log and out of answers, by the `secret` option of the contract's fields.
//
// Thread promise: pure functions.
#pragma once

#include <string>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace drover::api {

// Whether a message of this type, or one within it, has a secret field. Any counts: nobody knows
// what is in it.
bool MayHoldSecrets(const google::protobuf::Descriptor& type);

// Clears all secret fields, also within an Any. An Any of a type this program does not know is
// emptied.
void Redact(google::protobuf::Message* message);

// A request as the platform log shows it: JSON of what is set, without secrets, at most 4 KiB.
std::string LogText(const google::protobuf::Message& request);

}  // namespace drover::api
