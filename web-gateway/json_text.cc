#include "web-gateway/json_text.h"

#include "absl/strings/str_format.h"
#include "proto/support/utf8.h"

namespace drover::gateway {

std::string JsonText(absl::string_view text) {
  const bool valid = IsUtf8(text);
  std::string json = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      json.push_back('\\');
      json.push_back(c);
    } else if (byte < 0x20 || byte == 0x7F) {
      absl::StrAppendFormat(&json, "\\u%04x", byte);
    } else if (byte >= 0x80 && !valid) {
      json.append("\\ufffd");
    } else {
      json.push_back(c);
    }
  }
  json.push_back('"');
  return json;
}

}  // namespace drover::gateway
