// The surroundings of one run: standard streams, environment, terminal size, prompts, the time.
// Data goes to standard output; messages, progress and prompts go to standard error.
//
// Thread promise: for one thread. Owns nothing: file descriptors belong to the caller.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace drover::cli {

enum class Colour { kNone, kGreen, kRed, kYellow, kGrey, kBold };

class Terminal {
 public:
  struct Options {
    int in = 0;
    int out = 1;
    int err = 2;
    std::map<std::string, std::string> env;
    std::function<absl::Time()> now;
  };
  explicit Terminal(Options options);

  // Writes to standard output as it is.
  void Print(absl::string_view text);
  // Writes a line to standard error.
  void Tell(absl::string_view line);
  // Writes to standard error as it is, e.g. control sequences.
  void TellRaw(absl::string_view text);

  const Options& options() const { return options_; }
  bool in_is_tty() const { return in_is_tty_; }
  bool out_is_tty() const { return out_is_tty_; }
  bool err_is_tty() const { return err_is_tty_; }
  // Cells per line of standard output's terminal (standard error's when that is none), 80 when
  // unknown.
  int Width() const;
  int Height() const;
  // Both streams are terminals that can move the cursor: progress may be redrawn in place.
  bool CanRedraw() const;
  bool UsesColour(bool error_stream) const;
  // The locale's characters are UTF-8, so symbols can be shown.
  bool ShowsSymbols() const;
  // `text` in a colour where the stream shows colours.
  std::string Paint(Colour colour, absl::string_view text, bool error_stream = false) const;

  // "" when not set.
  std::string Env(absl::string_view name) const;
  absl::Time Now() const { return options_.now(); }

  // Asks on standard error and reads an answer. FAILED_PRECONDITION, reason NO_TERMINAL when nobody
  // can answer; CANCELLED when the input ends.
  absl::StatusOr<std::string> Ask(absl::string_view prompt);
  // As Ask, without showing what is typed.
  absl::StatusOr<std::string> AskSecret(absl::string_view prompt);
  // Asks twice until both are equal.
  absl::StatusOr<std::string> AskNewSecret(absl::string_view what);
  // The next line of standard input without its end. INVALID_ARGUMENT when there is none.
  absl::StatusOr<std::string> ReadLine();
  // The rest of standard input.
  absl::StatusOr<std::string> ReadAll();

 private:
  absl::StatusOr<bool> ReadByte(char* byte);
  absl::Status CheckSomebodyAnswers(absl::string_view prompt) const;

  const Options options_;
  const bool in_is_tty_;
  const bool out_is_tty_;
  const bool err_is_tty_;
};

// Terminal cells that a UTF-8 text takes: Chinese characters take two, combining marks none.
int DisplayWidth(absl::string_view text);
// The longest start of a text that fits in `width` cells, ending in "…" when something was cut.
std::string Fit(absl::string_view text, int width);
// The text with blanks up to `width` cells.
std::string Pad(absl::string_view text, int width, bool right_aligned = false);

}  // namespace drover::cli
