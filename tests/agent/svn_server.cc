#include "tests/agent/svn_server.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agent/unique_fd.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace drover::agent {

std::string Shell(const std::string& command) {
  FILE* pipe = popen(absl::StrCat("set -e; export LC_ALL=C.UTF-8; "
                                  // Else svn waits for the next second after each commit.
                                  "export SVN_I_LOVE_CORRUPTED_WORKING_COPIES_SO_DISABLE_"
                                  "SLEEP_FOR_TIMESTAMPS=yes; ",
                                  command)
                         .c_str(),
                     "r");
  std::string output;
  char buffer[4096];
  while (const size_t count = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, count);
  EXPECT_EQ(pclose(pipe), 0) << command << "\n" << output;
  return output;
}

namespace {

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  socklen_t size = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

}  // namespace

SvnServer::SvnServer(const std::string& directory) : directory_(directory), port_(FreePort()) {
  Shell(absl::StrCat("svnadmin create ", directory_, "/repo"));
  testing::WriteFile(absl::StrCat(directory_, "/repo/conf/svnserve.conf"),
                     "[general]\nanon-access = none\nauth-access = write\npassword-db = passwd\n");
  testing::WriteFile(absl::StrCat(directory_, "/repo/conf/passwd"),
                     absl::StrCat("[users]\n", kUser, " = ", kPassword, "\n"));
  Shell(absl::StrCat("R=file://", directory_, "/repo; svn -q mkdir -m begin $R/trunk $R/lib; ",
                     "svn -q checkout $R ", directory_, "/committer"));
  Start();
}

SvnServer::~SvnServer() { Stop(); }

void SvnServer::Start() {
  Shell(absl::StrCat("svnserve --daemon --root ", directory_,
                     " --listen-host 127.0.0.1 --listen-port ", port_, " --pid-file ", directory_,
                     "/pid"));
}

void SvnServer::Stop() {
  int pid = 0;
  if (absl::SimpleAtoi(testing::ReadFile(absl::StrCat(directory_, "/pid")), &pid) && pid > 0) {
    const UniqueFd ended(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    // It may have ended already, with all that belongs to its test.
    if (ended.valid()) {
      kill(pid, SIGKILL);
      pollfd until = {ended.get(), POLLIN, 0};
      poll(&until, 1, -1);
    }
  }
  unlink(absl::StrCat(directory_, "/pid").c_str());
}

std::string SvnServer::url(const std::string& path) const {
  return absl::StrCat("svn://127.0.0.1:", port_, "/repo/", path);
}

int64_t SvnServer::Commit(const std::string& path, const std::string& contents,
                          const std::string& message) {
  testing::WriteFile(absl::StrCat(directory_, "/committer/trunk/", path), contents);
  return CommitAfter("true", message);
}

int64_t SvnServer::CommitAfter(const std::string& edit, const std::string& message) {
  testing::WriteFile(absl::StrCat(directory_, "/message"), message);
  const std::string revision = Shell(
      absl::StrCat("C=", directory_, "/committer; cd $C; ", edit, "; svn -q add --force . ; ",
                   "svn -q commit -F ", directory_, "/message; svn -q update --ignore-externals; ",
                   "svn info --show-item revision"));
  int64_t number = 0;
  EXPECT_TRUE(absl::SimpleAtoi(revision, &number)) << revision;
  return number;
}

void SvnServer::CheckOut(const std::string& path, int64_t revision) {
  testing::WriteFile(absl::StrCat(directory_, "/password"), kPassword);
  Shell(absl::StrCat("svn -q checkout --non-interactive --no-auth-cache --username ", kUser,
                     " --password-from-stdin -r ", revision, " ", trunk(), " ", path, " < ",
                     directory_, "/password"));
}

}  // namespace drover::agent
