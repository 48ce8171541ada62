// HTTP as plain values: what the server hands to whoever answers, and what comes back. Nothing of
// the network library is in here.
//
// Thread promise: values. Who holds a BodyStream owns it; each class says more.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace drover::gateway {

// In the order they came. Names compare without case.
class Headers {
 public:
  // A value with control characters is left out: nobody gets a line of their own into an answer.
  void Add(absl::string_view name, absl::string_view value);
  // The first of that name, "" without one.
  absl::string_view Get(absl::string_view name) const;
  bool Has(absl::string_view name) const;
  // All of that name, joined by ", ".
  std::string Joined(absl::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return all_; }

 private:
  std::vector<std::pair<std::string, std::string>> all_;
};

struct HttpRequest {
  std::string method;
  // As sent, escapes and all; "/" first. The query is without its '?'.
  std::string path;
  std::string query;
  Headers headers;
  std::string body;
  // Address of the other end, without port.
  std::string peer;
  bool tls = false;
};

// A body that comes into being while it is sent.
//
// Start is called once, then Next, both on the connection's thread; Next again after each piece
// that was sent, and after `wake` when there was nothing. `wake` may be called from any thread, as
// often as one likes, also after the stream is gone. The destructor is called as soon as nobody
// reads any more.
class BodyStream {
 public:
  struct Piece {
    // Null: nothing is ready now.
    std::shared_ptr<const std::string> data;
    // After `data` comes nothing more.
    bool end = false;
    // The body ends incomplete; the reader must see that.
    bool broken = false;
  };

  virtual ~BodyStream() = default;
  virtual void Start(std::function<void()> wake) = 0;
  virtual Piece Next() = 0;
};

struct HttpResponse {
  int status = 200;
  Headers headers;
  // Null: none. Shared, so that a file is in memory once.
  std::shared_ptr<const std::string> body;
  // Instead of `body`; the connection ends with it.
  std::unique_ptr<BodyStream> stream;
  // Sent when a stream was silent for the server's ping interval; empty: nothing.
  std::string ping;
};

HttpResponse TextResponse(int status, absl::string_view content_type, std::string body);

// Called once, from any thread.
using Respond = std::function<void(HttpResponse)>;

class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Must not block, and must call `respond` once, now or later, unless the server is gone by then.
  virtual void Handle(HttpRequest request, Respond respond) = 0;
};

// "a%2Fb" -> "a/b". False when an escape is not one or gives a NUL. `keep_slashes` leaves "%2F" as
// it is; `plus_is_blank` is the rule of queries.
bool Unescape(absl::string_view text, bool keep_slashes, bool plus_is_blank, std::string* out);

// "a=1&b=2" as pairs, unescaped. False when an escape is wrong.
bool ParseQuery(absl::string_view query, std::vector<std::pair<std::string, std::string>>* out);

// Whether a list header ("gzip, br;q=0") names `word` and does not refuse it by q=0.
bool ListAccepts(absl::string_view header, absl::string_view word);

}  // namespace drover::gateway
