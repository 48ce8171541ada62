// Python source as tokens and logical lines: as much of the grammar as finding assignments takes.
// Thread promise: pure functions; tokens refer to the text by offsets only.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace drover::agent {

struct PythonToken {
  enum class Kind { kName, kNumber, kString, kOperator };
  Kind kind = Kind::kOperator;
  size_t begin = 0;
  size_t end = 0;
  // Brackets open around it; a bracket itself counts as outside.
  int depth = 0;
};

// A statement, or several by ';', over as many lines as its brackets and backslashes take.
struct PythonLine {
  int indent = 0;
  // Of the tokens.
  size_t first = 0;
  size_t last = 0;
};

struct PythonSource {
  std::vector<PythonToken> tokens;
  std::vector<PythonLine> lines;
};

// FILE_MALFORMED for strings and brackets that are not closed.
absl::StatusOr<PythonSource> ReadPython(absl::string_view text);

// A string token's parts.
struct PythonString {
  // Lower case, e.g. "rb".
  std::string prefix;
  // ', ", ''' or """.
  std::string quote;
  std::string value;
};
// VALUE_UNFIT for formatted strings and escapes that cannot be read.
absl::StatusOr<PythonString> ReadPythonString(absl::string_view token);
// `value` as a literal in the manner of `like`.
absl::StatusOr<std::string> WritePythonString(absl::string_view value, const PythonString& like);

}  // namespace drover::agent
