// Small files that are there whole or not at all, and an append-only log of records that forgives a
// torn tail.
//
// Thread promise: the functions may be called from any thread; a RecordLog belongs to one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agent/unique_fd.h"
#include "google/protobuf/message_lite.h"

namespace drover::agent {

// "PATH: No such file or directory" for the errno of the call before.
absl::Status FileError(absl::string_view path, absl::string_view what);

// Makes `path` and its parents, mode 0700.
absl::Status MakeDirectory(const std::string& path);

// What is in this file or folder outlives a crash from now on.
absl::Status SyncPath(const std::string& path);

// NOT_FOUND when there is none.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path);

// Writes beside `path`, syncs, renames: after a crash it is the old file or the new one.
absl::Status WriteWholeFile(const std::string& path, absl::string_view contents, int mode = 0600);

absl::Status WriteMessage(const std::string& path, const google::protobuf::MessageLite& message);
// NOT_FOUND when there is no file, DATA_LOSS when it does not parse.
absl::Status ReadMessage(const std::string& path, google::protobuf::MessageLite& message);

// Records with length and checksum in one file. What Append reported done is there after a crash; a
// record that a crash cut short is cut off at the next Open, with everything behind it.
class RecordLog {
 public:
  // Opens or makes the file (0600) and calls `each` for every sound record in order.
  static absl::StatusOr<std::unique_ptr<RecordLog>> Open(
      const std::string& path, absl::FunctionRef<void(absl::string_view)> each);

  // Writes and syncs. After an error the log is as before.
  absl::Status Append(absl::string_view record);
  // Replaces all records at once.
  absl::Status Rewrite(const std::vector<std::string>& records);
  // Bytes in the file.
  int64_t size() const { return size_; }

 private:
  explicit RecordLog(std::string path) : path_(std::move(path)) {}

  const std::string path_;
  UniqueFd fd_;
  int64_t size_ = 0;
};

}  // namespace drover::agent
