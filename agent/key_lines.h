// Files of "key=value" lines in sections, edited in place: what is not named stays byte for byte.
//
// Thread promise: a value.
#pragma once

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace drover::agent {

class KeyLines {
 public:
  using Matches = absl::FunctionRef<bool(absl::string_view value)>;

  explicit KeyLines(absl::string_view text);

  // Sections of this name, in order; each has a number. The lines before the first section are
  // section 0, with the name "".
  std::vector<int> Sections(absl::string_view name) const;
  // Values of a key in a section.
  std::vector<std::string> Values(int section, absl::string_view key) const;
  // Of all sections of that name.
  std::vector<std::string> Values(absl::string_view name, absl::string_view key) const;
  // "" without one.
  std::string First(absl::string_view name, absl::string_view key) const;

  // Takes out the lines of the key whose value matches and puts lines with these values in the
  // place of the first of them, else at the section's end. The section is made when it is not
  // there.
  void Replace(absl::string_view name, absl::string_view key, Matches matches,
               const std::vector<std::string>& values);
  void Set(absl::string_view name, absl::string_view key, absl::string_view value) {
    Replace(name, key, [](absl::string_view) { return true; }, {std::string(value)});
  }
  void Remove(absl::string_view name, absl::string_view key) {
    Replace(name, key, [](absl::string_view) { return true; }, {});
  }
  void RemoveSection(int section);

  std::string text() const;

 private:
  struct Line {
    std::string raw;
    int section = 0;
    // Empty for a comment, a header, a blank line.
    std::string key;
    std::string value;
  };
  std::string NameOf(int section) const { return names_[section]; }

  std::vector<Line> lines_;
  std::vector<std::string> names_ = {""};
};

}  // namespace drover::agent
