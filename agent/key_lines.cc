#include "agent/key_lines.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace drover::agent {

KeyLines::KeyLines(absl::string_view text) {
  absl::ConsumeSuffix(&text, "\n");
  if (text.empty()) return;
  for (const absl::string_view raw : absl::StrSplit(text, '\n')) {
    Line line;
    line.raw = std::string(raw);
    const absl::string_view bare = absl::StripAsciiWhitespace(raw);
    if (absl::StartsWith(bare, "[") && absl::EndsWith(bare, "]")) {
      names_.emplace_back(bare.substr(1, bare.size() - 2));
    } else if (!bare.empty() && bare[0] != '#' && bare[0] != ';') {
      const size_t at = bare.find('=');
      if (at != absl::string_view::npos) {
        line.key = std::string(absl::StripAsciiWhitespace(bare.substr(0, at)));
        line.value = std::string(absl::StripAsciiWhitespace(bare.substr(at + 1)));
      }
    }
    line.section = static_cast<int>(names_.size()) - 1;
    lines_.push_back(std::move(line));
  }
}

std::vector<int> KeyLines::Sections(absl::string_view name) const {
  std::vector<int> sections;
  for (size_t i = 0; i < names_.size(); ++i) {
    if (names_[i] == name) sections.push_back(static_cast<int>(i));
  }
  return sections;
}

std::vector<std::string> KeyLines::Values(int section, absl::string_view key) const {
  std::vector<std::string> values;
  for (const Line& line : lines_) {
    if (line.section == section && line.key == key) values.push_back(line.value);
  }
  return values;
}

std::vector<std::string> KeyLines::Values(absl::string_view name, absl::string_view key) const {
  std::vector<std::string> values;
  for (const Line& line : lines_) {
    if (names_[line.section] == name && line.key == key) values.push_back(line.value);
  }
  return values;
}

std::string KeyLines::First(absl::string_view name, absl::string_view key) const {
  const std::vector<std::string> values = Values(name, key);
  return values.empty() ? "" : values.front();
}

void KeyLines::Replace(absl::string_view name, absl::string_view key, Matches matches,
                       const std::vector<std::string>& values) {
  int section = -1;
  size_t place = 0;
  for (size_t i = 0; i < lines_.size();) {
    const Line& line = lines_[i];
    if (names_[line.section] == name && line.key == key && matches(line.value)) {
      if (section < 0) {
        section = line.section;
        place = i;
      }
      lines_.erase(lines_.begin() + i);
      continue;
    }
    ++i;
  }
  if (values.empty()) return;
  if (section < 0) {
    const std::vector<int> sections = Sections(name);
    if (sections.empty()) {
      names_.emplace_back(name);
      if (!lines_.empty() && !lines_.back().raw.empty()) {
        lines_.push_back({"", static_cast<int>(names_.size()) - 2, "", ""});
      }
      lines_.push_back({absl::StrCat("[", name, "]"), static_cast<int>(names_.size()) - 1, "", ""});
      section = static_cast<int>(names_.size()) - 1;
    } else {
      section = sections.front();
    }
    // Behind its last line that is not blank.
    place = section == 0 ? 0 : lines_.size();
    for (size_t i = 0; i < lines_.size(); ++i) {
      if (lines_[i].section == section && !absl::StripAsciiWhitespace(lines_[i].raw).empty()) {
        place = i + 1;
      }
    }
  }
  for (const std::string& value : values) {
    Line line{absl::StrCat(key, "=", value), section, std::string(key), value};
    lines_.insert(lines_.begin() + place++, std::move(line));
  }
}

void KeyLines::RemoveSection(int section) {
  lines_.erase(std::remove_if(lines_.begin(), lines_.end(),
                              [section](const Line& line) { return line.section == section; }),
               lines_.end());
}

std::string KeyLines::text() const {
  std::string text;
  for (const Line& line : lines_) absl::StrAppend(&text, line.raw, "\n");
  return text;
}

}  // namespace drover::agent
