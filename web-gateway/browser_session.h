// What ties a browser to a session of the controller: the cookie, and the guard against requests
// that another site makes a browser send.
//
// The cookie holds the session's token; the page's scripts cannot read it (HttpOnly) and no other
// site's request carries it (SameSite=Strict). A script that signs in gets the token in the answer
// instead and sends it as "Authorization: Bearer". Which of the two it is follows from the
// X-Requested-By header, which only the page itself can send.
//
// Thread promise: pure functions. Nothing is kept here: sessions are the controller's.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "web-gateway/http.h"

namespace drover::gateway {

struct Credentials {
  // Empty: nobody is signed in.
  std::string token;
  bool from_cookie = false;
};

// The bearer token, else the cookie's. What cannot be a token is none.
Credentials CredentialsOf(const HttpRequest& request);

// Whether the page sent it.
bool IsFromPage(const HttpRequest& request);

// A change that comes with the cookie must come from the page: X-Requested-By is there, and Origin
// and Sec-Fetch-Site, where a browser sends them, say so too. PERMISSION_DENIED, reason CROSS_SITE.
// `allowed_origins` are further ones ("https://drover.example"), for proxies that change the host.
absl::Status CheckCrossSite(const HttpRequest& request, const Credentials& credentials,
                            const std::vector<std::string>& allowed_origins);

// "Set-Cookie" values. `secure`: the browser reaches the gateway by TLS.
std::string SessionCookie(absl::string_view token, absl::Duration lifetime, bool secure);
std::string EndedCookie(bool secure);

}  // namespace drover::gateway
