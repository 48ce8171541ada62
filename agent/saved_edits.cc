#include "agent/saved_edits.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "agent/durable_file.h"
#include "proto/support/log.h"

namespace drover::agent {
namespace {

constexpr char kTimeFormat[] = "%Y%m%dT%H%M%E3S";
// What reads years and fractions takes as many digits as there are, if not told otherwise.
constexpr char kTimeRead[] = "%E4Y%m%dT%H%M%E*S";
constexpr size_t kNewestKept = 10;
constexpr absl::Duration kYoungestRemoved = absl::Hours(24 * 30);

std::vector<std::string> EntriesOf(const std::string& folder) {
  std::vector<std::string> names;
  DIR* entries = opendir(folder.c_str());
  if (entries == nullptr) return names;
  while (const dirent* entry = readdir(entries)) {
    const absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  closedir(entries);
  return names;
}

bool ParseTimeOf(absl::string_view folder, absl::string_view id, absl::Time* time) {
  if (!absl::ConsumePrefix(&folder, id) || !absl::ConsumePrefix(&folder, "-")) return false;
  // Of "app", not of "app-2".
  return !absl::StrContains(folder, "-") &&
         absl::ParseTime(kTimeRead, folder, absl::UTCTimeZone(), time, nullptr);
}

void RemoveFolder(const std::string& folder) {
  for (const std::string& name : EntriesOf(folder)) {
    unlink(absl::StrCat(folder, "/", name).c_str());
  }
  if (rmdir(folder.c_str()) != 0) LogError(FileError(folder, "remove").message());
}

}  // namespace

std::string SavedEditsFolder(absl::string_view directory, absl::string_view id, absl::Time now) {
  return absl::StrCat(directory, "/", id, "-",
                      absl::FormatTime(kTimeFormat, now, absl::UTCTimeZone()));
}

absl::Status WriteNames(const std::string& path, const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) absl::StrAppend(&text, name, absl::string_view("\0", 1));
  return WriteWholeFile(path, text);
}

absl::StatusOr<std::vector<std::string>> ReadNames(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadWholeFile(path);
  if (!text.ok()) return text.status();
  return std::vector<std::string>(absl::StrSplit(*text, '\0', absl::SkipEmpty()));
}

void PruneSavedEdits(const std::string& directory, absl::string_view id, absl::Time now) {
  std::vector<std::string> folders;
  absl::Time time;
  for (const std::string& name : EntriesOf(directory)) {
    if (ParseTimeOf(name, id, &time)) folders.push_back(name);
  }
  // Their names sort by time.
  std::sort(folders.begin(), folders.end(), std::greater<>());
  for (size_t i = kNewestKept; i < folders.size(); ++i) {
    if (ParseTimeOf(folders[i], id, &time) && now - time > kYoungestRemoved) {
      RemoveFolder(absl::StrCat(directory, "/", folders[i]));
    }
  }
}

}  // namespace drover::agent
