#include "cli/bundle.h"

#include <zlib.h>

#include <cstdint>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace drover::cli {
namespace {

constexpr size_t kBlock = 512;
constexpr absl::string_view kRemoved = "[removed]";

// Header of ustar, POSIX.1-1988.
struct UstarHeader {
  char name[100];
  char mode[8];
  char uid[8];
  char gid[8];
  char size[12];
  char mtime[12];
  char checksum[8];
  char type;
  char link[100];
  char magic[6];
  char version[2];
  char rest[247];
};
static_assert(sizeof(UstarHeader) == kBlock);

template <size_t kSize>
void PutOctal(char (&field)[kSize], uint64_t value) {
  const std::string digits = absl::StrFormat("%0*o", static_cast<int>(kSize - 1), value);
  memcpy(field, digits.data(), kSize - 1);
}

// Ends of words whose values are secrets: "db_password", "newPassword".
constexpr absl::string_view kSecretWords[] = {"password",    "passwd", "passphrase", "secret",
                                              "token",       "apikey", "api_key",    "private_key",
                                              "credentials", "cookie"};

bool IsWordByte(char c) { return absl::ascii_isalnum(c) || c == '_' || c == '-'; }

// The length of a value that begins here, quoted or not; 0 for what cannot be a secret. `skip` is
// what stays before it.
size_t ValueAt(absl::string_view text, size_t* skip) {
  *skip = 0;
  for (const absl::string_view quote : {"\\\"", "\"", "'"}) {
    if (!absl::StartsWith(text, quote)) continue;
    *skip = quote.size();
    size_t end = quote.size();
    while (end < text.size() && text[end] != '\n' && !absl::StartsWith(text.substr(end), quote)) {
      // An escaped quote ends only what an escaped quote has begun.
      end += text[end] == '\\' && quote.size() == 1 ? 2 : 1;
    }
    return std::min(end, text.size()) - quote.size();
  }
  const size_t end = std::min(text.find_first_of(" \t\r\n,;}])\"'\\"), text.size());
  const absl::string_view value = text.substr(0, end);
  return value == "true" || value == "false" || value == "null" ? 0 : end;
}

// "password = x", "password":"x", "--token x" has none: only what is assigned.
std::string RedactAssignments(absl::string_view text) {
  std::string out;
  const std::string lower = absl::AsciiStrToLower(text);
  size_t at = 0;
  while (at < text.size()) {
    size_t after = 0;
    for (const absl::string_view word : kSecretWords) {
      if (absl::StartsWith(absl::string_view(lower).substr(at), word)) after = at + word.size();
    }
    if (after == 0 || (after < text.size() && IsWordByte(text[after]))) {
      out += text[at++];
      continue;
    }
    while (after < text.size() && absl::StrContains("\\\"' \t", text[after])) ++after;
    if (after == text.size() || (text[after] != '=' && text[after] != ':')) {
      out += text[at++];
      continue;
    }
    ++after;
    while (after < text.size() && (text[after] == ' ' || text[after] == '\t')) ++after;
    size_t skip = 0;
    const size_t length = ValueAt(text.substr(after), &skip);
    absl::StrAppend(&out, text.substr(at, after + skip - at));
    at = after + skip + length;
    if (length > 0) absl::StrAppend(&out, kRemoved);
  }
  return out;
}

// What stands between `begin` and the first byte of `ends`.
std::string RedactAfter(std::string text, absl::string_view begin, absl::string_view ends) {
  size_t at = 0;
  while ((at = text.find(begin.data(), at, begin.size())) != std::string::npos) {
    at += begin.size();
    const size_t end = std::min(text.find_first_of(ends.data(), at, ends.size()), text.size());
    if (end > at) text.replace(at, end - at, kRemoved.data(), kRemoved.size());
  }
  return text;
}

// "https://user:password@host".
std::string RedactUrls(std::string text) {
  size_t at = 0;
  while ((at = text.find("://", at)) != std::string::npos) {
    at += 3;
    const size_t end = std::min(text.find_first_of("/ \t\r\n\"'<>\\", at), text.size());
    const size_t sign = text.rfind('@', end);
    if (sign == std::string::npos || sign < at || sign >= end) continue;
    const size_t colon = text.find(':', at);
    if (colon < sign) text.replace(colon + 1, sign - colon - 1, kRemoved.data(), kRemoved.size());
  }
  return text;
}

// PEM, also with its line ends written as JSON does.
std::string RedactKeys(std::string text) {
  size_t at = 0;
  while ((at = text.find("PRIVATE KEY-----", at)) != std::string::npos) {
    at += strlen("PRIVATE KEY-----");
    const size_t end = std::min(text.find("-----END", at), text.size());
    text.replace(at, end - at, kRemoved.data(), kRemoved.size());
    const size_t next = text.find("PRIVATE KEY-----", at);
    at = next == std::string::npos ? text.size() : next + strlen("PRIVATE KEY-----");
  }
  return text;
}

}  // namespace

void TarGz::Add(absl::string_view name, absl::string_view contents) {
  UstarHeader header;
  memset(&header, 0, sizeof(header));
  memcpy(header.name, name.data(), std::min(name.size(), sizeof(header.name) - 1));
  PutOctal(header.mode, 0600);
  PutOctal(header.uid, 0);
  PutOctal(header.gid, 0);
  PutOctal(header.size, contents.size());
  PutOctal(header.mtime, static_cast<uint64_t>(absl::ToUnixSeconds(time_)));
  header.type = '0';
  memcpy(header.magic, "ustar", 6);
  memcpy(header.version, "00", 2);
  memset(header.checksum, ' ', sizeof(header.checksum));
  unsigned sum = 0;
  for (const unsigned char byte : std::string(reinterpret_cast<char*>(&header), sizeof(header))) {
    sum += byte;
  }
  const std::string digits = absl::StrFormat("%06o", sum);
  memcpy(header.checksum, digits.data(), digits.size());
  header.checksum[6] = '\0';
  tar_.append(reinterpret_cast<const char*>(&header), sizeof(header));
  tar_.append(contents.data(), contents.size());
  tar_.append((kBlock - contents.size() % kBlock) % kBlock, '\0');
}

absl::StatusOr<std::string> TarGz::Finish() {
  tar_.append(2 * kBlock, '\0');
  z_stream stream;
  memset(&stream, 0, sizeof(stream));
  // 16 more than the window: gzip's own header.
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + 16, 8,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    return absl::InternalError("no memory to compress with");
  }
  std::string packed(deflateBound(&stream, tar_.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(tar_.data());
  stream.avail_in = static_cast<uInt>(tar_.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const int result = deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) return absl::InternalError("the archive cannot be compressed");
  return packed;
}

std::string Redact(absl::string_view text, const std::vector<std::string>& secrets) {
  std::string out(text);
  for (const std::string& secret : secrets) {
    if (!secret.empty()) absl::StrReplaceAll({{secret, kRemoved}}, &out);
  }
  out = RedactKeys(std::move(out));
  out = RedactAfter(std::move(out), "Bearer ", " \t\r\n\"'\\,;");
  out = RedactUrls(std::move(out));
  return RedactAssignments(out);
}

}  // namespace drover::cli
