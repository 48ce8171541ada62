// A test of this binary run as a process of its own: one that is killed, or that changes what a
// process cannot change back. Name such a test DISABLED_*, so that nothing else runs it.
//
// Thread promise: a value of one thread.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

namespace drover::testing {

class ChildTest {
 public:
  // Starts "Suite.DISABLED_Name" with additions to the environment.
  ChildTest(const std::string& test, const std::map<std::string, std::string>& environment);
  // Kills it when it still runs.
  ~ChildTest();
  ChildTest(const ChildTest&) = delete;
  ChildTest& operator=(const ChildTest&) = delete;

  // The next line it wrote with TellParent; "" when it ended.
  std::string ReadLine();
  // SIGKILL; returns when it is gone.
  void Kill();
  // Exit code, -1 when a signal ended it.
  int Wait();

 private:
  pid_t pid_ = -1;
  int pipe_ = -1;
  std::string buffer_;
};

// In the child: one write of a line to the parent.
void TellParent(const std::string& line);

}  // namespace drover::testing
