#include "tests/controller/vsphere/lab.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"

namespace drover::vsphere {

absl::Time MachineClock::Now() const { return absl::Now(); }

absl::Status MachineClock::Sleep(absl::Duration duration, std::stop_token stop) {
  absl::Mutex mutex;
  bool stopped = false;
  std::stop_callback wake(stop, [&] {
    absl::MutexLock lock(&mutex);
    stopped = true;
  });
  absl::MutexLock lock(&mutex);
  if (mutex.AwaitWithTimeout(absl::Condition(&stopped), duration)) {
    return absl::CancelledError("cancelled");
  }
  return absl::OkStatus();
}

void RecordedStep::Report(int percent, absl::string_view detail) {
  EXPECT_GE(percent, 0) << detail;
  EXPECT_LE(percent, 100) << detail;
  absl::MutexLock lock(&mutex_);
  reports_.push_back(absl::Now());
}

absl::Status RecordedStep::Remember(absl::string_view key, absl::string_view value) {
  absl::MutexLock lock(&mutex_);
  memory_[std::string(key)] = std::string(value);
  return absl::OkStatus();
}

std::string RecordedStep::Recall(absl::string_view key) {
  absl::MutexLock lock(&mutex_);
  auto it = memory_.find(std::string(key));
  return it == memory_.end() ? "" : it->second;
}

std::vector<absl::Time> RecordedStep::reports() const {
  absl::MutexLock lock(&mutex_);
  return reports_;
}

std::vector<LabHost> LabHosts() {
  const char* state = std::getenv("DROVER_LAB");
  EXPECT_NE(state, nullptr) << "run it as: tests/lab/lab run --no-controller -- vsphere_lab_test";
  std::vector<LabHost> hosts;
  if (state == nullptr) return hosts;
  std::ifstream list(absl::StrCat(state, "/hosts.list"));
  std::string line;
  while (std::getline(list, line)) {
    std::istringstream words(line);
    std::string url, user, password_file, fingerprint, ssh_fingerprint;
    LabHost host;
    words >> host.name >> host.kind >> url >> user >> password_file >> fingerprint >>
        ssh_fingerprint;
    std::ifstream file(password_file);
    std::string password;
    std::getline(file, password);
    host.hypervisor.set_name(absl::StrCat("hypervisors/", host.name));
    host.hypervisor.set_url(url);
    host.hypervisor.set_user(user);
    host.hypervisor.set_certificate_fingerprint(fingerprint);
    host.secrets.set_password(password);
    if (ssh_fingerprint != "-" && host.kind == "free") {
      host.hypervisor.mutable_ssh()->set_user(user);
      host.hypervisor.mutable_ssh()->set_host_key_fingerprint(ssh_fingerprint);
      host.secrets.set_ssh_password(password);
    }
    hosts.push_back(std::move(host));
  }
  EXPECT_FALSE(hosts.empty());
  return hosts;
}

std::string Lab(const std::string& words, int* code) {
  FILE* pipe = popen(absl::StrCat("lab ", words, " 2>&1").c_str(), "r");
  std::string output;
  char buffer[4096];
  while (size_t length = fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, length);
  int status = pclose(pipe);
  if (code != nullptr) {
    *code = WEXITSTATUS(status);
  } else {
    EXPECT_EQ(status, 0) << "lab " << words << ": " << output;
  }
  return output;
}

}  // namespace drover::vsphere
