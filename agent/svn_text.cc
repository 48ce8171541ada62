#include "agent/svn_text.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "proto/support/status.h"
#include "proto/support/time.h"
#include "proto/support/utf8.h"

namespace drover::agent {
namespace {

constexpr size_t kLongestMessage = 4 << 10;
constexpr size_t kStatusColumns = 8;

int64_t Number(absl::string_view text) {
  int64_t value = 0;
  return absl::SimpleAtoi(text, &value) ? value : 0;
}

// The path below `root`; "." for root itself. Some lines have it without the first slash, because
// svn runs in "/".
std::string Below(absl::string_view path, absl::string_view root) {
  if (path == root || path == root.substr(1)) return ".";
  if (absl::ConsumePrefix(&path, root) || absl::ConsumePrefix(&path, root.substr(1))) {
    absl::ConsumePrefix(&path, "/");
  }
  return std::string(path);
}

// "2026-01-02 03:04:05 +0000 (Fri, 02 Jan 2026)".
absl::Time ParseLogTime(absl::string_view text) {
  absl::Time time;
  const absl::string_view plain = text.substr(0, text.find(" ("));
  return absl::ParseTime("%Y-%m-%d %H:%M:%S %z", plain, &time, nullptr) ? time : absl::UnixEpoch();
}

// Words of a definition, quotes and backslashes as svn reads them.
std::vector<std::string> Words(absl::string_view line) {
  std::vector<std::string> words;
  std::string word;
  char quote = 0;
  bool open = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '\\' && i + 1 < line.size()) {
      word += line[++i];
      open = true;
    } else if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
      open = true;
    } else if (absl::ascii_isspace(static_cast<unsigned char>(c))) {
      if (open) words.push_back(std::exchange(word, ""));
      open = false;
    } else {
      word += c;
      open = true;
    }
  }
  if (open) words.push_back(word);
  return words;
}

bool LooksLikeUrl(absl::string_view word) {
  return absl::StrContains(word, "://") || absl::StartsWith(word, "^/") ||
         absl::StartsWith(word, "//") || absl::StartsWith(word, "/") ||
         absl::StartsWith(word, "../");
}

// "-r 5 URL@7 path", "URL@7 path", and of old "path -r5 URL".
PinnedExternal ParseDefinition(absl::string_view line) {
  std::vector<std::string> words = Words(line);
  PinnedExternal external;
  for (size_t i = 0; i < words.size(); ++i) {
    if (!absl::StartsWith(words[i], "-r")) continue;
    const bool apart = words[i] == "-r" && i + 1 < words.size();
    external.revision = Number(apart ? words[i + 1] : words[i].substr(2));
    words.erase(words.begin() + static_cast<std::ptrdiff_t>(i),
                words.begin() + static_cast<std::ptrdiff_t>(i) + (apart ? 2 : 1));
    break;
  }
  if (words.size() != 2) return {};
  const bool of_old = !LooksLikeUrl(words[0]) && absl::StrContains(words[1], "://");
  external.path = of_old ? words[0] : words[1];
  const std::string& url = of_old ? words[1] : words[0];
  const size_t at = url.rfind('@');
  if (external.revision == 0 && !of_old && at != std::string::npos) {
    external.revision = Number(url.substr(at + 1));
  }
  return external;
}

bool Has(absl::string_view text, std::initializer_list<absl::string_view> codes) {
  return std::any_of(codes.begin(), codes.end(),
                     [&](absl::string_view code) { return absl::StrContains(text, code); });
}

// The first lines that say something, in one.
std::string Words(absl::string_view what, absl::string_view error_output,
                  absl::string_view how_it_ended) {
  std::string words;
  for (absl::string_view line : absl::StrSplit(error_output, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || words.size() > 600) continue;
    absl::StrAppend(&words, words.empty() ? "" : "; ", line);
  }
  return absl::StrCat(what, ": ", words.empty() ? how_it_ended : CleanText(words, 1024));
}

}  // namespace

SvnInfo ParseSvnInfo(absl::string_view output) {
  SvnInfo info;
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    if (absl::ConsumePrefix(&line, "URL: ")) {
      info.url = std::string(line);
    } else if (absl::ConsumePrefix(&line, "Working Copy Root Path: ")) {
      info.root_path = std::string(line);
    } else if (absl::ConsumePrefix(&line, "Revision: ")) {
      info.revision = Number(line);
    } else if (absl::ConsumePrefix(&line, "Last Changed Rev: ")) {
      info.last_changed_revision = Number(line);
    }
  }
  return info;
}

SvnStatus ParseSvnStatus(absl::string_view output, absl::string_view root) {
  SvnStatus status;
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    absl::string_view head = line;
    if (absl::ConsumePrefix(&head, "Performing status on external item at '") &&
        absl::ConsumeSuffix(&head, "':")) {
      status.externals.push_back(Below(head, root));
      continue;
    }
    if (line.size() <= kStatusColumns || line[7] != ' ' ||
        !absl::StrContains(" ADMRCX?!~I", line.substr(0, 1)) || line[6] == '>') {
      continue;
    }
    const std::string path = Below(line.substr(kStatusColumns), root);
    if (line[2] == 'L') status.locked = true;
    // A file; folders have a line of their own.
    if (line[4] == 'X') status.externals.push_back(path);
    if (line[4] == 'S') status.switched.push_back(path);
    if (line[0] == '!') status.incomplete = true;
    const bool conflict = line[0] == 'C' || line[1] == 'C' || line[6] == 'C';
    char letter = line[0];
    if (conflict) {
      letter = 'C';
      status.conflicts.push_back(path);
    } else if (letter == ' ') {
      letter = line[1];
    }
    if (!absl::StrContains("ADMRC~", absl::string_view(&letter, 1)) || letter == ' ') continue;
    status.edits.push_back(absl::StrCat(absl::string_view(&letter, 1), " ", path));
    status.edited_paths.push_back(path);
  }
  return status;
}

std::vector<drover::v1::RolloutPlan::LogMessage> ParseSvnLog(absl::string_view output) {
  std::vector<drover::v1::RolloutPlan::LogMessage> log;
  const std::vector<absl::string_view> lines = absl::StrSplit(output, '\n');
  for (size_t i = 0; i < lines.size(); ++i) {
    // r12 | name | 2026-01-02 03:04:05 +0000 (Fri, 02 Jan 2026) | 3 lines
    const std::vector<absl::string_view> parts = absl::StrSplit(lines[i], " | ");
    if (parts.size() < 3 || !absl::StartsWith(parts[0], "r")) continue;
    drover::v1::RolloutPlan::LogMessage message;
    message.set_revision(Number(parts[0].substr(1)));
    if (message.revision() == 0) continue;
    const size_t last = parts.size() - 1;
    const int64_t count = Number(parts[last].substr(0, parts[last].find(' ')));
    std::string author;
    for (size_t part = 1; part + 1 < last; ++part) {
      absl::StrAppend(&author, author.empty() ? "" : " | ", parts[part]);
    }
    message.set_author(CleanText(author, 256));
    *message.mutable_time() = ToProto(ParseLogTime(parts[last - 1]));
    std::string text;
    // An empty line, then the message.
    for (int64_t line = 0; line < count && i + 2 + line < lines.size(); ++line) {
      absl::StrAppend(&text, line == 0 ? "" : "\n", lines[i + 2 + line]);
    }
    i += 1 + static_cast<size_t>(count);
    if (text.size() > kLongestMessage) text.resize(kLongestMessage);
    message.set_message(CleanText(text, kLongestMessage));
    log.push_back(std::move(message));
  }
  return log;
}

std::vector<PinnedExternal> ParseSvnExternals(absl::string_view output, absl::string_view root) {
  std::vector<PinnedExternal> externals;
  std::string folder = ".";
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    // Properties on 'PATH':
    //   svn:externals
    //     DEFINITION
    absl::string_view head = line;
    if (absl::ConsumePrefix(&head, "Properties on '") && absl::ConsumeSuffix(&head, "':")) {
      folder = Below(head, root);
      continue;
    }
    if (!absl::ConsumePrefix(&line, "    ") || absl::StartsWith(line, "#")) continue;
    PinnedExternal external = ParseDefinition(line);
    if (external.revision == 0) continue;
    if (folder != ".") external.path = absl::StrCat(folder, "/", external.path);
    externals.push_back(std::move(external));
  }
  return externals;
}

int64_t ParseSvnVersion(absl::string_view output) {
  output = absl::StripAsciiWhitespace(output);
  while (!output.empty() && absl::StrContains("MSP", output.substr(output.size() - 1))) {
    // P: parts are left out on purpose, which an update keeps.
    output.remove_suffix(1);
  }
  return Number(output);
}

absl::Status SvnError(absl::string_view what, absl::string_view error_output,
                      absl::string_view how_it_ended) {
  using absl::StatusCode;
  const absl::string_view text = error_output;
  const auto error = [&](StatusCode code, absl::string_view reason) {
    return MakeError(code, reason, Words(what, error_output, how_it_ended));
  };
  if (Has(text, {"No space left on device", "database or disk is full"})) {
    return error(StatusCode::kResourceExhausted, "NO_SPACE");
  }
  if (Has(text, {"E170001", "E215004", "E220004", "E170010"})) {
    return error(StatusCode::kFailedPrecondition, "SVN_LOGIN_REFUSED");
  }
  if (Has(text, {"E160006", "E195012"})) {
    return error(StatusCode::kFailedPrecondition, "REVISION_UNKNOWN");
  }
  if (Has(text, {"E200033", "E155004", "E155037"})) {
    return error(StatusCode::kFailedPrecondition, "WORKING_COPY_BUSY");
  }
  if (Has(text, {"E155007", "E155010", "E155036"})) {
    return error(StatusCode::kFailedPrecondition, "WORKING_COPY_MISSING");
  }
  if (Has(text, {"E210005", "E160013", "E170000", "E200009", "E160005"})) {
    return error(StatusCode::kFailedPrecondition, "REPOSITORY_NOT_FOUND");
  }
  if (Has(text, {"E155015", "E155023"})) return error(StatusCode::kFailedPrecondition, "CONFLICT");
  if (Has(text, {"invalid option"})) {
    return MakeError(StatusCode::kFailedPrecondition, "SVN_MISSING",
                     absl::StrCat(what,
                                  ": the svn of this machine is older than 1.10 and takes no "
                                  "password on its standard input"));
  }
  if (Has(text, {"E170013", "E0001", "E670", "E120", "E175", "E210002", "E230001"})) {
    return error(StatusCode::kUnavailable, "REPOSITORY_UNREACHABLE");
  }
  return error(StatusCode::kFailedPrecondition, "SVN_FAILED");
}

bool SameUrl(absl::string_view a, absl::string_view b) {
  while (absl::ConsumeSuffix(&a, "/")) {
  }
  while (absl::ConsumeSuffix(&b, "/")) {
  }
  return a == b;
}

}  // namespace drover::agent
