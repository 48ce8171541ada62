// The formats of configuration files, each seen the same way: where in a text the value of a key
// stands, what it says, and how another value is written in its place. One finder per format; what
// a finder does not point at stays as it is, byte for byte.
//
// Errors are problems of the file, for people, with the reason KEY_MISSING, KEY_AMBIGUOUS (there
// more than once), VALUE_UNFIT (there, but not something that can be replaced) or FILE_MALFORMED.
// A string stays a string, quoted as it was; a number, boolean or null is replaced by another one,
// or by a string when the new value is none of them.
//
// Thread promise: pure functions; a FoundValue refers to nothing outside of it.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace drover::agent {

struct FoundValue {
  // Of the text, quotes included.
  size_t begin = 0;
  size_t end = 0;
  // What it says, unquoted.
  std::string value;
  // Another value as it has to be written there; VALUE_UNFIT when it cannot be.
  std::function<absl::StatusOr<std::string>(absl::string_view)> write;
};

using KeyParts = std::vector<std::string>;

// {option}, {section, option} or {section, option, NAME}. '=' or ':' after the option; full-line
// comments by '#' and ';', at the end of a line by either after a blank. Continued lines belong to
// the value, of which only an environment (NAME="value",...) may have them.
absl::StatusOr<FoundValue> FindIni(absl::string_view text, const KeyParts& key);
// Assignments of the module and of classes, also under if and try, not inside functions; then into
// dictionaries (dict() too), and into lists and tuples by number. Later assignments to a part of
// the same name count as further places.
absl::StatusOr<FoundValue> FindPython(absl::string_view text, const KeyParts& key);
// Block and flow collections, all documents of the file. Scalars of one line.
absl::StatusOr<FoundValue> FindYaml(absl::string_view text, const KeyParts& key);
absl::StatusOr<FoundValue> FindToml(absl::string_view text, const KeyParts& key);
absl::StatusOr<FoundValue> FindJson(absl::string_view text, const KeyParts& key);
// The one group of an RE2 expression that matches once in all lines.
absl::StatusOr<FoundValue> FindRegex(absl::string_view text, absl::string_view expression);

// ---- for the finders

// 1 for the first line.
int LineOf(absl::string_view text, size_t offset);
// The one of them that there is; KEY_MISSING and KEY_AMBIGUOUS otherwise, naming `key`, the latter
// with the lines.
absl::StatusOr<FoundValue> OnlyOne(absl::string_view text, std::vector<FoundValue> found,
                                   const KeyParts& key);
absl::Status Malformed(absl::string_view text, size_t offset, absl::string_view what);
absl::Status Unfit(absl::string_view what);
// A FoundValue that is there and cannot be replaced, for this reason.
FoundValue Irreplaceable(size_t begin, size_t end, absl::string_view why);

// Index of a list; false when `part` is no number.
bool AsIndex(absl::string_view part, size_t* index);
// A decimal number as JSON, YAML, TOML and Python all read it.
bool IsNumber(absl::string_view text);
// Appends the UTF-8 of a code point.
void AppendUtf8(uint32_t code, std::string* out);
// Between double quotes, with \" \\ \n \r \t and `unicode` ("\u00%02x") for other control
// characters: what JSON, TOML, YAML and, but for the quote, Python read.
std::string DoubleQuoted(absl::string_view value);
// Undoes backslash escapes of JSON, TOML and double-quoted YAML. `body` has no quotes.
absl::StatusOr<std::string> UnescapeCommon(absl::string_view body);

}  // namespace drover::agent
