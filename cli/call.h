// Runs a command that is one call: fills the request from what was typed, asks what must be asked,
// calls, waits, prints. Commands that are more than that use the pieces.
//
// Thread promise: for one thread.
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "drover/v1/activity.pb.h"

namespace drover::cli {

// One run of a command.
struct Invocation {
  const CommandTable& table;
  const Command& command;
  const Arguments& arguments;
  Terminal& terminal;
  Client& client;
  OutputOptions output;

  bool quiet() const { return output.quiet; }
  bool shows_table() const {
    return !output.quiet && (output.format == Format::kTable || output.format == Format::kWide);
  }
  // A message for people, unless they want none.
  void Tell(absl::string_view line) {
    if (!quiet()) terminal.Tell(line);
  }
};

// The command's one call from beginning to end.
absl::Status RunCall(Invocation& invocation);

// Sets the request's fields from arguments and flags: resource names are completed, globs are
// replaced by the names they match, secrets are read, an update gets its mask. INVALID_ARGUMENT
// names the flag.
absl::Status FillRequest(Invocation& invocation, google::protobuf::Message* request);

// Asks for confirmation when the command is dangerous, after the controller has said what would be
// hit. FAILED_PRECONDITION, reason NEEDS_YES without a terminal and without --yes; CANCELLED when
// the answer is no.
absl::Status Confirm(Invocation& invocation, google::protobuf::Message* request);

// Calls and shows the answer by its kind.
absl::Status CallAndShow(Invocation& invocation, google::protobuf::Message* request);

// Waits for an operation (not with --detach) and prints its end; the error when it failed.
absl::Status FinishOperation(Invocation& invocation, const v1::Operation& operation);

// Shows once more whenever something has changed, and every ten seconds in any case, until Ctrl-C:
// on a terminal in place. A controller that goes away and comes back is waited for.
absl::Status ShowOnChange(Invocation& invocation, const std::function<absl::Status()>& show);

// A secret flag's value: from standard input, a private file, or asked for. "" when it is optional
// and was not given.
absl::StatusOr<std::string> ReadSecret(Invocation& invocation, const Flag& flag);

// Asks "question [y/N]"; --yes answers it.
absl::Status ConfirmQuestion(Invocation& invocation, absl::string_view question);

// What --file names, "-" being standard input, and what to call it in messages.
absl::StatusOr<std::string> ReadDocument(Invocation& invocation);
std::string DocumentName(const Invocation& invocation);

// Names of a collection ("vms") that match a glob, as "vms/web-01", sorted. NOT_FOUND when there is
// none.
absl::StatusOr<std::vector<std::string>> ExpandGlob(Client& client, absl::string_view collection,
                                                    absl::string_view glob);
// All names of a collection; UNIMPLEMENTED for one that cannot be listed.
absl::StatusOr<std::vector<std::string>> NamesIn(Client& client, absl::string_view collection,
                                                 absl::Duration timeout = absl::Minutes(1));

}  // namespace drover::cli
