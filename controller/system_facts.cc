#include "controller/system_facts.h"

#include <sys/statvfs.h>
#include <sys/timex.h>

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace drover {

absl::StatusOr<core::DiskFacts> DiskOf(const std::string& directory) {
  struct statvfs disk {};
  if (statvfs(directory.c_str(), &disk) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot look at ", directory));
  }
  core::DiskFacts facts;
  facts.directory = directory;
  facts.bytes = static_cast<int64_t>(disk.f_blocks) * static_cast<int64_t>(disk.f_frsize);
  facts.free_bytes = static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
  facts.files = static_cast<int64_t>(disk.f_files);
  facts.free_files = static_cast<int64_t>(disk.f_favail);
  return facts;
}

std::optional<bool> ClockIsSynchronised() {
  struct timex kernel {};
  const int state = adjtimex(&kernel);
  if (state < 0) return std::nullopt;
  return state != TIME_ERROR && (kernel.status & STA_UNSYNC) == 0;
}

}  // namespace drover
