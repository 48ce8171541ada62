#include "agent/working_copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/durable_file.h"
#include "agent/saved_edits.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

using drover::v1::RolloutSpec;

// Edits that are named in a message.
constexpr size_t kEditsNamed = 10;
// A state holds no more edits than this; a longer list ends with how many there are.
constexpr size_t kEditsTold = 500;
// Looks for another svn to come to its end, one a second.
constexpr int kWaits = 60;
constexpr absl::Duration kWaitStep = absl::Seconds(1);

absl::Status Refuse(absl::string_view reason, absl::string_view message) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason, message);
}

std::string Some(const std::vector<std::string>& edits) {
  std::vector<std::string> named(edits.begin(),
                                 edits.begin() + std::min(edits.size(), kEditsNamed));
  std::string text = absl::StrJoin(named, ", ");
  if (edits.size() > kEditsNamed)
    absl::StrAppend(&text, " and ", edits.size() - kEditsNamed, " more");
  return text;
}

bool IsThere(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

std::string Joined(const std::string& root, const std::string& below) {
  return below == "." ? root : absl::StrCat(root, "/", below);
}

}  // namespace

// ---------------------------------------------------------------- looking

void WorkingCopyLook::Begin(Questions questions, Then then) {
  questions_ = std::move(questions);
  then_ = std::move(then);
  seen_ = {};
  seen_.state.set_id(copy_.id());
  seen_.state.set_path(copy_.path());
  seen_.state.set_previous_revision(surroundings_->memory->Previous(copy_.path()));
  if (!IsThere(copy_.path())) {
    // Told from the loop, as everything else is.
    surroundings_->loop->Post([this, alive = std::weak_ptr<bool>(alive_)] {
      if (alive.expired()) return;
      End(Refuse("WORKING_COPY_MISSING", absl::StrCat("there is no ", copy_.path())));
    });
    return;
  }
  if (questions_.known_url.empty()) return ReadInfo([this] { ReadStatus(); });
  seen_.state.set_url(questions_.known_url);
  ReadStatus();
}

void WorkingCopyLook::ReadInfo(std::function<void()> next) {
  run_->Svn(copy_, {"info", copy_.path()}, false,
            [this, next = std::move(next)](SvnRun::Result result) {
              if (!result.ok()) return End(result.ToStatus(copy_.path()));
              const SvnInfo info = ParseSvnInfo(result.output);
              seen_.state.set_url(info.url);
              seen_.state.set_revision(info.revision);
              next();
            });
}

void WorkingCopyLook::ReadStatus() {
  run_->Svn(copy_, {"status", copy_.path()}, false, [this](SvnRun::Result result) {
    if (!result.ok()) return End(result.ToStatus(copy_.path()));
    seen_.svn = ParseSvnStatus(result.output, copy_.path());
    for (const std::string& edit : seen_.svn.edits) {
      if (static_cast<size_t>(seen_.state.local_edits_size()) == kEditsTold) {
        seen_.state.add_local_edits(
            absl::StrCat("... and ", seen_.svn.edits.size() - kEditsTold, " more"));
        break;
      }
      seen_.state.add_local_edits(edit);
    }
    seen_.state.set_locked(seen_.svn.locked);
    const bool there = seen_.state.revision() == questions_.whole_at;
    if (there || !questions_.known_url.empty()) return ReadVersion();
    Conclude();
  });
}

void WorkingCopyLook::ReadVersion() {
  run_->Other(copy_, {"svnversion", copy_.path()}, true, [this](SvnRun::Result result) {
    if (!result.ok()) return End(result.ToStatus(copy_.path()));
    seen_.whole_revision = ParseSvnVersion(result.output);
    // A mixed one has a revision of its folder all the same.
    if (seen_.whole_revision == 0) return ReadInfo([this] { Conclude(); });
    seen_.state.set_revision(seen_.whole_revision);
    Conclude();
  });
}

void WorkingCopyLook::Conclude() {
  if (!copy_.url().empty() && !SameUrl(copy_.url(), seen_.state.url())) {
    return End(Refuse(
        "WORKING_COPY_SWITCHED",
        absl::StrCat(copy_.path(), " comes from ", seen_.state.url(), ", not from ", copy_.url())));
  }
  if (!seen_.svn.switched.empty()) {
    return End(Refuse("WORKING_COPY_SWITCHED",
                      absl::StrCat("parts of ", copy_.path(),
                                   " were switched to another place: ", Some(seen_.svn.switched))));
  }
  if (seen_.svn.externals.empty()) return End(absl::OkStatus());
  ReadExternals();
}

void WorkingCopyLook::ReadExternals() {
  run_->Svn(copy_, {"propget", "svn:externals", "--recursive", "--verbose", copy_.path()}, false,
            [this](SvnRun::Result result) {
              if (!result.ok()) return End(result.ToStatus(copy_.path()));
              CheckExternals(ParseSvnExternals(result.output, copy_.path()));
            });
}

void WorkingCopyLook::CheckExternals(std::vector<PinnedExternal> externals) {
  if (externals.empty()) return End(absl::OkStatus());
  std::vector<std::string> arguments = {"info"};
  for (const PinnedExternal& external : externals) {
    arguments.push_back(Joined(copy_.path(), external.path));
  }
  run_->Svn(copy_, std::move(arguments), false,
            [this, externals = std::move(externals)](SvnRun::Result result) {
              // One block each; one that is not there has none, and svn's word counts for nothing
              // then.
              for (const PinnedExternal& external : externals) {
                int64_t revision = 0;
                for (absl::string_view block : absl::StrSplit(result.output, "\n\n")) {
                  // svn runs in "/" and tells paths from there.
                  const std::string path = Joined(copy_.path(), external.path).substr(1);
                  if (!absl::StartsWith(block, absl::StrCat("Path: ", path, "\n")) &&
                      !absl::StartsWith(block, absl::StrCat("Path: /", path, "\n"))) {
                    continue;
                  }
                  revision = ParseSvnInfo(block).revision;
                }
                if (revision != external.revision) {
                  seen_.state.add_externals(absl::StrCat(external.path, "@", external.revision));
                }
              }
              End(absl::OkStatus());
            });
}

void WorkingCopyLook::End(absl::Status status) {
  seen_.status = std::move(status);
  if (!seen_.status.ok()) seen_.state.set_problem(std::string(seen_.status.message()));
  auto then = std::exchange(then_, nullptr);
  then(std::move(seen_));
}

// ---------------------------------------------------------------- updating

WorkingCopyUpdate::WorkingCopyUpdate(const SvnSurroundings* surroundings,
                                     const v1::UpdateWorkingCopies::Target& target,
                                     RolloutSpec::LocalEdits local_edits, SvnRun::OnOutput output)
    : surroundings_(surroundings),
      copy_(target.working_copy()),
      revision_(target.revision()),
      local_edits_(local_edits),
      output_(std::move(output)),
      run_(surroundings->loop) {}

WorkingCopyUpdate::~WorkingCopyUpdate() {
  *alive_ = false;
  surroundings_->loop->CancelTimer(wait_);
}

void WorkingCopyUpdate::Begin(Then then) {
  then_ = std::move(then);
  EndOwn();
}

void WorkingCopyUpdate::Abort(std::function<void(absl::Status)> ended) {
  surroundings_->loop->CancelTimer(std::exchange(wait_, 0));
  then_ = nullptr;
  run_.Abort(std::move(ended));
}

SvnRun::Then WorkingCopyUpdate::Or(absl::string_view what, std::function<void()> next) {
  return [this, what = std::string(what), next = std::move(next)](SvnRun::Result result) {
    if (!result.ok()) return Fail(result.ToStatus(what));
    next();
  };
}

void WorkingCopyUpdate::Fail(const absl::Status& status) {
  seen_.state.set_problem(std::string(status.message()));
  End(status);
}

void WorkingCopyUpdate::End(const absl::Status& status) {
  if (auto then = std::exchange(then_, nullptr)) then(status, seen_.state);
}

void WorkingCopyUpdate::EndOwn() {
  const SvnHolder holder = FindHolder(copy_.path());
  if (holder.pid == 0 || holder.mark.empty()) {
    return LookFirst();
  }
  // An svn of an agent that ended in the middle goes on without anybody to hear of it.
  KillTree(surroundings_->loop, holder.pid, holder.mark,
           [this, alive = alive_](const absl::Status&) {
             if (*alive && then_ != nullptr) LookFirst();
           });
}

void WorkingCopyUpdate::Look(WorkingCopyLook::Questions questions, std::function<void()> then) {
  look_ = std::make_unique<WorkingCopyLook>(surroundings_, &run_, copy_);
  look_->Begin(std::move(questions), [this, then = std::move(then)](WorkingCopyLook::Seen seen) {
    seen_ = std::move(seen);
    if (!seen_.status.ok()) return Fail(seen_.status);
    then();
  });
}

void WorkingCopyUpdate::LookFirst() {
  Look({.whole_at = revision_}, [this] { Looked(); });
}

void WorkingCopyUpdate::Looked() {
  if (seen_.svn.locked) return ClearLock();
  if (std::string folder = surroundings_->memory->GoingBack(copy_.path()); !folder.empty()) {
    // The agent ended on the way back.
    return_ = std::make_unique<WorkingCopyReturn>(surroundings_->memory, &run_, copy_, folder);
    return return_->Resume(seen_.svn.externals, [this](const absl::Status& status) {
      if (!status.ok()) return Fail(status);
      if (absl::Status noted = surroundings_->memory->Back(copy_.path()); !noted.ok()) {
        return Fail(noted);
      }
      LookFirst();
    });
  }
  const bool there = seen_.state.revision() == revision_ && seen_.whole_revision == revision_ &&
                     !seen_.svn.incomplete && seen_.svn.externals.empty() &&
                     seen_.svn.conflicts.empty();
  const bool refused = !seen_.svn.edits.empty() && local_edits_ != RolloutSpec::LOCAL_EDITS_MERGE;
  if (there && !refused) {
    if (absl::Status ended = surroundings_->memory->End(copy_.path()); !ended.ok()) {
      return Fail(ended);
    }
    seen_.state.set_previous_revision(surroundings_->memory->Previous(copy_.path()));
    return End(absl::OkStatus());
  }
  TreatEdits();
}

void WorkingCopyUpdate::ClearLock() {
  const SvnHolder holder = FindHolder(copy_.path());
  if (holder.pid == 0) {
    if (++clears_ > 2) {
      return Fail(Refuse("WORKING_COPY_BUSY",
                         absl::StrCat(copy_.path(), " is locked, and svn cleanup does not help")));
    }
    return run_.Svn(copy_, {"cleanup", "--include-externals", copy_.path()}, false,
                    Or("svn cleanup", [this] { LookFirst(); }));
  }
  if (++waits_ > kWaits) {
    return Fail(Refuse("WORKING_COPY_BUSY",
                       absl::StrCat("process ", holder.pid, " works on ", copy_.path())));
  }
  wait_ = surroundings_->loop->RunAfter(kWaitStep, [this] { LookFirst(); });
}

void WorkingCopyUpdate::TreatEdits() {
  const std::vector<std::string>& edits = seen_.svn.edits;
  if (edits.empty()) return Update();
  switch (local_edits_) {
    case RolloutSpec::LOCAL_EDITS_MERGE:
      if (!seen_.svn.conflicts.empty()) {
        return Fail(Refuse("CONFLICT", absl::StrCat("conflicts that nobody has solved: ",
                                                    Some(seen_.svn.conflicts))));
      }
      return TryMerge();
    case RolloutSpec::LOCAL_EDITS_SAVE_AND_REVERT:
      return SaveEdits([this] { Revert(); });
    default:
      return Fail(Refuse("LOCAL_EDITS", absl::StrCat("edited in place: ", Some(edits))));
  }
}

// Without touching anything: an edit that would not survive is found before it is in danger.
void WorkingCopyUpdate::TryMerge() {
  if (surroundings_->memory->Interrupted(copy_.path())) {
    // Parts are missing or at other revisions, and a dry run takes each of them for a conflict.
    return SaveEdits([this] { Update(); });
  }
  run_.Svn(copy_,
           {"merge", "--dry-run", "--accept=postpone", "--allow-mixed-revisions",
            absl::StrCat("--revision=", seen_.state.revision(), ":", revision_), copy_.path(),
            copy_.path()},
           true, [this](SvnRun::Result result) {
             if (!result.ok()) return Fail(result.ToStatus("trying the merge"));
             if (absl::StrContains(result.output, "Summary of conflicts")) {
               return Fail(Refuse(
                   "CONFLICT",
                   absl::StrCat("local edits and the revisions between ", seen_.state.revision(),
                                " and ", revision_, " change the same: ", Some(seen_.svn.edits))));
             }
             SaveEdits([this] { Update(); });
           });
}

void WorkingCopyUpdate::SaveEdits(std::function<void()> then) {
  const std::string folder = SavedEditsFolder(surroundings_->saved_edits_directory, copy_.id(),
                                              surroundings_->loop->clock().Now());
  if (absl::Status made = MakeDirectory(folder); !made.ok()) return Fail(made);
  if (absl::Status wrote = WriteNames(folder + "/edits", seen_.svn.edits); !wrote.ok()) {
    return Fail(wrote);
  }
  const std::string patch = folder + "/edits.patch";
  patch_.reset(open(patch.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!patch_.valid()) return Fail(FileError(patch, "open"));
  std::vector<std::string> arguments = {"diff", "--force"};
  for (std::string& path : WithExternals()) arguments.push_back(std::move(path));
  run_.Svn(
      copy_, std::move(arguments), false,
      Or("saving local edits", [this, folder, then = std::move(then)] { SaveFiles(folder, then); }),
      nullptr, patch_.get());
}

// The files whole, too: a patch does not hold everything.
void WorkingCopyUpdate::SaveFiles(const std::string& folder, std::function<void()> then) {
  patch_.reset();
  std::vector<std::string> there;
  for (const std::string& path : seen_.svn.edited_paths) {
    // Deleted ones are in the repository.
    if (IsThere(Joined(copy_.path(), path))) there.push_back(path);
  }
  const std::string list_path = folder + "/files";
  if (absl::Status wrote = WriteNames(list_path, there); !wrote.ok()) return Fail(wrote);
  const std::string archive = folder + "/files.tar";
  run_.Other(copy_,
             {"tar", "--create", "--file", archive, "--directory", copy_.path(), "--no-recursion",
              "--null", "--files-from", list_path},
             false, Or("saving local edits", [this, folder, archive, then = std::move(then)] {
               for (const std::string& path : {archive, folder + "/edits.patch", folder}) {
                 if (absl::Status synced = SyncPath(path); !synced.ok()) return Fail(synced);
               }
               saved_ = folder;
               PruneSavedEdits(surroundings_->saved_edits_directory, copy_.id(),
                               surroundings_->loop->clock().Now());
               output_(absl::StrCat("local edits are saved in ", folder, "\n"));
               then();
             }));
}

std::vector<std::string> WorkingCopyUpdate::WithExternals() const {
  std::vector<std::string> paths = {copy_.path()};
  for (const std::string& external : seen_.svn.externals) {
    paths.push_back(Joined(copy_.path(), external));
  }
  return paths;
}

void WorkingCopyUpdate::Revert() {
  std::vector<std::string> arguments = {"revert", "--quiet", "--recursive", "--remove-added"};
  for (std::string& path : WithExternals()) arguments.push_back(std::move(path));
  run_.Svn(copy_, std::move(arguments), false, Or("svn revert", [this] { Update(); }));
}

void WorkingCopyUpdate::Update() {
  const absl::Status begun =
      surroundings_->memory->Begin(copy_.path(), seen_.state.revision(), revision_);
  if (!begun.ok()) return Fail(begun);
  run_.Svn(copy_,
           {"update", "--accept=postpone", absl::StrCat("--revision=", revision_), copy_.path()},
           true,
           Or("svn update",
              [this] {
                Look({.whole_at = revision_, .known_url = seen_.state.url()}, [this] { Verify(); });
              }),
           output_);
}

void WorkingCopyUpdate::Verify() {
  const std::string path = copy_.path();
  if (!seen_.svn.conflicts.empty()) return GoBack();
  if (seen_.state.revision() != revision_ || seen_.whole_revision != revision_ ||
      seen_.svn.incomplete) {
    return Fail(Refuse("REVISION_NOT_REACHED",
                       absl::StrCat(path, " is at ", seen_.state.revision(),
                                    seen_.whole_revision == 0 ? ", not everywhere," : "",
                                    seen_.svn.incomplete ? " with parts missing," : "",
                                    " and not at ", revision_)));
  }
  if (seen_.state.externals_size() > 0) {
    return Fail(Refuse("REVISION_NOT_REACHED",
                       absl::StrCat("externals of ", path, " are not what they were asked for: ",
                                    absl::StrJoin(seen_.state.externals(), ", "))));
  }
  if (absl::Status ended = surroundings_->memory->End(path); !ended.ok()) return Fail(ended);
  seen_.state.set_previous_revision(surroundings_->memory->Previous(path));
  End(absl::OkStatus());
}

// Nobody who upgrades leaves conflicts for others to solve.
void WorkingCopyUpdate::GoBack() {
  if (saved_.empty()) {
    // Nothing was edited: an unversioned file is in the way.
    saved_ = SavedEditsFolder(surroundings_->saved_edits_directory, copy_.id(),
                              surroundings_->loop->clock().Now());
    absl::Status made = MakeDirectory(saved_);
    if (made.ok()) made = WriteNames(saved_ + "/edits", {});
    if (!made.ok()) return Fail(made);
  }
  const absl::StatusOr<std::vector<std::string>> edits = ReadNames(saved_ + "/edits");
  if (!edits.ok()) return Fail(edits.status());
  std::vector<std::string> in_the_way;
  for (const std::string& path : seen_.svn.conflicts) {
    const bool edited = std::any_of(edits->begin(), edits->end(),
                                    [&](absl::string_view edit) { return edit.substr(2) == path; });
    if (!edited && IsThere(Joined(copy_.path(), path))) in_the_way.push_back(path);
  }
  return_ = std::make_unique<WorkingCopyReturn>(surroundings_->memory, &run_, copy_, saved_);
  return_->Begin(in_the_way, seen_.svn.externals,
                 [this, conflicts = seen_.svn.conflicts](const absl::Status& status) {
                   if (!status.ok()) return Fail(status);
                   Look({}, [this, conflicts] { IsBack(conflicts); });
                 });
}

void WorkingCopyUpdate::IsBack(const std::vector<std::string>& conflicts) {
  std::vector<std::string> before = return_->edits();
  std::vector<std::string> now = seen_.svn.edits;
  std::sort(before.begin(), before.end());
  std::sort(now.begin(), now.end());
  // Those of properties are in the patch alone, which nothing puts back.
  const absl::StatusOr<std::string> patch = ReadWholeFile(saved_ + "/edits.patch");
  const bool properties = patch.ok() && absl::StrContains(*patch, "\nProperty changes on: ");
  const bool whole = now == before && !properties &&
                     seen_.state.revision() == surroundings_->memory->Previous(copy_.path());
  if (absl::Status noted = surroundings_->memory->Back(copy_.path()); !noted.ok()) {
    return Fail(noted);
  }
  seen_.state.set_previous_revision(surroundings_->memory->Previous(copy_.path()));
  Fail(Refuse("CONFLICT",
              absl::StrCat("conflicts in ", Some(conflicts), "; ", copy_.path(), " is back at ",
                           seen_.state.revision(),
                           whole ? " as it was"
                                 : absl::StrCat(", but its local edits are not all as they were: "
                                                "they are in ",
                                                saved_))));
}

}  // namespace drover::agent
