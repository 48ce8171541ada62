#include "agent/working_copy_return.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/durable_file.h"
#include "agent/saved_edits.h"

namespace drover::agent {
namespace {

constexpr char kInTheWay[] = "in-the-way.tar";

// Without an "@" at its end, svn would take a part of the name for a revision.
std::string Target(const std::string& root, absl::string_view below) {
  const std::string path = below == "." ? root : absl::StrCat(root, "/", below);
  return absl::StrContains(path, "@") ? path + "@" : path;
}

}  // namespace

void WorkingCopyReturn::Prepare(const std::vector<std::string>& externals, Then then) {
  then_ = std::move(then);
  roots_ = {copy_.path()};
  for (const std::string& external : externals) roots_.push_back(Target(copy_.path(), external));
}

void WorkingCopyReturn::Begin(const std::vector<std::string>& in_the_way,
                              const std::vector<std::string>& externals, Then then) {
  Prepare(externals, std::move(then));
  if (in_the_way.empty()) return Note();
  const std::string archive = absl::StrCat(folder_, "/", kInTheWay);
  std::vector<std::string> argv = {"tar",         "--create",   "--file", archive,
                                   "--directory", copy_.path(), "--"};
  argv.insert(argv.end(), in_the_way.begin(), in_the_way.end());
  run_->Other(copy_, std::move(argv), false, [this, archive](SvnRun::Result result) {
    absl::Status kept = result.ToStatus("keeping what is in the way");
    if (kept.ok()) kept = SyncPath(archive);
    if (kept.ok()) kept = SyncPath(folder_);
    if (!kept.ok()) return End(kept);
    Note();
  });
}

// From here on, whoever begins anew goes back first.
void WorkingCopyReturn::Note() {
  if (absl::Status noted = memory_->GoBack(copy_.path(), folder_); !noted.ok()) return End(noted);
  Revert();
}

void WorkingCopyReturn::Resume(const std::vector<std::string>& externals, Then then) {
  Prepare(externals, std::move(then));
  Revert();
}

void WorkingCopyReturn::Run(std::vector<std::string> arguments, bool login,
                            std::function<void()> next) {
  run_->Svn(copy_, std::move(arguments), login,
            [this, next = std::move(next)](SvnRun::Result result) {
              if (!result.ok()) return End(result.ToStatus("going back"));
              next();
            });
}

void WorkingCopyReturn::Revert() {
  auto edits = ReadNames(folder_ + "/edits");
  if (!edits.ok()) return End(edits.status());
  edits_ = *std::move(edits);
  std::vector<std::string> arguments = {"revert", "--quiet", "--recursive", "--remove-added"};
  arguments.insert(arguments.end(), roots_.begin(), roots_.end());
  Run(std::move(arguments), false, [this] { Update(); });
}

void WorkingCopyReturn::Update() {
  Run({"update", "--quiet", "--accept=postpone",
       absl::StrCat("--revision=", memory_->Previous(copy_.path())), copy_.path()},
      true, [this] { Delete(); });
}

std::vector<std::string> WorkingCopyReturn::EditsWith(absl::string_view letters) const {
  std::vector<std::string> paths;
  for (const std::string& edit : edits_) {
    const absl::string_view text = edit;
    if (absl::StrContains(letters, text.substr(0, 1))) {
      paths.push_back(Target(copy_.path(), text.substr(2)));
    }
  }
  return paths;
}

void WorkingCopyReturn::Delete() {
  const std::vector<std::string> paths = EditsWith("DR");
  if (paths.empty()) return UnpackEdits();
  std::vector<std::string> arguments = {"delete", "--quiet", "--force"};
  arguments.insert(arguments.end(), paths.begin(), paths.end());
  Run(std::move(arguments), false, [this] { UnpackEdits(); });
}

void WorkingCopyReturn::UnpackEdits() {
  Unpack("files.tar", [this] { Add(); });
}

void WorkingCopyReturn::Add() {
  const std::vector<std::string> paths = EditsWith("AR");
  if (paths.empty()) return UnpackInTheWay();
  std::vector<std::string> arguments = {"add", "--quiet", "--force", "--depth=empty",
                                        "--no-auto-props"};
  arguments.insert(arguments.end(), paths.begin(), paths.end());
  Run(std::move(arguments), false, [this] { UnpackInTheWay(); });
}

void WorkingCopyReturn::UnpackInTheWay() {
  Unpack(kInTheWay, [this] { End(absl::OkStatus()); });
}

void WorkingCopyReturn::Unpack(const std::string& name, std::function<void()> next) {
  const std::string archive = absl::StrCat(folder_, "/", name);
  if (access(archive.c_str(), F_OK) != 0) return next();
  run_->Other(copy_,
              {"tar", "--extract", "--same-owner", "--preserve-permissions", "--file", archive,
               "--directory", copy_.path()},
              false, [this, next = std::move(next)](SvnRun::Result result) {
                if (!result.ok()) return End(result.ToStatus("unpacking local edits"));
                next();
              });
}

void WorkingCopyReturn::End(const absl::Status& status) {
  if (auto then = std::exchange(then_, nullptr)) then(status);
}

}  // namespace drover::agent
