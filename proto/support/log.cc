#include "proto/support/log.h"

#include <unistd.h>

#include <atomic>
#include <string>

#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace drover {
namespace {

std::atomic<int> max_level{static_cast<int>(LogLevel::kInfo)};

}  // namespace

void SetLogLevel(LogLevel level) { max_level = static_cast<int>(level); }

void WriteLog(LogLevel level, absl::string_view text) {
  if (static_cast<int>(level) > max_level) return;
  const std::string line =
      absl::StrCat("<", static_cast<int>(level), ">",
                   absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone()), " ",
                   absl::StrReplaceAll(text, {{"\n", "\\n"}}), "\n");
  // One write keeps lines whole; a log that cannot be written has nobody to tell.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace drover
