// What a command is: words, arguments and flags as data, most of them bound to fields of one call's
// request, so that a new command is a table row. Help, completion, parsing and the call itself all
// follow from the row and the call's descriptor.
//
// Thread promise: the table is constant after it was made; parsing is a pure function.
#pragma once

#include <google/protobuf/descriptor.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace drover::cli {

struct Invocation;

// An argument (a word by its place) or a flag ("--name VALUE").
struct Flag {
  // "memory" for --memory; for an argument the name that help shows, "VM".
  std::string name;
  // Where it goes in the request, e.g. "vm.network.ip"; "" when the command itself reads it. A
  // field decides whether it is a switch, a list or a secret, which words it takes and which
  // collection completes it.
  std::string field;
  std::string help;
  char letter = 0;
  // Another spelling, not shown: "environment" for --env.
  std::string alias;
  enum class Kind { kValue, kSwitch, kList, kSecret };
  Kind kind = Kind::kValue;
  // Name of the value in help: "IP".
  std::string value;
  bool required = false;
  // Collection whose names complete it.
  std::string collection;
  // The only values it takes.
  std::vector<std::string> words;
  // A secret that is being chosen: asked for twice.
  bool new_secret = false;
};

// What has to be confirmed before the call.
enum class Danger { kNone, kConfirm };

struct Command {
  // "vm create".
  std::string path;
  std::string summary;
  // "InventoryService/CreateVm"; "" for commands that are more or less than one call.
  std::string method;
  std::vector<Flag> arguments;
  std::vector<Flag> flags;
  std::vector<std::string> examples;
  // More to know, below the flags.
  std::string notes;
  Danger danger = Danger::kNone;
  // Said on standard error when a list is empty.
  std::string empty_hint;
  // Said on standard output when a call without an answer went well; "{}" is the first argument.
  std::string done;
  // Field of an update's request that holds the resource; the update mask is the fields given below
  // it.
  std::string update_of;
  // nullptr: the one call, by the rules of call.h.
  absl::Status (*run)(Invocation& invocation) = nullptr;
  // Waits for an operation, though its call's answer is another message or there is no one call.
  bool waits = false;
  bool hidden = false;
};

// Values of arguments and flags by name; a switch that was given is "true".
class Arguments {
 public:
  bool Has(absl::string_view name) const;
  // "" when not given.
  std::string Get(absl::string_view name) const;
  // The words of a list.
  const std::vector<std::string>& All(absl::string_view name) const;
  void Add(absl::string_view name, absl::string_view value);
  void Set(absl::string_view name, std::vector<std::string> values);

 private:
  std::map<std::string, std::vector<std::string>> values_;
};

// A command line that was understood.
struct ParsedLine {
  // nullptr with `help` alone.
  const Command* command = nullptr;
  // Words that were recognised, joined by a blank: "vm" in "drover vm".
  std::string path;
  bool help = false;
  Arguments arguments;
};

class CommandTable {
 public:
  // Completes the rows from their descriptors. A row that names an unknown method or field ends the
  // program: the first test run shows it.
  explicit CommandTable(std::vector<Command> commands);

  const std::vector<Command>& commands() const { return commands_; }
  // nullptr when there is none.
  const Command* Find(absl::string_view path) const;
  // The words that can follow "" or "vm", in order, without hidden commands.
  std::vector<std::string> WordsAfter(absl::string_view path) const;

  // INVALID_ARGUMENT says what was not understood, with the nearest known word.
  absl::StatusOr<ParsedLine> Parse(const std::vector<std::string>& words) const;

 private:
  // Takes the words of the command out of the line, wherever the common flags stand.
  absl::Status TakePath(std::vector<std::string>& words, ParsedLine& line) const;

  std::vector<Command> commands_;
};

// Flags that every command takes, in the order of help.
const std::vector<Flag>& CommonFlags();
// Flags that follow from the command's call: --dry-run, --detach, --limit, ...
std::vector<Flag> ImpliedFlags(const Command& command);
// All flags as they are typed: a secret is --x-stdin, --x-file and --ask-x.
std::vector<Flag> TypedFlags(const Command& command);

// nullptr for commands without a call.
const google::protobuf::MethodDescriptor* MethodOf(const Command& command);

}  // namespace drover::cli
