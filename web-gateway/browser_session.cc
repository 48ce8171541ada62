#include "web-gateway/browser_session.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "proto/support/status.h"

namespace drover::gateway {
namespace {

constexpr char kCookie[] = "drover_session";
// The prefix makes browsers refuse such a cookie from another host or from plain HTTP.
constexpr char kSecureCookie[] = "__Host-drover_session";
constexpr size_t kLongestToken = 512;

bool IsToken(absl::string_view text) {
  return !text.empty() && text.size() <= kLongestToken &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(c) || absl::StrContains("-._~+/=", c);
         });
}

std::string CookieValue(const HttpRequest& request, absl::string_view name) {
  for (const auto& [header, value] : request.headers.all()) {
    if (!absl::EqualsIgnoreCase(header, "cookie")) continue;
    for (absl::string_view part : absl::StrSplit(value, ';')) {
      part = absl::StripAsciiWhitespace(part);
      if (absl::ConsumePrefix(&part, name) && absl::ConsumePrefix(&part, "=")) {
        return std::string(part);
      }
    }
  }
  return "";
}

absl::Status CrossSite(absl::string_view why) {
  return MakeError(absl::StatusCode::kPermissionDenied, "CROSS_SITE",
                   absl::StrCat("a change with the page's session must come from the page: ", why));
}

// "https://host:8443" names the host the request went to.
bool IsOwnOrigin(absl::string_view origin, absl::string_view host) {
  return (absl::ConsumePrefix(&origin, "https://") || absl::ConsumePrefix(&origin, "http://")) &&
         !host.empty() && absl::EqualsIgnoreCase(origin, host);
}

}  // namespace

Credentials CredentialsOf(const HttpRequest& request) {
  Credentials credentials;
  absl::string_view authorization = request.headers.Get("authorization");
  if (!authorization.empty()) {
    if (absl::StartsWithIgnoreCase(authorization, "bearer ") && IsToken(authorization.substr(7))) {
      credentials.token = std::string(authorization.substr(7));
    }
    return credentials;
  }
  for (const char* name : {kSecureCookie, kCookie}) {
    std::string value = CookieValue(request, name);
    if (!IsToken(value)) continue;
    credentials.token = std::move(value);
    credentials.from_cookie = true;
    break;
  }
  return credentials;
}

bool IsFromPage(const HttpRequest& request) {
  return !request.headers.Get("x-requested-by").empty();
}

absl::Status CheckCrossSite(const HttpRequest& request, const Credentials& credentials,
                            const std::vector<std::string>& allowed_origins) {
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (reads || (!credentials.from_cookie && !IsFromPage(request))) return absl::OkStatus();
  if (!IsFromPage(request)) return CrossSite("the header X-Requested-By is missing");
  const absl::string_view site = request.headers.Get("sec-fetch-site");
  if (!site.empty() && site != "same-origin") {
    return CrossSite(absl::StrCat("the browser says it is ", site));
  }
  const absl::string_view origin = request.headers.Get("origin");
  if (origin.empty() || IsOwnOrigin(origin, request.headers.Get("host"))) return absl::OkStatus();
  if (std::find(allowed_origins.begin(), allowed_origins.end(), origin) != allowed_origins.end()) {
    return absl::OkStatus();
  }
  return CrossSite(absl::StrCat("its origin is ", origin));
}

std::string SessionCookie(absl::string_view token, absl::Duration lifetime, bool secure) {
  return absl::StrCat(secure ? kSecureCookie : kCookie, "=", token,
                      "; Path=/; Max-Age=", std::max<int64_t>(0, absl::ToInt64Seconds(lifetime)),
                      "; HttpOnly; SameSite=Strict", secure ? "; Secure" : "");
}

std::string EndedCookie(bool secure) { return SessionCookie("", absl::ZeroDuration(), secure); }

}  // namespace drover::gateway
