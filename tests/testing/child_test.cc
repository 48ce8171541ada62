#include "tests/testing/child_test.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace drover::testing {
namespace {

constexpr char kPipe[] = "DROVER_TEST_PIPE";

int WaitFor(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

ChildTest::ChildTest(const std::string& test,
                     const std::map<std::string, std::string>& environment) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) std::abort();
  pipe_ = ends[0];
  const int inherited = dup(ends[1]);
  std::vector<std::string> variables = {absl::StrCat(kPipe, "=", inherited)};
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  for (char** each = environ; *each != nullptr; ++each) variables.emplace_back(*each);
  std::vector<char*> envp;
  for (std::string& variable : variables) envp.push_back(variable.data());
  envp.push_back(nullptr);
  std::string program = "/proc/self/exe";
  std::string disabled = "--gtest_also_run_disabled_tests";
  std::string filter = "--gtest_filter=" + test;
  char* const argv[] = {program.data(), disabled.data(), filter.data(), nullptr};
  if (posix_spawn(&pid_, program.c_str(), nullptr, nullptr, argv, envp.data()) != 0) std::abort();
  close(inherited);
  close(ends[1]);
}

ChildTest::~ChildTest() {
  Kill();
  close(pipe_);
}

std::string ChildTest::ReadLine() {
  while (true) {
    if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    char piece[4096];
    const ssize_t count = read(pipe_, piece, sizeof piece);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return "";
    buffer_.append(piece, static_cast<size_t>(count));
  }
}

void ChildTest::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  WaitFor(pid_);
  pid_ = -1;
}

int ChildTest::Wait() {
  const int code = WaitFor(pid_);
  pid_ = -1;
  return code;
}

void TellParent(const std::string& line) {
  int pipe = -1;
  if (const char* text = getenv(kPipe); text == nullptr || !absl::SimpleAtoi(text, &pipe)) return;
  const std::string whole = line + "\n";
  if (write(pipe, whole.data(), whole.size()) != static_cast<ssize_t>(whole.size())) std::abort();
}

}  // namespace drover::testing
