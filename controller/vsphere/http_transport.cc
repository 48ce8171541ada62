#include "controller/vsphere/http_transport.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

constexpr absl::Duration kConnectTimeout = absl::Seconds(10);
// Answers beyond this are not ours: 5,000 VMs take about 10 MB.
constexpr size_t kLargestAnswer = size_t{512} << 20;

std::string FingerprintOf(X509* certificate, const EVP_MD* hash) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (certificate == nullptr || X509_digest(certificate, hash, digest, &length) != 1) {
    return "";
  }
  return absl::StrJoin(digest, digest + length, ":", [](std::string* out, unsigned char byte) {
    constexpr char kHex[] = "0123456789ABCDEF";
    out->push_back(kHex[byte >> 4]);
    out->push_back(kHex[byte & 15]);
  });
}

// Text of 20 bytes in hex: the thumbprint older vCenters give of their hosts.
constexpr size_t kSha1Length = 20 * 3 - 1;

struct Pin {
  std::string wanted;
  // Of the server seen last; "" before any handshake.
  std::string seen;
};

// Stands in for OpenSSL's chain verification: one certificate is right, no other.
int VerifyPinned(X509_STORE_CTX* context, void* argument) {
  auto* pin = static_cast<Pin*>(argument);
  bool old_kind = pin->wanted.size() == kSha1Length;
  pin->seen =
      FingerprintOf(X509_STORE_CTX_get0_cert(context), old_kind ? EVP_sha1() : EVP_sha256());
  bool right = !pin->seen.empty() && pin->seen == pin->wanted;
  X509_STORE_CTX_set_error(context, right ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
  return right ? 1 : 0;
}

CURLcode PinContext(CURL*, void* ssl_context, void* pin) {
  SSL_CTX_set_cert_verify_callback(static_cast<SSL_CTX*>(ssl_context), VerifyPinned, pin);
  return CURLE_OK;
}

size_t TakeBody(char* data, size_t size, size_t count, void* out) {
  auto* body = static_cast<std::string*>(out);
  if (body->size() + size * count > kLargestAnswer) return 0;
  body->append(data, size * count);
  return size * count;
}

size_t TakeHeader(char* data, size_t size, size_t count, void* out) {
  absl::string_view line(data, size * count);
  auto* response = static_cast<HttpResponse*>(out);
  if (absl::StartsWithIgnoreCase(line, "set-cookie:")) {
    line.remove_prefix(std::strlen("set-cookie:"));
    line = line.substr(0, line.find(';'));
    response->cookie = std::string(absl::StripAsciiWhitespace(line));
  } else if (absl::StartsWithIgnoreCase(line, "content-length:")) {
    line.remove_prefix(std::strlen("content-length:"));
    size_t length = 0;
    if (absl::SimpleAtoi(absl::StripAsciiWhitespace(line), &length)) {
      response->body.reserve(std::min(length, kLargestAnswer));
    }
  }
  return size * count;
}

struct Upload {
  absl::string_view rest;
};

size_t GiveBody(char* buffer, size_t size, size_t count, void* source) {
  auto* upload = static_cast<Upload*>(source);
  size_t length = std::min(size * count, upload->rest.size());
  std::memcpy(buffer, upload->rest.data(), length);
  upload->rest.remove_prefix(length);
  return length;
}

std::string UrlPart(absl::string_view url, CURLUPart part) {
  CURLU* handle = curl_url();
  std::string value;
  char* text = nullptr;
  if (curl_url_set(handle, CURLUPART_URL, std::string(url).c_str(), 0) == CURLUE_OK &&
      curl_url_get(handle, part, &text, 0) == CURLUE_OK) {
    value = text;
    curl_free(text);
  }
  curl_url_cleanup(handle);
  return value;
}

void InitialiseOnce() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

// One libcurl handle in a multi handle of its own: the multi can be woken from another thread,
// which makes a request cancellable at once.
class HttpTransport::Connection {
 public:
  explicit Connection(const std::string& fingerprint)
      : easy_(curl_easy_init()), multi_(curl_multi_init()) {
    pin_.wanted = fingerprint;
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 1L);
  }
  ~Connection() {
    curl_easy_cleanup(easy_);
    curl_multi_cleanup(multi_);
  }

  absl::StatusOr<HttpResponse> Send(const HttpRequest& request) {
    HttpResponse response;
    Upload upload{request.body};
    curl_slist* headers = nullptr;
    // Hosts do not answer "100-continue": without this line each larger POST loses a second.
    headers = curl_slist_append(headers, "Expect:");
    for (const auto& line : request.headers) headers = curl_slist_append(headers, line.c_str());
    Prepare(request, response, upload, headers);
    curl_multi_add_handle(multi_, easy_);
    CURLcode code = Perform(request.stop);
    curl_multi_remove_handle(multi_, easy_);
    curl_slist_free_all(headers);
    if (code != CURLE_OK) return ErrorOf(code, request);
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &response.status);
    return response;
  }

 private:
  void Prepare(const HttpRequest& request, HttpResponse& response, Upload& upload,
               curl_slist* headers) {
    curl_easy_reset(easy_);
    error_[0] = 0;
    pin_.seen.clear();
    curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_);
    curl_easy_setopt(easy_, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy_, CURLOPT_PROXY, "");
    curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy_, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy_, CURLOPT_BUFFERSIZE, 256L * 1024);
    curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(absl::ToInt64Milliseconds(kConnectTimeout)));
    curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS,
                     static_cast<long>(absl::ToInt64Milliseconds(request.timeout)));
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, TakeBody);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, &response.body);
    curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, TakeHeader);
    curl_easy_setopt(easy_, CURLOPT_HEADERDATA, &response);
    curl_easy_setopt(easy_, CURLOPT_FRESH_CONNECT, request.repeatable ? 0L : 1L);
    // The pin replaces chain and host name: ESXi certificates are self-signed for localhost.
    curl_easy_setopt(easy_, CURLOPT_CAINFO, nullptr);
    curl_easy_setopt(easy_, CURLOPT_CAPATH, nullptr);
    curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(easy_, CURLOPT_SSL_CTX_FUNCTION, PinContext);
    curl_easy_setopt(easy_, CURLOPT_SSL_CTX_DATA, &pin_);
    if (request.method == HttpRequest::Method::kPost) {
      curl_easy_setopt(easy_, CURLOPT_POST, 1L);
      curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, request.body.data());
      curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE,
                       static_cast<curl_off_t>(request.body.size()));
    } else if (request.method == HttpRequest::Method::kPut) {
      curl_easy_setopt(easy_, CURLOPT_UPLOAD, 1L);
      curl_easy_setopt(easy_, CURLOPT_READFUNCTION, GiveBody);
      curl_easy_setopt(easy_, CURLOPT_READDATA, &upload);
      curl_easy_setopt(easy_, CURLOPT_INFILESIZE_LARGE,
                       static_cast<curl_off_t>(request.body.size()));
    }
  }

  CURLcode Perform(std::stop_token stop) {
    std::stop_callback wake(stop, [this] { curl_multi_wakeup(multi_); });
    int running = 1;
    while (running > 0) {
      if (stop.stop_requested()) return CURLE_ABORTED_BY_CALLBACK;
      if (curl_multi_perform(multi_, &running) != CURLM_OK) return CURLE_FAILED_INIT;
      if (running > 0) curl_multi_poll(multi_, nullptr, 0, 1000, nullptr);
    }
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg == CURLMSG_DONE) return message->data.result;
    }
    return CURLE_FAILED_INIT;
  }

  absl::Status ErrorOf(CURLcode code, const HttpRequest& request) {
    std::string host = HostOfUrl(request.url);
    if (code == CURLE_ABORTED_BY_CALLBACK) {
      return absl::CancelledError(absl::StrCat("the call to ", host, " was cancelled"));
    }
    if (!pin_.seen.empty() && pin_.seen != pin_.wanted) {
      return MakeError(
          absl::StatusCode::kFailedPrecondition, "CERTIFICATE_NOT_CONFIRMED",
          pin_.wanted.empty()
              ? absl::StrCat("the certificate of ", host,
                             " is not confirmed; compare its SHA-256 fingerprint ", pin_.seen,
                             " with the one the host shows, and confirm it")
              : absl::StrCat(host, " shows another certificate than the confirmed one: ", pin_.seen,
                             " instead of ", pin_.wanted),
          {{"fingerprint", pin_.seen}});
    }
    return MakeError(absl::StatusCode::kUnavailable, "HYPERVISOR_UNREACHABLE",
                     absl::StrCat(host, ": ", error_[0] != 0 ? error_ : curl_easy_strerror(code)));
  }

  CURL* easy_;
  CURLM* multi_;
  Pin pin_;
  char error_[CURL_ERROR_SIZE] = {};
};

HttpTransport::HttpTransport(std::string fingerprint, int connections)
    : fingerprint_(std::move(fingerprint)), unused_(connections) {
  InitialiseOnce();
}

HttpTransport::~HttpTransport() = default;

absl::StatusOr<HttpResponse> HttpTransport::Send(const HttpRequest& request) {
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection, Take(request.stop));
  auto response = connection->Send(request);
  GiveBack(std::move(connection));
  return response;
}

absl::StatusOr<std::unique_ptr<HttpTransport::Connection>> HttpTransport::Take(
    std::stop_token stop) {
  std::stop_callback wake(stop, [this] {
    absl::MutexLock lock(&mutex_);
    freed_.SignalAll();
  });
  absl::MutexLock lock(&mutex_);
  while (true) {
    if (stop.stop_requested()) return absl::CancelledError("cancelled");
    if (!idle_.empty()) {
      auto connection = std::move(idle_.back());
      idle_.pop_back();
      return connection;
    }
    if (unused_ > 0) {
      --unused_;
      return std::make_unique<Connection>(fingerprint_);
    }
    freed_.Wait(&mutex_);
  }
}

void HttpTransport::GiveBack(std::unique_ptr<Connection> connection) {
  absl::MutexLock lock(&mutex_);
  idle_.push_back(std::move(connection));
  freed_.Signal();
}

std::string HostNameOfUrl(absl::string_view url) {
  std::string host = UrlPart(url, CURLUPART_HOST);
  return host.empty() ? std::string(url) : host;
}

std::string HostOfUrl(absl::string_view url) {
  std::string port = UrlPart(url, CURLUPART_PORT);
  return port.empty() ? HostNameOfUrl(url) : absl::StrCat(HostNameOfUrl(url), ":", port);
}

}  // namespace drover::vsphere
