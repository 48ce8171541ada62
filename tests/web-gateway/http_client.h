// A client that says exactly what a test wants it to say, well-formed or not. Blocking, with time
// limits that only a hung server reaches.
//
// Thread promise: one thread. Owns its connection.
#pragma once

#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace drover::testing {

struct HttpAnswer {
  // 0: the connection ended without one.
  int status = 0;
  // Names in lower case; several of a name joined by '\n'.
  std::map<std::string, std::string> headers;
  // Of a chunked body its contents.
  std::string body;
  // The body came to its end as announced.
  bool complete = false;
};

class HttpClient {
 public:
  explicit HttpClient(int port);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // False when the other side has closed.
  bool Send(absl::string_view bytes);
  // One answer with its body. `head` for the answer to a HEAD.
  HttpAnswer Read(bool head = false);
  // The headers only; the body by ReadUntil.
  HttpAnswer ReadHead();
  // Body bytes as they come (chunks taken apart), until they hold `text`. What was read up to and
  // with it; without it when the connection ended.
  std::string ReadUntil(absl::string_view text);
  // Waits until the other side closes; false when bytes come instead.
  bool AwaitClose();
  // Ends its own side of the connection.
  void Close();

  // Sends a whole request and reads its answer. `headers` are lines with "\r\n".
  HttpAnswer Call(absl::string_view method, absl::string_view target,
                  absl::string_view headers = "", absl::string_view body = "");

 private:
  bool Fill();
  bool ReadLine(std::string* line);
  bool ReadChunk(std::string* chunk);

  int fd_ = -1;
  std::string buffer_;
  bool chunked_ = false;
};

// "GET /x HTTP/1.1\r\nHost: t\r\n...\r\n\r\n" with Content-Length for a body.
std::string RequestText(absl::string_view method, absl::string_view target,
                        absl::string_view headers = "", absl::string_view body = "");

}  // namespace drover::testing
