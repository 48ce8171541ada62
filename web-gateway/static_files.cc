#include "web-gateway/static_files.h"

#include <openssl/evp.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "proto/support/status.h"
#include "web-gateway/gzip.h"

namespace drover::gateway {
namespace {

constexpr size_t kMostBytes = 64 << 20;
constexpr size_t kLeastForGzip = 512;

std::string EtagOf(absl::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr);
  return absl::StrCat("\"", absl::BytesToHexString({reinterpret_cast<const char*>(digest), 12}),
                      "\"");
}

bool IsText(absl::string_view content_type) {
  return absl::StartsWith(content_type, "text/") || absl::StrContains(content_type, "json") ||
         absl::StrContains(content_type, "svg") || absl::StrContains(content_type, "manifest");
}

absl::string_view LastSegment(absl::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

absl::string_view ContentTypeOf(absl::string_view name) {
  static const auto* const types = new std::map<std::string, std::string>{
      {"html", "text/html; charset=utf-8"},
      {"js", "text/javascript; charset=utf-8"},
      {"mjs", "text/javascript; charset=utf-8"},
      {"css", "text/css; charset=utf-8"},
      {"json", "application/json"},
      {"map", "application/json"},
      {"webmanifest", "application/manifest+json"},
      {"svg", "image/svg+xml"},
      {"png", "image/png"},
      {"jpg", "image/jpeg"},
      {"webp", "image/webp"},
      {"ico", "image/x-icon"},
      {"woff", "font/woff"},
      {"woff2", "font/woff2"},
      {"txt", "text/plain; charset=utf-8"},
  };
  const size_t dot = name.rfind('.');
  const auto found = dot == absl::string_view::npos
                         ? types->end()
                         : types->find(absl::AsciiStrToLower(name.substr(dot + 1)));
  return found == types->end() ? "application/octet-stream" : absl::string_view(found->second);
}

bool IsHashedName(absl::string_view path) {
  if (!absl::ConsumePrefix(&path, "/assets/")) return false;
  const size_t dash = path.find('-');
  const size_t dot = path.rfind('.');
  if (dash == absl::string_view::npos || dot == absl::string_view::npos || dot < 9) return false;
  // Eight characters of base64url before the ending, which may hold '-' itself.
  const absl::string_view hash = path.substr(dot - 8, 8);
  return path[dot - 9] == '-' && std::all_of(hash.begin(), hash.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_';
         });
}

absl::Status StaticFiles::Load(const std::string& folder) {
  auto files = std::make_shared<Files>();
  size_t total = 0;
  if (!folder.empty()) {
    namespace fs = std::filesystem;
    std::error_code error;
    fs::recursive_directory_iterator walk(folder, error);
    for (; !error && walk != fs::recursive_directory_iterator(); walk.increment(error)) {
      // Links could lead out of the folder.
      if (walk->is_symlink(error) || !walk->is_regular_file(error)) continue;
      std::ifstream in(walk->path(), std::ios::binary);
      std::stringstream bytes;
      bytes << in.rdbuf();
      const std::string path =
          absl::StrCat("/", walk->path().lexically_relative(folder).generic_string());
      File& file = (*files)[path];
      file.content_type = std::string(ContentTypeOf(path));
      file.plain = std::make_shared<const std::string>(bytes.str());
      file.etag = EtagOf(*file.plain);
      file.hashed = IsHashedName(path);
      total += file.plain->size();
      if (total > kMostBytes) {
        return absl::ResourceExhaustedError(absl::StrCat(folder, " holds more than 64 MiB"));
      }
      if (IsText(file.content_type) && file.plain->size() >= kLeastForGzip) {
        std::string small = Gzip(*file.plain, 9);
        if (!small.empty() && small.size() < file.plain->size()) {
          file.gzip = std::make_shared<const std::string>(std::move(small));
        }
      }
    }
    if (error) {
      return absl::NotFoundError(
          absl::StrCat("the page's folder ", folder, " cannot be read: ", error.message()));
    }
    if (!files->contains("/index.html")) {
      return absl::NotFoundError(absl::StrCat("there is no index.html in ", folder));
    }
  }
  absl::MutexLock lock(&mutex_);
  files_ = std::move(files);
  return absl::OkStatus();
}

HttpResponse StaticFiles::Send(const File& file, const HttpRequest& request) {
  HttpResponse response;
  response.headers.Add("Content-Type", file.content_type);
  response.headers.Add("ETag", file.etag);
  response.headers.Add("Cache-Control",
                       file.hashed ? "public, max-age=31536000, immutable" : "no-cache");
  if (file.gzip != nullptr) response.headers.Add("Vary", "Accept-Encoding");
  for (const absl::string_view known :
       absl::StrSplit(request.headers.Joined("if-none-match"), ',')) {
    const absl::string_view tag = absl::StripPrefix(absl::StripAsciiWhitespace(known), "W/");
    if (tag != file.etag && tag != "*") continue;
    response.status = 304;
    return response;
  }
  response.body = file.plain;
  if (file.gzip != nullptr && ListAccepts(request.headers.Joined("accept-encoding"), "gzip")) {
    response.headers.Add("Content-Encoding", "gzip");
    response.body = file.gzip;
  }
  return response;
}

HttpResponse StaticFiles::Answer(const HttpRequest& request) const {
  std::shared_ptr<const Files> files;
  {
    absl::MutexLock lock(&mutex_);
    files = files_;
  }
  if (request.method != "GET" && request.method != "HEAD") {
    HttpResponse response = TextResponse(405, "text/plain; charset=utf-8", "GET only\n");
    response.headers.Add("Allow", "GET, HEAD");
    return response;
  }
  std::string path;
  if (!Unescape(request.path, false, false, &path)) path.clear();
  if (path == "/") path = "/index.html";
  auto found = files->find(path);
  const bool visit = absl::StrContains(request.headers.Joined("accept"), "text/html") &&
                     !absl::StrContains(LastSegment(path), '.');
  if (found == files->end() && visit) found = files->find("/index.html");
  if (found == files->end()) {
    return TextResponse(404, "text/plain; charset=utf-8", "there is nothing at this path\n");
  }
  return Send(found->second, request);
}

}  // namespace drover::gateway
