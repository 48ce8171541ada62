// What svn prints, read: its text formats are stable between versions, and in the C locale the
// words are English. No library for XML is needed.
//
// Thread promise: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "drover/v1/upgrade.pb.h"

namespace drover::agent {

// `svn info` of one target.
struct SvnInfo {
  std::string url;
  // Of the folder that holds .svn; empty for a URL.
  std::string root_path;
  int64_t revision = 0;
  int64_t last_changed_revision = 0;
};
SvnInfo ParseSvnInfo(absl::string_view output);

// `svn status PATH`, externals included.
struct SvnStatus {
  // "M lib/x.py": svn's letter, a blank, the path below the working copy. Changes of properties
  // count as "M", conflicts of trees as "C".
  std::vector<std::string> edits;
  // The paths of `edits`.
  std::vector<std::string> edited_paths;
  std::vector<std::string> conflicts;
  // Paths below the working copy where externals are.
  std::vector<std::string> externals;
  // Parts that come from another place of the repository than their folder does.
  std::vector<std::string> switched;
  bool locked = false;
  // Something that should be there is not: an update did not come to its end, or files were
  // deleted.
  bool incomplete = false;
};
SvnStatus ParseSvnStatus(absl::string_view output, absl::string_view root);

// `svn log` as text: each entry tells how many lines its message has. Messages are cut at 4 KiB.
std::vector<drover::v1::RolloutPlan::LogMessage> ParseSvnLog(absl::string_view output);

// An external that is tied to a revision.
struct PinnedExternal {
  // Below the working copy.
  std::string path;
  int64_t revision = 0;
};
// `svn propget svn:externals --recursive --verbose ROOT`.
std::vector<PinnedExternal> ParseSvnExternals(absl::string_view output, absl::string_view root);

// "123" of a whole working copy at one revision, whatever flags follow; 0 for a mixed or partial
// one.
int64_t ParseSvnVersion(absl::string_view output);

// What svn's error output means, with the reasons of UpdateWorkingCopies and ReadRevisions. `what`
// begins the message.
absl::Status SvnError(absl::string_view what, absl::string_view error_output,
                      absl::string_view how_it_ended);

// Whether both name the same place of a repository.
bool SameUrl(absl::string_view a, absl::string_view b);

}  // namespace drover::agent
