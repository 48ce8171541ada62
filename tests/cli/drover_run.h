// Runs the command line as a function: words in, exit code and both outputs out, against a fake
// controller it is signed in at.
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/context_store.h"
#include "cli/drover.h"
#include "cli/terminal.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/fake_controller.h"
#include "tests/testing/temp_dir.h"

namespace drover::testing {

struct Ran {
  int exit_code = -1;
  std::string out;
  std::string err;
};

// A file without a name, for a standard stream.
class MemoryFile {
 public:
  explicit MemoryFile(const std::string& contents = "") : fd_(memfd_create("stream", MFD_CLOEXEC)) {
    EXPECT_EQ(write(fd_, contents.data(), contents.size()), static_cast<ssize_t>(contents.size()));
    lseek(fd_, 0, SEEK_SET);
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  int fd() const { return fd_; }
  std::string Contents() const {
    std::string text(static_cast<size_t>(lseek(fd_, 0, SEEK_END)), '\0');
    EXPECT_EQ(pread(fd_, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    return text;
  }

 private:
  const int fd_;
};

class DroverTest : public ::testing::Test {
 protected:
  DroverTest() {
    env_ = {{"XDG_CONFIG_HOME", home_.path()}, {"LANG", "C.UTF-8"}, {"TERM", "xterm"}};
  }

  // As after `drover login`.
  void SignIn() {
    cli::Terminal terminal({.env = env_, .now = absl::Now});
    auto store = cli::ContextStore::Load(terminal);
    ASSERT_TRUE(store.ok()) << store.status();
    store->Put("test", {.server = controller_.address(),
                        .authority = controller_.authority_pem(),
                        .user = "admin",
                        .token = "token-1"});
    ASSERT_TRUE(store->Use("test").ok());
    ASSERT_TRUE(store->Save().ok());
  }

  Ran Run(const std::vector<std::string>& words, const std::string& input = "") {
    const MemoryFile in(input);
    const MemoryFile out;
    const MemoryFile err;
    cli::Terminal terminal(
        {.in = in.fd(), .out = out.fd(), .err = err.fd(), .env = env_, .now = absl::Now});
    Ran ran;
    ran.exit_code = cli::RunDrover(words, terminal);
    ran.out = out.Contents();
    ran.err = err.Contents();
    return ran;
  }

  std::string FileWith(const std::string& name, const std::string& text) {
    const std::string path = home_.File(name);
    WriteFile(path, text);
    return path;
  }

  TempDir home_;
  std::map<std::string, std::string> env_;
  FakeController controller_;
};

}  // namespace drover::testing
