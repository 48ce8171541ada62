#include "web-gateway/http.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace drover::gateway {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = absl::ascii_tolower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

void Headers::Add(absl::string_view name, absl::string_view value) {
  for (const char c : value) {
    if (absl::ascii_iscntrl(c) && c != '\t') return;
  }
  all_.emplace_back(std::string(name), std::string(value));
}

absl::string_view Headers::Get(absl::string_view name) const {
  for (const auto& [key, value] : all_) {
    if (absl::EqualsIgnoreCase(key, name)) return value;
  }
  return "";
}

bool Headers::Has(absl::string_view name) const {
  for (const auto& [key, value] : all_) {
    if (absl::EqualsIgnoreCase(key, name)) return true;
  }
  return false;
}

std::string Headers::Joined(absl::string_view name) const {
  std::string joined;
  for (const auto& [key, value] : all_) {
    if (absl::EqualsIgnoreCase(key, name)) {
      absl::StrAppend(&joined, joined.empty() ? "" : ", ", value);
    }
  }
  return joined;
}

HttpResponse TextResponse(int status, absl::string_view content_type, std::string body) {
  HttpResponse response;
  response.status = status;
  response.headers.Add("Content-Type", content_type);
  response.body = std::make_shared<const std::string>(std::move(body));
  return response;
}

bool Unescape(absl::string_view text, bool keep_slashes, bool plus_is_blank, std::string* out) {
  out->clear();
  out->reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_blank) {
      out->push_back(' ');
      continue;
    }
    if (text[i] != '%') {
      out->push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return false;
    const int high = HexValue(text[i + 1]);
    const int low = HexValue(text[i + 2]);
    if (high < 0 || low < 0) return false;
    const char c = static_cast<char>(high * 16 + low);
    if (c == '\0') return false;
    if (c == '/' && keep_slashes) {
      out->append("%2F");
    } else {
      out->push_back(c);
    }
    i += 2;
  }
  return true;
}

bool ParseQuery(absl::string_view query, std::vector<std::pair<std::string, std::string>>* out) {
  for (const absl::string_view part : absl::StrSplit(query, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    std::string name;
    std::string value;
    if (!Unescape(pair.first, false, true, &name) || !Unescape(pair.second, false, true, &value)) {
      return false;
    }
    out->emplace_back(std::move(name), std::move(value));
  }
  return true;
}

bool ListAccepts(absl::string_view header, absl::string_view word) {
  for (const absl::string_view entry : absl::StrSplit(header, ',')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(entry, ';');
    if (!absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(parts[0]), word)) continue;
    for (size_t i = 1; i < parts.size(); ++i) {
      const absl::string_view parameter = absl::StripAsciiWhitespace(parts[i]);
      double quality = 1;
      if (absl::StartsWithIgnoreCase(parameter, "q=") &&
          absl::SimpleAtod(parameter.substr(2), &quality) && quality == 0) {
        return false;
      }
    }
    return true;
  }
  return false;
}

}  // namespace drover::gateway
