#include "cli/parse_flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <list>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/nearest.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

std::string TypedName(const Flag& flag) {
  std::string names = absl::StrCat("--", flag.name);
  if (flag.letter != 0) absl::StrAppend(&names, ",-", std::string(1, flag.letter));
  if (!flag.alias.empty()) absl::StrAppend(&names, ",--", flag.alias);
  return names;
}

absl::Status CheckWord(absl::string_view shown, const Flag& flag, const std::string& value) {
  if (flag.words.empty()) return absl::OkStatus();
  if (std::find(flag.words.begin(), flag.words.end(), value) != flag.words.end()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(shown, ": \"", value, "\" is not one of ",
                                                 absl::StrJoin(flag.words, ", "),
                                                 DidYouMean(value, flag.words)));
}

absl::Status Unknown(const std::vector<std::string>& left, const std::vector<Flag>& flags) {
  std::vector<std::string> known;
  for (const Flag& flag : flags) known.push_back("--" + flag.name);
  for (const std::string& word : left) {
    if (!absl::StartsWith(word, "-")) continue;
    const std::string name = word.substr(0, word.find('='));
    return absl::InvalidArgumentError(
        absl::StrCat("there is no flag ", name, DidYouMean(name, known)));
  }
  return absl::InvalidArgumentError(absl::StrCat("one word too many: \"", left.front(), "\""));
}

// The values of one flag or argument while the line is read.
struct Slot {
  const Flag* flag;
  CLI::Option* option;
  std::string shown;
  std::vector<std::string> values;
};

void AddFlag(CLI::App& app, const Flag& flag, std::list<Slot>& slots) {
  Slot& slot = slots.emplace_back(Slot{&flag, nullptr, "--" + flag.name, {}});
  if (flag.kind == Flag::Kind::kSwitch) {
    slot.option = app.add_flag(TypedName(flag), slot.values);
    return;
  }
  slot.option = app.add_option(TypedName(flag), slot.values)->allow_extra_args(false);
  slot.option->expected(1);
  if (flag.kind == Flag::Kind::kList) slot.option->take_all()->delimiter(',');
}

void AddArgument(CLI::App& app, const Flag& argument, std::list<Slot>& slots) {
  Slot& slot = slots.emplace_back(Slot{&argument, nullptr, argument.name, {}});
  slot.option = app.add_option(argument.name, slot.values);
  if (argument.kind != Flag::Kind::kList) slot.option->expected(1)->allow_extra_args(false);
}

absl::Status Collect(const Slot& slot, Arguments& parsed) {
  if (slot.option->count() == 0) return absl::OkStatus();
  if (slot.flag->kind == Flag::Kind::kSwitch) {
    bool on = true;
    if (!slot.values.empty() && !absl::SimpleAtob(slot.values.back(), &on)) {
      return absl::InvalidArgumentError(
          absl::StrCat(slot.shown, ": \"", slot.values.back(), "\" is neither true nor false"));
    }
    if (on) parsed.Set(slot.flag->name, {"true"});
    // A field that is switched off on purpose is told to the server.
    if (!on && !slot.flag->field.empty()) parsed.Set(slot.flag->name, {"false"});
    return absl::OkStatus();
  }
  for (const std::string& value : slot.values) {
    DROVER_RETURN_IF_ERROR(CheckWord(slot.shown, *slot.flag, value));
  }
  parsed.Set(slot.flag->name, slot.values);
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseFlags(const std::vector<std::string>& words, const std::vector<Flag>& arguments,
                        const std::vector<Flag>& flags, Arguments& parsed) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  std::list<Slot> slots;
  for (const Flag& flag : flags) AddFlag(app, flag, slots);
  for (const Flag& argument : arguments) AddArgument(app, argument, slots);
  // The library takes the words from the back.
  std::vector<std::string> reversed(words.rbegin(), words.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(error.what());
  }
  std::vector<std::string> left = app.remaining();
  left.erase(std::remove(left.begin(), left.end(), "--"), left.end());
  if (!left.empty()) return Unknown(left, flags);
  for (const Slot& slot : slots) DROVER_RETURN_IF_ERROR(Collect(slot, parsed));
  return absl::OkStatus();
}

bool TakesNextWord(absl::string_view word, const std::vector<Flag>& flags) {
  for (const Flag& flag : flags) {
    if (flag.kind == Flag::Kind::kSwitch) continue;
    if (word == absl::StrCat("--", flag.name)) return true;
    if (!flag.alias.empty() && word == absl::StrCat("--", flag.alias)) return true;
    if (flag.letter != 0 && word == absl::StrCat("-", std::string(1, flag.letter))) return true;
  }
  return false;
}

}  // namespace drover::cli
