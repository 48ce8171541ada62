#include "tests/web-gateway/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace drover::testing {
namespace {

constexpr int kPatienceMs = 60000;

}  // namespace

HttpClient::HttpClient(int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) Close();
}

HttpClient::~HttpClient() { Close(); }

void HttpClient::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

bool HttpClient::Send(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool HttpClient::Fill() {
  pollfd wait{fd_, POLLIN, 0};
  if (fd_ < 0 || poll(&wait, 1, kPatienceMs) != 1) return false;
  char bytes[65536];
  const ssize_t got = recv(fd_, bytes, sizeof(bytes), 0);
  if (got <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(got));
  return true;
}

bool HttpClient::ReadLine(std::string* line) {
  size_t end = 0;
  while ((end = buffer_.find("\r\n")) == std::string::npos) {
    if (!Fill()) return false;
  }
  *line = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return true;
}

bool HttpClient::ReadChunk(std::string* chunk) {
  std::string line;
  if (!ReadLine(&line)) return false;
  uint64_t size = 0;
  if (!absl::SimpleHexAtoi(line, &size)) return false;
  while (buffer_.size() < size + 2) {
    if (!Fill()) return false;
  }
  *chunk = buffer_.substr(0, size);
  buffer_.erase(0, size + 2);
  return true;
}

HttpAnswer HttpClient::ReadHead() {
  HttpAnswer answer;
  std::string line;
  if (!ReadLine(&line)) return answer;
  const std::vector<std::string> words = absl::StrSplit(line, absl::MaxSplits(' ', 2));
  if (words.size() < 2 || !absl::SimpleAtoi(words[1], &answer.status)) return answer;
  while (ReadLine(&line) && !line.empty()) {
    const std::pair<std::string, std::string> field = absl::StrSplit(line, absl::MaxSplits(':', 1));
    std::string& value = answer.headers[absl::AsciiStrToLower(field.first)];
    absl::StrAppend(&value, value.empty() ? "" : "\n", absl::StripAsciiWhitespace(field.second));
  }
  chunked_ = answer.headers["transfer-encoding"] == "chunked";
  return answer;
}

HttpAnswer HttpClient::Read(bool head) {
  HttpAnswer answer = ReadHead();
  if (answer.status == 100) answer = ReadHead();
  if (answer.status == 0) return answer;
  if (chunked_) {
    std::string chunk;
    while (ReadChunk(&chunk)) {
      if (chunk.empty()) {
        answer.complete = true;
        break;
      }
      answer.body += chunk;
    }
    return answer;
  }
  size_t length = 0;
  const bool sized = absl::SimpleAtoi(answer.headers["content-length"], &length);
  if (head || answer.status == 204 || answer.status == 304) {
    answer.complete = true;
    return answer;
  }
  while (sized ? buffer_.size() < length : true) {
    if (!Fill()) break;
  }
  answer.complete = !sized || buffer_.size() >= length;
  answer.body = buffer_.substr(0, sized ? length : std::string::npos);
  buffer_.erase(0, answer.body.size());
  return answer;
}

std::string HttpClient::ReadUntil(absl::string_view text) {
  std::string read;
  std::string chunk;
  while (!absl::StrContains(read, text)) {
    if (chunked_) {
      if (!ReadChunk(&chunk) || chunk.empty()) break;
      read += chunk;
    } else {
      if (buffer_.empty() && !Fill()) break;
      read += buffer_;
      buffer_.clear();
    }
  }
  return read;
}

bool HttpClient::AwaitClose() { return buffer_.empty() && !Fill() && buffer_.empty(); }

HttpAnswer HttpClient::Call(absl::string_view method, absl::string_view target,
                            absl::string_view headers, absl::string_view body) {
  if (!Send(RequestText(method, target, headers, body))) return {};
  return Read(method == "HEAD");
}

std::string RequestText(absl::string_view method, absl::string_view target,
                        absl::string_view headers, absl::string_view body) {
  std::string length;
  if (!body.empty()) length = absl::StrCat("Content-Length: ", body.size(), "\r\n");
  return absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: drover.test\r\n", headers, length,
                      "\r\n", body);
}

}  // namespace drover::testing
