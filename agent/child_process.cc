#include "agent/child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/durable_file.h"
#include "agent/process_watch.h"
#include "openssl/rand.h"
#include "proto/support/status.h"

extern char** environ;

namespace drover::agent {
namespace {

constexpr absl::string_view kMarkName = "DROVER_RUN=";

struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
  std::string home;
};

absl::StatusOr<Account> LookUp(const std::string& name) {
  const passwd* entry = getpwnam(name.c_str());
  if (entry == nullptr) {
    return absl::NotFoundError(absl::StrCat("run_as: there is no account \"", name, "\""));
  }
  Account account{entry->pw_uid, entry->pw_gid, {}, entry->pw_dir};
  int count = 64;
  account.groups.resize(count);
  if (getgrouplist(name.c_str(), account.gid, account.groups.data(), &count) < 0) {
    account.groups.resize(count);
    getgrouplist(name.c_str(), account.gid, account.groups.data(), &count);
  }
  account.groups.resize(count);
  return account;
}

// Everything the child needs, made before the fork: after it, only system calls are safe.
struct Prepared {
  std::vector<char*> argv;
  std::vector<char*> environment;
  int input_fd;
  int output_fd;
  int error_fd;
  bool switch_account;
  const Account* account;
};

// Raw calls where the library's would speak to the other threads of the agent, whose memory this
// child shares until exec.
[[noreturn]] void RunChild(const Prepared& prepared) {
  setsid();
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction standard = {};
    standard.sa_handler = SIG_DFL;
    sigaction(signal, &standard, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(prepared.input_fd, 0);
  dup2(prepared.output_fd, 1);
  dup2(prepared.error_fd, 2);
  syscall(SYS_close_range, 3u, ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC */);
  if (chdir("/") != 0) _exit(126);
  if (prepared.switch_account) {
    const Account& account = *prepared.account;
    if (syscall(SYS_setgroups, account.groups.size(), account.groups.data()) != 0 ||
        syscall(SYS_setgid, account.gid) != 0 || syscall(SYS_setuid, account.uid) != 0) {
      _exit(126);
    }
  }
  execve(prepared.argv[0], prepared.argv.data(), prepared.environment.data());
  _exit(127);
}

// In a function of its own: after vfork the parent's frame is the child's.
[[gnu::noinline]] pid_t Fork(const Prepared& prepared) {
  const pid_t pid = vfork();
  if (pid == 0) RunChild(prepared);
  return pid;
}

std::string NewMark() {
  unsigned char random[12];
  RAND_bytes(random, sizeof(random));
  return absl::StrCat(kMarkName, absl::BytesToHexString(absl::string_view(
                                     reinterpret_cast<char*>(random), sizeof(random))));
}

std::vector<std::string> Environment(const std::string& mark, const Account* account,
                                     const Program& program) {
  std::map<std::string, std::string> values = {
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
      {"HOME", "/root"},
      {"SHELL", "/bin/sh"},
      {"USER", "root"},
      {"LOGNAME", "root"}};
  for (const char* kept : {"LANG", "LC_ALL", "TZ", "PATH"}) {
    if (const char* value = getenv(kept)) values[kept] = value;
  }
  if (account != nullptr) {
    values["HOME"] = account->home;
    values["USER"] = values["LOGNAME"] = program.run_as;
  }
  for (const std::string& entry : program.environment) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(entry, absl::MaxSplits('=', 1));
    values[pair.first] = pair.second;
  }
  std::vector<std::string> environment = {mark};
  for (const auto& [name, value] : values) environment.push_back(absl::StrCat(name, "=", value));
  return environment;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

absl::StatusOr<UniqueFd> InputFor(const std::string& input) {
  if (input.empty()) return UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC));
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return FileError("pipe", "make");
  UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  // The program reads it like any other pipe; only this side never waits.
  fcntl(reading.get(), F_SETFL, 0);
  if (write(writing.get(), input.data(), input.size()) != static_cast<ssize_t>(input.size())) {
    return absl::InvalidArgumentError("input does not fit into a pipe");
  }
  return reading;
}

// Waits for a child nobody asks about any more, so that it does not stay a zombie.
void ReapLater(EventLoop* loop, pid_t pid, std::shared_ptr<UniqueFd> pidfd) {
  auto ended = [pid] {
    siginfo_t info = {};
    return waitid(P_PID, pid, &info, WEXITED | WNOHANG) != 0 || info.si_pid != 0;
  };
  if (!pidfd->valid()) {
    loop->RunAfter(absl::Seconds(1), [=] {
      if (!ended()) ReapLater(loop, pid, pidfd);
    });
    return;
  }
  loop->WatchReadable(pidfd->get(), [=] {
    if (ended()) loop->Unwatch(pidfd->get());
  });
}

bool HasMark(pid_t pid, absl::string_view mark) {
  auto environment = ReadWholeFile(absl::StrCat("/proc/", pid, "/environ"));
  if (!environment.ok()) return false;
  for (absl::string_view entry : absl::StrSplit(*environment, '\0')) {
    if (entry == mark) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<OutputFile> OutputFile::InMemory() {
  const int fd = memfd_create("drover-output", MFD_CLOEXEC);
  if (fd < 0) return FileError("memory file", "make");
  fcntl(fd, F_SETFL, O_APPEND);
  return OutputFile(fd);
}

absl::StatusOr<OutputFile> OutputFile::At(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return FileError(path, "open");
  return OutputFile(fd);
}

void OutputFile::Clear() {
  if (ftruncate(fd_.get(), 0) == 0) truncated_ = false;
}

void OutputFile::Trim() {
  struct stat info;
  if (fstat(fd_.get(), &info) != 0 || info.st_size <= static_cast<off_t>(2 * kKept)) return;
  const std::string kept = Tail(kKept);
  // Writers append, so they go on behind what is put back.
  if (ftruncate(fd_.get(), 0) != 0) return;
  truncated_ = true;
  // A full disk loses the output, not the service.
  if (write(fd_.get(), kept.data(), kept.size()) < 0) return;
}

std::string OutputFile::Tail(size_t limit) const {
  struct stat info;
  if (fstat(fd_.get(), &info) != 0) return "";
  const off_t from = std::max<off_t>(0, info.st_size - static_cast<off_t>(limit));
  std::string text(std::min<size_t>(limit, info.st_size), '\0');
  const ssize_t count = pread(fd_.get(), text.data(), text.size(), from);
  text.resize(std::max<ssize_t>(count, 0));
  return text;
}

std::vector<std::string> ShellCommand(absl::string_view command) {
  return {"/bin/sh", "-c", std::string(command)};
}

std::string ExitStatus::ToString() const {
  return signal != 0 ? absl::StrCat("signal ", signal) : absl::StrCat("exit code ", code);
}

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    EventLoop* loop, const Program& program, std::function<void(ExitStatus)> exited) {
  Account account;
  if (!program.run_as.empty()) {
    DROVER_ASSIGN_OR_RETURN(account, LookUp(program.run_as));
  }
  std::unique_ptr<ChildProcess> child(new ChildProcess(loop, std::move(exited)));
  child->mark_ = NewMark();
  DROVER_ASSIGN_OR_RETURN(const UniqueFd input, InputFor(program.input));
  const UniqueFd nowhere(open("/dev/null", O_RDWR | O_CLOEXEC));
  const std::vector<std::string> environment =
      Environment(child->mark_, program.run_as.empty() ? nullptr : &account, program);
  const int output = program.output_fd >= 0 ? program.output_fd : nowhere.get();
  const Prepared prepared = {Pointers(program.argv),
                             Pointers(environment),
                             input.get(),
                             output,
                             program.error_fd >= 0 ? program.error_fd : output,
                             !program.run_as.empty() && account.uid != geteuid(),
                             &account};
  child->pid_ = Fork(prepared);
  if (child->pid_ < 0) return FileError(program.argv[0], "start");
  child->pidfd_.reset(syscall(SYS_pidfd_open, child->pid_, 0));
  if (child->pidfd_.valid()) {
    loop->WatchReadable(child->pidfd_.get(), [raw = child.get()] { raw->Reap(); });
  } else {
    child->PollSoon();
  }
  return child;
}

ChildProcess::~ChildProcess() {
  if (pidfd_.valid()) loop_->Unwatch(pidfd_.get());
  loop_->CancelTimer(poll_);
  if (running_) ReapLater(loop_, pid_, std::make_shared<UniqueFd>(std::move(pidfd_)));
}

void ChildProcess::PollSoon() {
  poll_ = loop_->RunAfter(absl::Milliseconds(20), [this] { Reap(); });
}

void ChildProcess::Reap() {
  poll_ = 0;
  siginfo_t info = {};
  if (waitid(P_PID, pid_, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0) {
    if (!pidfd_.valid()) PollSoon();
    return;
  }
  running_ = false;
  if (pidfd_.valid()) loop_->Unwatch(pidfd_.get());
  ExitStatus status;
  if (info.si_code == CLD_EXITED) {
    status.code = info.si_status;
  } else {
    status.code = -1;
    status.signal = info.si_status;
  }
  // May destroy this.
  auto exited = std::exchange(exited_, nullptr);
  if (exited) exited(status);
}

std::vector<pid_t> ProcessTree(pid_t root, absl::string_view mark) {
  std::multimap<pid_t, pid_t> children;
  std::set<pid_t> tree;
  const pid_t self = getpid();
  ForEachPid([&](pid_t pid) {
    const auto process = ReadProcess(pid);
    if (!process || pid == self) return true;
    children.emplace(process->parent, pid);
    if (process->dead()) return true;
    if ((root > 0 && (pid == root || process->session == root)) || HasMark(pid, mark)) {
      tree.insert(pid);
    }
    return true;
  });
  // Descendants of all of these.
  std::vector<pid_t> open(tree.begin(), tree.end());
  while (!open.empty()) {
    const pid_t parent = open.back();
    open.pop_back();
    for (auto [at, end] = children.equal_range(parent); at != end; ++at) {
      const auto process = ReadProcess(at->second);
      if (process && !process->dead() && tree.insert(at->second).second) open.push_back(at->second);
    }
  }
  return {tree.begin(), tree.end()};
}

namespace {

void KillRound(EventLoop* loop, pid_t root, const std::string& mark, absl::Duration end,
               std::function<void(absl::Status)> done) {
  const std::vector<pid_t> tree = ProcessTree(root, mark);
  if (tree.empty()) return done(absl::OkStatus());
  if (loop->clock().Uptime() > end) {
    return done(absl::DeadlineExceededError(
        absl::StrCat("process ", tree.front(), " does not end even by SIGKILL")));
  }
  for (pid_t pid : tree) kill(pid, SIGKILL);
  loop->RunAfter(absl::Milliseconds(2), [=] { KillRound(loop, root, mark, end, done); });
}

}  // namespace

void KillTree(EventLoop* loop, pid_t root, const std::string& mark,
              std::function<void(absl::Status)> done) {
  KillRound(loop, root, mark, loop->clock().Uptime() + absl::Seconds(5), std::move(done));
}

}  // namespace drover::agent
