// A folder of its own for a test, mode 0700, removed with everything in it at the end.
//
// Thread promise: a value of one thread.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace drover::testing {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  // "<path>/<name>".
  std::string File(absl::string_view name) const;

 private:
  std::string path_;
};

std::string ReadFile(const std::string& path);
void WriteFile(const std::string& path, absl::string_view contents);
// Permission bits, e.g. 0600; -1 when it is not there.
int ModeOf(const std::string& path);
// The files below `directory` whose bytes contain `text`: for secrets that must not be anywhere.
std::string FilesContaining(const std::string& directory, absl::string_view text);

}  // namespace drover::testing
