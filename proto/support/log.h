// The programs' own log: one line per fact on standard error, with the priority systemd reads
// ("<6>..."). It is for whoever runs the program; what people did is in the platform log. Secrets
// never come here.
//
// Thread promise: every function may be called from any thread; lines are written whole.
#pragma once

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace drover {

enum class LogLevel { kError = 3, kWarning = 4, kInfo = 6, kDebug = 7 };

// Lines above this level are left out; kInfo at the start.
void SetLogLevel(LogLevel level);
void WriteLog(LogLevel level, absl::string_view text);

template <typename... Parts>
void LogError(const Parts&... parts) {
  WriteLog(LogLevel::kError, absl::StrCat(parts...));
}
template <typename... Parts>
void LogWarning(const Parts&... parts) {
  WriteLog(LogLevel::kWarning, absl::StrCat(parts...));
}
template <typename... Parts>
void LogInfo(const Parts&... parts) {
  WriteLog(LogLevel::kInfo, absl::StrCat(parts...));
}
template <typename... Parts>
void LogDebug(const Parts&... parts) {
  WriteLog(LogLevel::kDebug, absl::StrCat(parts...));
}

}  // namespace drover
