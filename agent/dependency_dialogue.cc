#include "agent/dependency_dialogue.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/service_probe.h"
#include "proto/support/utf8.h"

namespace drover::agent {
namespace {

using Kind = Dialogue::Kind;

// No first answer of any of these services is longer.
constexpr size_t kLongest = 1 << 20;

constexpr uint32_t kPortmapProgram = 100000;
constexpr uint32_t kPortmapVersion = 2;
constexpr uint32_t kGetPort = 3;
constexpr uint32_t kNfsProgram = 100003;
constexpr uint32_t kTcpProtocol = 6;
// Any number: one call per connection.
constexpr uint32_t kCallId = 0x44726f76;
constexpr size_t kRpcReplyHeader = 24;

void PutBig(uint32_t value, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}
void PutLittle(uint32_t value, std::string* out) {
  for (int shift = 0; shift <= 24; shift += 8) out->push_back(static_cast<char>(value >> shift));
}
uint32_t Byte(absl::string_view data, size_t at) {
  return at < data.size() ? static_cast<unsigned char>(data[at]) : 0;
}
uint32_t GetBig(absl::string_view data, size_t at) {
  return Byte(data, at) << 24 | Byte(data, at + 1) << 16 | Byte(data, at + 2) << 8 |
         Byte(data, at + 3);
}
uint32_t GetLittle(absl::string_view data, size_t at) {
  return Byte(data, at + 3) << 24 | Byte(data, at + 2) << 16 | Byte(data, at + 1) << 8 |
         Byte(data, at);
}

std::string Text(absl::string_view text) { return CleanText(text.substr(0, 200), 200); }

Answer Wrong(absl::string_view what) { return {.detail = std::string(what)}; }

// ---- ONC RPC, RFC 5531, over TCP

std::string RpcCall(uint32_t program, uint32_t version, uint32_t procedure,
                    absl::string_view arguments) {
  std::string call;
  PutBig(kCallId, &call);
  PutBig(0, &call);
  PutBig(2, &call);
  PutBig(program, &call);
  PutBig(version, &call);
  PutBig(procedure, &call);
  // No credentials, no verifier.
  for (int i = 0; i < 4; ++i) PutBig(0, &call);
  absl::StrAppend(&call, arguments);
  std::string framed;
  PutBig(0x80000000U | static_cast<uint32_t>(call.size()), &framed);
  return framed + call;
}

std::string GetPortArguments() {
  std::string arguments;
  PutBig(kNfsProgram, &arguments);
  PutBig(3, &arguments);
  PutBig(kTcpProtocol, &arguments);
  PutBig(0, &arguments);
  return arguments;
}

std::optional<Answer> JudgeRpc(const Dialogue& dialogue, absl::string_view received) {
  if (received.size() < 4) return std::nullopt;
  const uint32_t mark = GetBig(received, 0);
  const uint32_t length = mark & 0x7FFFFFFFU;
  if ((mark & 0x80000000U) == 0 || length < 12 || length > 1024) {
    return Wrong("the answer is not ONC RPC");
  }
  if (received.size() < 4 + length) return std::nullopt;
  const absl::string_view reply = received.substr(4, length);
  if (GetBig(reply, 0) != kCallId || GetBig(reply, 4) != 1) {
    return Wrong("the answer is not one to the call");
  }
  if (GetBig(reply, 8) != 0) return Wrong("the call was refused");
  const size_t verifier = GetBig(reply, 16);
  const size_t at = 20 + std::min<size_t>(verifier, 400);
  const uint32_t outcome = GetBig(reply, at);
  if (outcome == 2 && dialogue.kind == Kind::kNfs) {
    Answer other = Wrong(absl::StrCat("NFS is there in versions ", GetBig(reply, at + 4), " to ",
                                      GetBig(reply, at + 8)));
    other.other_version = static_cast<int>(GetBig(reply, at + 8));
    return other;
  }
  if (outcome == 1) return Wrong("the port answers ONC RPC, but has no NFS");
  if (outcome != 0) return Wrong(absl::StrCat("the call failed with status ", outcome));
  if (reply.size() < kRpcReplyHeader) return Wrong("the answer is cut off");
  Answer answer{.ok = true};
  if (dialogue.kind == Kind::kNfs) {
    answer.detail = absl::StrCat("NFS version ", dialogue.version);
  } else {
    answer.port = static_cast<int>(GetBig(reply, at + 4));
  }
  return answer;
}

// ---- MongoDB: OP_MSG with {hello: 1, $db: "admin"}

std::string MongoHello() {
  std::string document;
  document += '\x10';
  document.append("hello\0", 6);
  PutLittle(1, &document);
  document += '\x02';
  document.append("$db\0", 4);
  PutLittle(6, &document);
  document.append("admin\0", 6);
  document += '\0';
  std::string body;
  PutLittle(0, &body);
  body += '\0';
  PutLittle(static_cast<uint32_t>(document.size()) + 4, &body);
  body += document;
  std::string message;
  PutLittle(static_cast<uint32_t>(body.size()) + 16, &message);
  PutLittle(kCallId, &message);
  PutLittle(0, &message);
  PutLittle(2013, &message);
  return message + body;
}

// A number of the document's own level; nothing when it has none of that name.
std::optional<double> BsonNumber(absl::string_view document, absl::string_view name) {
  size_t at = 4;
  while (at < document.size() && document[at] != 0) {
    const auto type = static_cast<unsigned char>(document[at]);
    const size_t end = document.find('\0', at + 1);
    if (end == absl::string_view::npos) return std::nullopt;
    const absl::string_view key = document.substr(at + 1, end - at - 1);
    at = end + 1;
    size_t size = 0;
    if (type == 0x01 || type == 0x09 || type == 0x11 || type == 0x12) size = 8;
    if (type == 0x10) size = 4;
    if (type == 0x08) size = 1;
    if (type == 0x07) size = 12;
    if (type == 0x02) size = 4 + static_cast<size_t>(GetLittle(document, at));
    if (type == 0x03 || type == 0x04) size = GetLittle(document, at);
    if (type == 0x05) size = 5 + static_cast<size_t>(GetLittle(document, at));
    if (size == 0 && type != 0x0A) return std::nullopt;
    if (key == name && at + size <= document.size()) {
      if (type == 0x10) return static_cast<int32_t>(GetLittle(document, at));
      if (type == 0x08) return document[at];
      if (type == 0x01) {
        const uint64_t bits =
            static_cast<uint64_t>(GetLittle(document, at + 4)) << 32 | GetLittle(document, at);
        double value = 0;
        static_assert(sizeof(value) == sizeof(bits));
        memcpy(&value, &bits, sizeof(value));
        return value;
      }
    }
    at += size;
  }
  return std::nullopt;
}

std::optional<Answer> JudgeMongo(absl::string_view received) {
  if (received.size() < 16) return std::nullopt;
  const uint32_t length = GetLittle(received, 0);
  if (length < 26 || length > kLongest || GetLittle(received, 8) != kCallId ||
      GetLittle(received, 12) != 2013) {
    return Wrong("the answer is not MongoDB's");
  }
  if (received.size() < length) return std::nullopt;
  const absl::string_view document = received.substr(21, length - 21);
  if (BsonNumber(document, "ok").value_or(0) != 1) return Wrong("MongoDB refused the greeting");
  const int version = static_cast<int>(BsonNumber(document, "maxWireVersion").value_or(0));
  return Answer{.ok = true, .detail = absl::StrCat("MongoDB, wire version ", version)};
}

// ---- MySQL and MariaDB: the server greets

std::optional<Answer> JudgeMysql(absl::string_view received) {
  if (received.size() < 4) return std::nullopt;
  const size_t length = GetLittle(received, 0) & 0xFFFFFF;
  if (length < 3 || length > 4096 || received[3] != 0) {
    return Wrong("the answer is not MySQL's");
  }
  if (received.size() < 4 + length) return std::nullopt;
  const absl::string_view packet = received.substr(4, length);
  if (Byte(packet, 0) == 0xFF) {
    // A refusal of this address, or too many connections: MySQL is there, and of no use.
    return Wrong(absl::StrCat("MySQL says: ", Text(packet.substr(3))));
  }
  const size_t end = packet.find('\0', 1);
  if (Byte(packet, 0) != 10 || end == absl::string_view::npos) {
    return Wrong("the answer is not a greeting of MySQL");
  }
  return Answer{.ok = true, .detail = absl::StrCat("MySQL ", Text(packet.substr(1, end - 1)))};
}

// ---- RabbitMQ: AMQP 0-9-1, Connection.Start follows the header

constexpr absl::string_view kAmqpHeader("AMQP\0\0\x09\x01", 8);

std::optional<Answer> JudgeRabbitmq(absl::string_view received) {
  if (received.size() < 8) return std::nullopt;
  if (absl::StartsWith(received, "AMQP")) {
    return Wrong(absl::StrCat("it speaks AMQP ", Byte(received, 5), "-", Byte(received, 6), "-",
                              Byte(received, 7), ", not 0-9-1"));
  }
  const uint32_t size = GetBig(received, 3);
  if (received[0] != 1 || GetBig(received, 0) >> 8 != 0x010000 || size > kLongest) {
    return Wrong("the answer is not AMQP");
  }
  if (received.size() < 8 + size) return std::nullopt;
  const absl::string_view method = received.substr(7, size);
  if (Byte(received, 7 + size) != 0xCE || GetBig(method, 0) != 0x000A000A) {
    return Wrong("the answer is not AMQP's greeting");
  }
  const auto property = [&](absl::string_view name) -> std::string {
    const std::string key = absl::StrCat(std::string(1, static_cast<char>(name.size())), name, "S");
    const size_t at = method.find(key);
    if (at == absl::string_view::npos) return "";
    const size_t begin = at + key.size();
    return Text(method.substr(std::min(begin + 4, method.size()), GetBig(method, begin)));
  };
  return Answer{.ok = true, .detail = absl::StrCat(property("product"), " ", property("version"))};
}

// ---- Redis, HTTP

std::optional<Answer> JudgeRedis(absl::string_view received, bool ended) {
  const size_t end = received.find("\r\n");
  if (end == absl::string_view::npos) {
    if (!ended && received.size() < 512) return std::nullopt;
    return Wrong("the answer is not Redis's");
  }
  const absl::string_view line = received.substr(0, end);
  if (line == "+PONG") return Answer{.ok = true, .detail = "Redis"};
  if (absl::StartsWith(line, "-NOAUTH")) {
    return Answer{.ok = true, .detail = "Redis, which asks for a password"};
  }
  if (absl::StartsWith(line, "-")) return Wrong(absl::StrCat("Redis says: ", Text(line.substr(1))));
  return Wrong("the answer is not Redis's");
}

std::optional<Answer> JudgeHttp(absl::string_view received, bool ended) {
  if (received.size() < 12 && !ended) return std::nullopt;
  const int code = HttpStatusCode(received);
  if (code == 0) return Wrong("the answer is not HTTP");
  if (code >= 500) return Wrong(absl::StrCat("HTTP status ", code));
  return Answer{.ok = true, .detail = absl::StrCat("HTTP status ", code)};
}

std::optional<Answer> Judge(const Dialogue& dialogue, absl::string_view received, bool ended) {
  switch (dialogue.kind) {
    case Kind::kMongo:
      return JudgeMongo(received);
    case Kind::kMysql:
      return JudgeMysql(received);
    case Kind::kPortmap:
    case Kind::kNfs:
      return JudgeRpc(dialogue, received);
    case Kind::kRabbitmq:
      return JudgeRabbitmq(received);
    case Kind::kRedis:
      return JudgeRedis(received, ended);
    case Kind::kHttp:
      return JudgeHttp(received, ended);
    case Kind::kTcp:
      break;
  }
  return Answer{.ok = true, .detail = "accepts connections"};
}

}  // namespace

int UsualPort(Protocol protocol) {
  switch (protocol) {
    case drover::v1::Profile::PROTOCOL_MONGO:
      return 27017;
    case drover::v1::Profile::PROTOCOL_MYSQL:
      return 3306;
    case drover::v1::Profile::PROTOCOL_NFS:
      return 2049;
    case drover::v1::Profile::PROTOCOL_RABBITMQ:
      return 5672;
    case drover::v1::Profile::PROTOCOL_REDIS:
      return 6379;
    case drover::v1::Profile::PROTOCOL_HTTP:
      return 80;
    default:
      return 0;
  }
}

absl::string_view NameOf(Protocol protocol) {
  switch (protocol) {
    case drover::v1::Profile::PROTOCOL_MONGO:
      return "MongoDB";
    case drover::v1::Profile::PROTOCOL_MYSQL:
      return "MySQL";
    case drover::v1::Profile::PROTOCOL_NFS:
      return "NFS";
    case drover::v1::Profile::PROTOCOL_RABBITMQ:
      return "RabbitMQ";
    case drover::v1::Profile::PROTOCOL_REDIS:
      return "Redis";
    case drover::v1::Profile::PROTOCOL_HTTP:
      return "HTTP";
    default:
      return "TCP";
  }
}

std::string RequestOf(const Dialogue& dialogue) {
  switch (dialogue.kind) {
    case Kind::kMongo:
      return MongoHello();
    case Kind::kPortmap:
      return RpcCall(kPortmapProgram, kPortmapVersion, kGetPort, GetPortArguments());
    case Kind::kNfs:
      return RpcCall(kNfsProgram, static_cast<uint32_t>(dialogue.version), 0, "");
    case Kind::kRabbitmq:
      return std::string(kAmqpHeader);
    case Kind::kRedis:
      return "PING\r\n";
    case Kind::kHttp:
      return absl::StrCat(
          "GET / HTTP/1.1\r\nHost: ", dialogue.host,
          "\r\nUser-Agent: drover-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    case Kind::kMysql:
    case Kind::kTcp:
      break;
  }
  return "";
}

std::optional<Answer> JudgeAnswer(const Dialogue& dialogue, absl::string_view received,
                                  bool ended) {
  std::optional<Answer> answer = Judge(dialogue, received, ended);
  if (!answer.has_value() && received.size() > kLongest) answer = Wrong("the answer has no end");
  if (!answer.has_value() && ended) {
    answer = Wrong(received.empty() ? "it closed the connection without an answer"
                                    : "it closed the connection in the middle of its answer");
  }
  return answer;
}

}  // namespace drover::agent
