#include "agent/svn_run.h"

#include <dirent.h>
#include <limits.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/durable_file.h"
#include "agent/process_watch.h"
#include "agent/svn_text.h"
#include "openssl/crypto.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

constexpr size_t kLongestResult = 4 << 20;
constexpr absl::Duration kTellEvery = absl::Milliseconds(500);
constexpr char kMark[] = "DROVER_RUN=";

std::string ProgramPath(const std::string& name) {
  for (const char* folder : {"/usr/bin/", "/usr/local/bin/", "/bin/", "/opt/subversion/bin/"}) {
    const std::string path = folder + name;
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return "/usr/bin/" + name;
}

// "" where he has no account, or is this process's own.
std::string OwnerOf(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0 || info.st_uid == geteuid()) return "";
  const passwd* entry = getpwuid(info.st_uid);
  return entry == nullptr ? "" : entry->pw_name;
}

std::string Contents(const OutputFile& file, off_t from, size_t limit) {
  struct stat info;
  if (fstat(file.fd(), &info) != 0 || info.st_size <= from) return "";
  std::string text(std::min<size_t>(limit, info.st_size - from), '\0');
  const ssize_t count = pread(file.fd(), text.data(), text.size(), from);
  text.resize(std::max<ssize_t>(count, 0));
  return text;
}

}  // namespace

absl::Status SvnRun::Result::ToStatus(absl::string_view what) const {
  if (ok()) return absl::OkStatus();
  if (exit.code == 127) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "SVN_MISSING",
                     absl::StrCat(what, ": this machine has no svn; install subversion"));
  }
  return SvnError(what, errors, exit.ToString());
}

SvnRun::~SvnRun() {
  *alive_ = false;
  loop_->CancelTimer(tell_);
}

void SvnRun::Svn(const v1::SvnWorkingCopy& working_copy, std::vector<std::string> arguments,
                 bool login, Then then, OnOutput on_output, int to_fd) {
  Program program;
  program.argv = {ProgramPath("svn"), "--non-interactive"};
  for (std::string& argument : arguments) program.argv.push_back(std::move(argument));
  if (login && !working_copy.user().empty()) {
    program.argv.push_back("--no-auth-cache");
    program.argv.push_back(absl::StrCat("--username=", working_copy.user()));
    program.argv.push_back("--password-from-stdin");
    // svn reads one line.
    program.input = absl::StrCat(working_copy.password(), "\n");
  }
  program.run_as = OwnerOf(working_copy.path());
  Start(std::move(program), std::move(then), std::move(on_output), to_fd);
}

void SvnRun::Other(const v1::SvnWorkingCopy& working_copy, std::vector<std::string> argv,
                   bool as_owner, Then then) {
  Program program;
  program.argv = std::move(argv);
  program.argv[0] = ProgramPath(program.argv[0]);
  if (as_owner) program.run_as = OwnerOf(working_copy.path());
  Start(std::move(program), std::move(then), nullptr, -1);
}

void SvnRun::Start(Program program, Then then, OnOutput on_output, int to_fd) {
  then_ = std::move(then);
  on_output_ = std::move(on_output);
  told_ = 0;
  auto output = OutputFile::InMemory();
  auto errors = OutputFile::InMemory();
  absl::Status started = output.ok() ? errors.status() : output.status();
  if (started.ok()) {
    output_ = *std::move(output);
    errors_ = *std::move(errors);
    program.output_fd = to_fd >= 0 ? to_fd : output_->fd();
    program.error_fd = errors_->fd();
    program.environment = {"LC_ALL=C.UTF-8", "LANG=C.UTF-8"};
    auto child = ChildProcess::Start(loop_, program, [this](ExitStatus exit) { Ended(exit); });
    started = child.status();
    if (child.ok()) child_ = *std::move(child);
  }
  OPENSSL_cleanse(program.input.data(), program.input.size());
  if (on_output_ != nullptr) TellOutputSoon();
  if (started.ok()) return;
  // Told from the loop, as the end of a program is.
  loop_->Post([this, started, alive = alive_] {
    if (!*alive || aborted_ || then_ == nullptr) return;
    Result result;
    result.exit.code = 126;
    result.errors = std::string(started.message());
    std::exchange(then_, nullptr)(std::move(result));
  });
}

void SvnRun::Ended(ExitStatus exit) {
  loop_->CancelTimer(std::exchange(tell_, 0));
  if (aborted_) return;
  TellOutput();
  Result result;
  result.exit = exit;
  result.output = Contents(*output_, 0, kLongestResult);
  result.errors = Contents(*errors_, 0, kLongestResult);
  // May begin the next.
  if (auto then = std::exchange(then_, nullptr)) then(std::move(result));
}

void SvnRun::TellOutput() {
  if (on_output_ == nullptr) return;
  const std::string more = Contents(*output_, told_, kLongestResult);
  told_ += static_cast<off_t>(more.size());
  if (!more.empty()) on_output_(more);
}

void SvnRun::TellOutputSoon() {
  tell_ = loop_->RunAfter(kTellEvery, [this] {
    TellOutput();
    TellOutputSoon();
  });
}

void SvnRun::Abort(std::function<void(absl::Status)> ended) {
  aborted_ = true;
  loop_->CancelTimer(std::exchange(tell_, 0));
  if (child_ == nullptr) return ended(absl::OkStatus());
  KillTree(loop_, child_->running() ? child_->pid() : 0, child_->mark(), std::move(ended));
}

SvnHolder FindHolder(const std::string& root) {
  SvnHolder holder;
  const std::string below = absl::StrCat(root, "/");
  ForEachPid([&](pid_t pid) {
    const std::string folder = absl::StrCat("/proc/", pid, "/fd");
    DIR* entries = opendir(folder.c_str());
    if (entries == nullptr) return true;
    while (const dirent* entry = readdir(entries)) {
      char target[PATH_MAX];
      const std::string link = absl::StrCat(folder, "/", entry->d_name);
      const ssize_t length = readlink(link.c_str(), target, sizeof(target));
      const absl::string_view path(target, std::max<ssize_t>(length, 0));
      if (!absl::StartsWith(path, below) || !absl::EndsWith(path, "/.svn/wc.db")) continue;
      holder.pid = pid;
      break;
    }
    closedir(entries);
    if (holder.pid == 0) return true;
    const auto environment = ReadWholeFile(absl::StrCat("/proc/", pid, "/environ"));
    if (!environment.ok()) return false;
    for (absl::string_view entry : absl::StrSplit(*environment, '\0')) {
      if (absl::StartsWith(entry, kMark)) holder.mark = std::string(entry);
    }
    return false;
  });
  return holder;
}

}  // namespace drover::agent
