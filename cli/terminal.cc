#include "cli/terminal.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

void WriteAll(int fd, absl::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    // A reader that went away wants nothing more.
    if (written <= 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

// Raw input without echo while it lives.
class SilentInput {
 public:
  explicit SilentInput(int fd) : fd_(fd), known_(tcgetattr(fd, &before_) == 0) {
    if (!known_) return;
    termios silent = before_;
    // Without ISIG an interrupt is read as a byte: nothing can end the program before the echo is
    // back.
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | ISIG);
    silent.c_cc[VMIN] = 1;
    silent.c_cc[VTIME] = 0;
    tcsetattr(fd, TCSAFLUSH, &silent);
  }
  ~SilentInput() {
    // What was typed ahead stays for the next prompt.
    if (known_) tcsetattr(fd_, TCSADRAIN, &before_);
  }
  SilentInput(const SilentInput&) = delete;
  SilentInput& operator=(const SilentInput&) = delete;

 private:
  const int fd_;
  termios before_ = {};
  const bool known_;
};

// Decodes one character; invalid bytes count as characters of their own.
char32_t NextCharacter(absl::string_view& text) {
  const auto first = static_cast<unsigned char>(text.front());
  size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (length > text.size() || (first >= 0x80 && first < 0xC2)) length = 1;
  char32_t code = length == 1 ? first : first & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) {
    code = (code << 6) | (static_cast<unsigned char>(text[i]) & 0x3F);
  }
  text.remove_prefix(length);
  return code;
}

// East Asian wide and full-width ranges, and emoji.
int CharacterWidth(char32_t c) {
  if (c >= 0x300 && c <= 0x36F) return 0;
  const bool wide = (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0x303E) ||
                    (c >= 0x3041 && c <= 0xA4CF) || (c >= 0xAC00 && c <= 0xD7A3) ||
                    (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE6F) ||
                    (c >= 0xFF00 && c <= 0xFF60) || (c >= 0xFFE0 && c <= 0xFFE6) ||
                    (c >= 0x1F300 && c <= 0x1F64F) || (c >= 0x20000 && c <= 0x3FFFD);
  return wide ? 2 : 1;
}

}  // namespace

Terminal::Terminal(Options options)
    : options_(std::move(options)),
      in_is_tty_(isatty(options_.in) == 1),
      out_is_tty_(isatty(options_.out) == 1),
      err_is_tty_(isatty(options_.err) == 1) {}

void Terminal::Print(absl::string_view text) { WriteAll(options_.out, text); }
void Terminal::Tell(absl::string_view line) { WriteAll(options_.err, absl::StrCat(line, "\n")); }
void Terminal::TellRaw(absl::string_view text) { WriteAll(options_.err, text); }

int Terminal::Width() const {
  winsize size = {};
  if (ioctl(options_.out, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  if (ioctl(options_.err, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

int Terminal::Height() const {
  winsize size = {};
  if (ioctl(options_.err, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) return size.ws_row;
  return 24;
}

bool Terminal::CanRedraw() const { return err_is_tty_ && Env("TERM") != "dumb"; }

bool Terminal::UsesColour(bool error_stream) const {
  if (!Env("NO_COLOR").empty()) return false;
  const std::string forced = Env("CLICOLOR_FORCE");
  if (!forced.empty() && forced != "0") return true;
  return (error_stream ? err_is_tty_ : out_is_tty_) && Env("TERM") != "dumb";
}

bool Terminal::ShowsSymbols() const {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string locale = Env(name);
    if (!locale.empty()) {
      return absl::EndsWithIgnoreCase(locale, "utf-8") || absl::EndsWithIgnoreCase(locale, "utf8");
    }
  }
  return false;
}

std::string Terminal::Paint(Colour colour, absl::string_view text, bool error_stream) const {
  if (colour == Colour::kNone || text.empty() || !UsesColour(error_stream)) {
    return std::string(text);
  }
  const char* code = colour == Colour::kGreen    ? "32"
                     : colour == Colour::kRed    ? "31"
                     : colour == Colour::kYellow ? "33"
                     : colour == Colour::kGrey   ? "90"
                                                 : "1";
  return absl::StrCat("\033[", code, "m", text, "\033[0m");
}

std::string Terminal::Env(absl::string_view name) const {
  const auto it = options_.env.find(std::string(name));
  return it == options_.env.end() ? "" : it->second;
}

absl::Status Terminal::CheckSomebodyAnswers(absl::string_view prompt) const {
  if (in_is_tty_ && err_is_tty_) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "NO_TERMINAL",
                   absl::StrCat("cannot ask \"", prompt, "\": this is not a terminal"));
}

absl::StatusOr<bool> Terminal::ReadByte(char* byte) {
  while (true) {
    const ssize_t got = read(options_.in, byte, 1);
    if (got == 1) return true;
    if (got == 0) return false;
    if (errno != EINTR) {
      return absl::InvalidArgumentError(
          absl::StrCat("standard input cannot be read: ", strerror(errno)));
    }
  }
}

absl::StatusOr<std::string> Terminal::Ask(absl::string_view prompt) {
  DROVER_RETURN_IF_ERROR(CheckSomebodyAnswers(prompt));
  TellRaw(absl::StrCat(prompt, " "));
  auto line = ReadLine();
  if (!line.ok()) {
    TellRaw("\n");
    return absl::CancelledError("not answered");
  }
  return line;
}

absl::StatusOr<std::string> Terminal::AskSecret(absl::string_view prompt) {
  DROVER_RETURN_IF_ERROR(CheckSomebodyAnswers(prompt));
  std::string secret;
  {
    // Silent before the prompt shows: nothing typed after it is lost or seen.
    const SilentInput silent(options_.in);
    TellRaw(absl::StrCat(prompt, " "));
    char byte = 0;
    while (true) {
      DROVER_ASSIGN_OR_RETURN(const bool more, ReadByte(&byte));
      if (!more || byte == '\n' || byte == '\r') break;
      if (byte == 3 || byte == 4) {  // Ctrl-C, Ctrl-D
        TellRaw("\n");
        return absl::CancelledError("interrupted");
      }
      if (byte == 21) {  // Ctrl-U
        secret.clear();
      } else if (byte == 127 || byte == 8) {
        while (!secret.empty() && (secret.back() & 0xC0) == 0x80) secret.pop_back();
        if (!secret.empty()) secret.pop_back();
      } else {
        secret.push_back(byte);
      }
    }
  }
  TellRaw("\n");
  return secret;
}

absl::StatusOr<std::string> Terminal::AskNewSecret(absl::string_view what) {
  while (true) {
    DROVER_ASSIGN_OR_RETURN(std::string first, AskSecret(absl::StrCat(what, ":")));
    DROVER_ASSIGN_OR_RETURN(const std::string second, AskSecret(absl::StrCat(what, " again:")));
    if (first == second) return first;
    Tell("The two are not the same; once more.");
  }
}

absl::StatusOr<std::string> Terminal::ReadLine() {
  // Byte by byte: what follows belongs to the next reader.
  std::string line;
  char byte = 0;
  while (true) {
    DROVER_ASSIGN_OR_RETURN(const bool more, ReadByte(&byte));
    if (!more && line.empty()) {
      return absl::InvalidArgumentError("standard input has no more lines");
    }
    if (!more || byte == '\n') break;
    line.push_back(byte);
  }
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return line;
}

absl::StatusOr<std::string> Terminal::ReadAll() {
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t got = read(options_.in, buffer, sizeof buffer);
    if (got == 0) return text;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("standard input cannot be read: ", strerror(errno)));
    }
    text.append(buffer, static_cast<size_t>(got));
  }
}

int DisplayWidth(absl::string_view text) {
  int width = 0;
  while (!text.empty()) width += CharacterWidth(NextCharacter(text));
  return width;
}

std::string Fit(absl::string_view text, int width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  absl::string_view rest = text;
  size_t end = 0;
  int used = 0;
  while (!rest.empty()) {
    used += CharacterWidth(NextCharacter(rest));
    if (used > width - 1) break;
    end = text.size() - rest.size();
  }
  return absl::StrCat(text.substr(0, end), "…");
}

std::string Pad(absl::string_view text, int width, bool right_aligned) {
  const int missing = width - DisplayWidth(text);
  const std::string blanks(missing > 0 ? static_cast<size_t>(missing) : 0, ' ');
  return right_aligned ? absl::StrCat(blanks, text) : absl::StrCat(text, blanks);
}

}  // namespace drover::cli
