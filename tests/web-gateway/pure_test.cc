// Sessions, addresses, limits, configuration, page files, the OpenAPI document: what needs no
// network.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "proto/support/contract.h"
#include "proto/support/status.h"
#include "tests/testing/temp_dir.h"
#include "web-gateway/browser_session.h"
#include "web-gateway/client_address.h"
#include "web-gateway/config.h"
#include "web-gateway/gzip.h"
#include "web-gateway/json_check.h"
#include "web-gateway/login_limiter.h"
#include "web-gateway/openapi.h"
#include "web-gateway/static_files.h"

namespace drover::gateway {
namespace {

using drover::testing::TempDir;
using drover::testing::WriteFile;
using ::testing::HasSubstr;
using ::testing::Not;

HttpRequest Request(const std::string& method,
                    const std::vector<std::pair<std::string, std::string>>& headers) {
  HttpRequest request;
  request.method = method;
  request.path = "/v1/vms";
  for (const auto& [name, value] : headers) request.headers.Add(name, value);
  return request;
}

TEST(Headers, TakeNoLineOfTheirOwn) {
  Headers headers;
  headers.Add("a", "x\r\nSet-Cookie: y");
  headers.Add("A", "1");
  headers.Add("a", "2");
  EXPECT_EQ(headers.Joined("a"), "1, 2");
}

TEST(Session, TokenComesFromHeaderOrCookie) {
  const struct {
    std::vector<std::pair<std::string, std::string>> headers;
    const char* token;
    bool cookie;
  } rows[] = {
      {{}, "", false},
      {{{"Authorization", "Bearer abc"}}, "abc", false},
      {{{"Authorization", "bearer abc"}, {"Cookie", "drover_session=x"}}, "abc", false},
      {{{"Authorization", "Basic abc"}, {"Cookie", "drover_session=x"}}, "", false},
      {{{"Cookie", "a=b; drover_session=x-y_z; c=d"}}, "x-y_z", true},
      {{{"Cookie", "drover_session=plain; __Host-drover_session=secure"}}, "secure", true},
      {{{"Cookie", "xdrover_session=x"}}, "", false},
      {{{"Cookie", "drover_session="}}, "", false},
      {{{"Cookie", "drover_session=a\"b"}}, "", false},
      {{{"Cookie", absl::StrCat("drover_session=", std::string(1000, 'a'))}}, "", false},
      {{{"Authorization", "Bearer a b"}}, "", false},
  };
  for (const auto& row : rows) {
    const Credentials credentials = CredentialsOf(Request("GET", row.headers));
    EXPECT_EQ(credentials.token, row.token);
    EXPECT_EQ(credentials.from_cookie, row.cookie) << row.token;
  }
}

TEST(Session, ChangesWithACookieMustComeFromThePage) {
  const std::pair<std::string, std::string> cookie = {"Cookie", "drover_session=x"};
  const std::pair<std::string, std::string> by = {"X-Requested-By", "drover-page"};
  const std::pair<std::string, std::string> host = {"Host", "drover.example:8443"};
  const struct {
    const char* method;
    std::vector<std::pair<std::string, std::string>> headers;
    bool allowed;
  } rows[] = {
      {"GET", {cookie}, true},
      {"POST", {}, true},
      {"POST", {{"Authorization", "Bearer x"}, cookie}, true},
      {"POST", {cookie}, false},
      {"POST", {cookie, by}, true},
      {"DELETE", {cookie, host, {"Origin", "https://drover.example:8443"}}, false},
      {"POST", {cookie, by, host, {"Origin", "https://drover.example:8443"}}, true},
      {"POST", {cookie, by, host, {"Origin", "https://proxy.example"}}, true},
      {"POST", {cookie, by, host, {"Origin", "https://evil.example"}}, false},
      {"POST", {cookie, by, host, {"Origin", "https://drover.example:8443.evil.example"}}, false},
      {"POST", {cookie, by, host, {"Origin", "null"}}, false},
      {"POST", {cookie, by, host, {"Sec-Fetch-Site", "same-origin"}}, true},
      {"POST", {cookie, by, host, {"Sec-Fetch-Site", "cross-site"}}, false},
      {"POST", {cookie, by, host, {"Sec-Fetch-Site", "same-site"}}, false},
      // Signing in from elsewhere would sign the person in as somebody else.
      {"POST", {by, host, {"Origin", "https://evil.example"}}, false},
  };
  for (const auto& row : rows) {
    const HttpRequest request = Request(row.method, row.headers);
    const absl::Status status =
        CheckCrossSite(request, CredentialsOf(request), {"https://proxy.example"});
    EXPECT_EQ(status.ok(), row.allowed) << row.method << " " << status;
    EXPECT_EQ(HasReason(status, "CROSS_SITE"), !row.allowed);
  }
}

TEST(Session, CookieIsOutOfReach) {
  EXPECT_EQ(SessionCookie("t", absl::Hours(1), true),
            "__Host-drover_session=t; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict; Secure");
  EXPECT_EQ(SessionCookie("t", absl::Hours(1), false),
            "drover_session=t; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict");
  EXPECT_THAT(EndedCookie(false), HasSubstr("drover_session=; Path=/; Max-Age=0;"));
}

TEST(ClientAddress, IsBelievedFromTrustedProxiesOnly) {
  const AddressSet trusted = AddressSet::Parse({"10.0.0.0/30", "::1", "fd00::/8"}).value();
  const struct {
    const char* peer;
    const char* forwarded;
    const char* want;
  } rows[] = {
      {"192.0.2.1", "1.2.3.4", "192.0.2.1"},
      {"10.0.0.1", "1.2.3.4", "1.2.3.4"},
      {"10.0.0.1", "", "10.0.0.1"},
      {"10.0.0.1", "9.9.9.9, 1.2.3.4", "1.2.3.4"},
      {"10.0.0.1", "1.2.3.4, 10.0.0.2", "1.2.3.4"},
      {"10.0.0.4", "1.2.3.4", "10.0.0.4"},
      {"10.0.0.1", "junk", "10.0.0.1"},
      {"10.0.0.1", "1.2.3.4, junk", "10.0.0.1"},
      {"10.0.0.1", "junk, 10.0.0.2", "10.0.0.2"},
      {"::1", "2001:db8::7", "2001:db8::7"},
      {"fd12::3", "1.2.3.4", "1.2.3.4"},
      {"::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"},
  };
  for (const auto& row : rows) {
    HttpRequest request = Request("GET", {{"X-Forwarded-For", row.forwarded}});
    request.peer = row.peer;
    EXPECT_EQ(ClientAddressOf(request, trusted), row.want) << row.peer << " " << row.forwarded;
  }
  HttpRequest request = Request("GET", {{"X-Forwarded-Proto", "https"}});
  request.peer = "192.0.2.1";
  EXPECT_FALSE(IsSecure(request, trusted));
  request.peer = "::1";
  EXPECT_TRUE(IsSecure(request, trusted));
  for (const char* bad : {"", "x", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "::1/129"}) {
    EXPECT_FALSE(AddressSet::Parse({bad}).ok()) << bad;
  }
}

TEST(LoginLimiter, LetsSoManyThroughAMinute) {
  LoginLimiter limiter(6);
  absl::Time now = absl::UnixEpoch();
  for (int i = 0; i < 6; ++i) EXPECT_EQ(limiter.Ask("a", now), absl::ZeroDuration()) << i;
  EXPECT_EQ(limiter.Ask("a", now), absl::Seconds(10));
  EXPECT_EQ(limiter.Ask("b", now), absl::ZeroDuration());
  now += absl::Seconds(10);
  EXPECT_EQ(limiter.Ask("a", now), absl::ZeroDuration());
  EXPECT_GT(limiter.Ask("a", now), absl::ZeroDuration());
  now -= absl::Hours(1);
  EXPECT_GT(limiter.Ask("a", now), absl::ZeroDuration());
}

TEST(LoginLimiter, IsBounded) {
  LoginLimiter limiter(1);
  const absl::Time now = absl::UnixEpoch();
  for (int i = 0; i < 10000; ++i) limiter.Ask(absl::StrCat(i), now);
  EXPECT_GT(limiter.Ask("another", now), absl::ZeroDuration());
  EXPECT_EQ(limiter.Ask("another", now + absl::Minutes(2)), absl::ZeroDuration());
}

TEST(Config, ReadsEverything) {
  const auto config = ParseConfig(R"(
[http]
listen = "0.0.0.0:443"
certificate_file = "/etc/drover/web.crt"
key_file = "/etc/drover/web.key"
page_dir = ""
trusted_proxies = ["10.0.0.2"]
allowed_origins = ["https://drover.example"]
metrics_from = ["10.9.0.0/16"]
threads = 4
max_connections = 100
max_connections_per_address = 50
[controller]
address = "drover.example:8443"
authority_file = "/a"
gateway_key_file = "/k"
[limits]
logins_per_minute = 5
call_seconds = 20
[log]
level = "debug"
)",
                                  "g.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->listen, "0.0.0.0:443");
  EXPECT_EQ(config->page_dir, "");
  EXPECT_TRUE(config->trusted_proxies.Contains("10.0.0.2"));
  EXPECT_TRUE(config->metrics_from.Contains("10.9.3.4"));
  EXPECT_FALSE(config->metrics_from.Contains("127.0.0.1"));
  EXPECT_EQ(config->controller, "drover.example:8443");
  EXPECT_EQ(config->call_seconds, 20);
  EXPECT_TRUE(ParseConfig("", "g.toml").value().metrics_from.Contains("127.0.0.1"));
}

TEST(Config, TellsWhatIsWrongAndWhere) {
  const struct {
    const char* text;
    const char* problem;
  } rows[] = {
      {"[http]\nlisten = \"x\"\n", "g.toml:2: [http] listen must be \"host:port\""},
      {"[http]\nlissten = \"x\"\n", "g.toml:2: [http] lissten is not known; there are"},
      {"[htp]\nlisten = \"x\"\n", "[htp] is not known"},
      {"listen = 1\n", "g.toml:1: listen is in no section"},
      {"[http]\ncertificate_file = \"/x\"\n", "go together"},
      {"[http]\nlisten = \"0.0.0.0:80\"\n", "not a loopback address"},
      {"[http]\nthreads = 0\n", "from 1 to 64"},
      {"[http]\ntrusted_proxies = [\"host\"]\n", "list of addresses or networks"},
      {"[http]\nallowed_origins = [\"drover.example\"]\n", "list of origins"},
      {"[http]\nallowed_origins = [\"https://drover.example/x\"]\n", "list of origins"},
      {"[controller]\nauthority_file = \"a\"\n", "absolute path"},
      {"[log]\nlevel = \"loud\"\n", "must be \"error\""},
      {"[http\n", "g.toml:1: "},
  };
  for (const auto& row : rows) {
    EXPECT_THAT(std::string(ParseConfig(row.text, "g.toml").status().message()),
                HasSubstr(row.problem));
  }
}

TEST(Config, SecretsAreForNobodyElse) {
  TempDir dir;
  WriteFile(dir.File("key"), "abc\n");
  chmod(dir.File("key").c_str(), 0600);
  EXPECT_EQ(ReadSmallFile(dir.File("key"), true).value(), "abc");
  chmod(dir.File("key").c_str(), 0640);
  EXPECT_TRUE(absl::IsFailedPrecondition(ReadSmallFile(dir.File("key"), true).status()));
  EXPECT_EQ(ReadSmallFile(dir.File("key"), false).value(), "abc");
  EXPECT_TRUE(absl::IsNotFound(ReadSmallFile(dir.File("none"), false).status()));
}

class PageFiles : public ::testing::Test {
 protected:
  PageFiles() {
    mkdir(dir_.File("assets").c_str(), 0700);
    WriteFile(dir_.File("index.html"), "<!doctype html>");
    WriteFile(dir_.File("assets/index-Bq3xY_0a.js"), std::string(2000, 'x'));
    WriteFile(dir_.File("assets/logo.svg"), "<svg/>");
    WriteFile(dir_.File("secret"), "outside");
    if (symlink("/etc/passwd", dir_.File("link.txt").c_str()) != 0) ADD_FAILURE();
    EXPECT_TRUE(files_.Load(dir_.path()).ok());
  }
  HttpResponse Get(const std::string& path, const std::string& accept = "*/*",
                   const std::string& encoding = "", const std::string& known = "") {
    HttpRequest request = Request(
        "GET", {{"Accept", accept}, {"Accept-Encoding", encoding}, {"If-None-Match", known}});
    request.path = path;
    return files_.Answer(request);
  }
  TempDir dir_;
  StaticFiles files_;
};

TEST_F(PageFiles, AreServedAsWhatTheyAre) {
  const HttpResponse index = Get("/");
  EXPECT_EQ(index.status, 200);
  EXPECT_EQ(index.headers.Get("content-type"), "text/html; charset=utf-8");
  EXPECT_EQ(index.headers.Get("cache-control"), "no-cache");
  const HttpResponse script = Get("/assets/index-Bq3xY_0a.js", "*/*", "br, gzip");
  EXPECT_EQ(script.headers.Get("content-type"), "text/javascript; charset=utf-8");
  EXPECT_EQ(script.headers.Get("cache-control"), "public, max-age=31536000, immutable");
  EXPECT_EQ(script.headers.Get("content-encoding"), "gzip");
  EXPECT_LT(script.body->size(), 100u);
  EXPECT_EQ(Get("/assets/index-Bq3xY_0a.js", "*/*", "gzip;q=0").body->size(), 2000u);
  EXPECT_EQ(Get("/assets/logo.svg").headers.Get("cache-control"), "no-cache");
  const std::string etag(index.headers.Get("etag"));
  EXPECT_EQ(Get("/", "*/*", "", etag).status, 304);
  EXPECT_EQ(Get("/", "*/*", "", "\"other\", W/" + etag).status, 304);
}

TEST_F(PageFiles, APathOfThePageIsThePage) {
  EXPECT_EQ(Get("/environments/prod", "text/html,*/*").status, 200);
  EXPECT_EQ(Get("/environments/prod", "application/json").status, 404);
  EXPECT_EQ(Get("/assets/gone-12345678.js", "text/html").status, 404);
}

TEST_F(PageFiles, NothingElseIsReached) {
  for (const char* path : {"/../etc/passwd", "/assets/../../etc/passwd", "/%2e%2e/etc/passwd",
                           "//etc/passwd", "/assets/%2e%2e/index.html", "/link.txt", "/assets",
                           "/assets/", "/index.html/", "/./index.html", "/%zz.x"}) {
    EXPECT_EQ(Get(path).status, 404) << path;
  }
  HttpRequest post = Request("POST", {});
  post.path = "/";
  EXPECT_EQ(files_.Answer(post).status, 405);
}

TEST_F(PageFiles, AreKeptWhenTheNewOnesCannotBeRead) {
  EXPECT_TRUE(absl::IsNotFound(files_.Load(dir_.File("nowhere"))));
  EXPECT_TRUE(absl::IsNotFound(files_.Load(dir_.File("assets"))));
  EXPECT_EQ(Get("/").status, 200);
  EXPECT_TRUE(files_.Load("").ok());
  EXPECT_EQ(Get("/").status, 404);
}

TEST(HashedNames, AreThoseOfVite) {
  for (const char* good : {"/assets/index-Bq3xY_0a.js", "/assets/a-b-C-Hn3D92.css"}) {
    EXPECT_TRUE(IsHashedName(good)) << good;
  }
  for (const char* bad :
       {"/index-Bq3xY_0a.js", "/assets/index.js", "/assets/a-b.js", "/assets/x"}) {
    EXPECT_FALSE(IsHashedName(bad)) << bad;
  }
}

TEST(OpenApi, NamesEveryCall) {
  const RouteTable routes = RouteTable::Build(RulesOf(PublicServices())).value();
  const std::string document = OpenApiDocument(routes, "1.2.3");
  EXPECT_TRUE(CheckJson(document, nullptr).ok());
  for (const Route& route : routes.routes()) {
    EXPECT_THAT(document,
                HasSubstr(absl::StrCat("\"operationId\":\"", route.rule.method->name(), "\"")));
    EXPECT_THAT(document, HasSubstr(absl::StrCat("\"", OpenApiPath(route.path), "\":")));
  }
  // Secrets are never parameters of an address.
  EXPECT_THAT(document, Not(HasSubstr("\"name\":\"guestPassword\",\"in\":\"query\"")));
  EXPECT_THAT(document, HasSubstr("\"VmInput\""));
}

TEST(OpenApi, WritesPathsWithNames) {
  const struct {
    const char* path;
    const char* want;
  } rows[] = {
      {"/v1/vms", "/v1/vms"},
      {"/v1/{name=vms/*}:watch", "/v1/vms/{vm}:watch"},
      {"/v1/{vm=vms/*}/services/{service}:output", "/v1/vms/{vm}/services/{service}:output"},
  };
  for (const auto& row : rows) EXPECT_EQ(OpenApiPath(ParseTemplate(row.path).value()), row.want);
}

}  // namespace
}  // namespace drover::gateway
