// What the guests of the hypervisor in memory understand.
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "proto/support/status.h"
#include "tests/testing/fake_hypervisor.h"

namespace drover::testing {

using core::GuestLogin;
using core::StepContext;

namespace {

// "ip='10.0.0.5'" -> 10.0.0.5.
std::string ValueIn(const std::string& script, const std::string& name) {
  for (absl::string_view line : absl::StrSplit(script, '\n')) {
    if (!absl::ConsumePrefix(&line, absl::StrCat(name, "='"))) continue;
    absl::ConsumeSuffix(&line, "'");
    return std::string(line);
  }
  return "";
}

// The word after `mark`.
std::string WordAfter(const std::string& text, const std::string& mark) {
  const size_t at = text.find(mark);
  if (at == std::string::npos) return "";
  const size_t begin = at + mark.size();
  return text.substr(begin, text.find_first_of(" ;)'", begin) - begin);
}

}  // namespace

absl::StatusOr<FakeHypervisor::Machine*> FakeHypervisor::Guest(absl::string_view object,
                                                               const GuestLogin& login) {
  Machine* machine = Find(object);
  if (machine == nullptr) return NoVm(object);
  if (!machine->vm.tools_running()) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, "TOOLS_NOT_RUNNING", "no tools");
  }
  if (login.user() != "root" || login.password() != machine->password) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "GUEST_LOGIN_REFUSED",
                     "the guest refuses the account");
  }
  return machine;
}

absl::Status FakeHypervisor::WaitForTools(absl::string_view object, absl::Duration,
                                          StepContext& context) {
  return Call("WaitForTools", context.stop(), [&]() -> absl::Status {
    absl::MutexLock lock(&mutex_);
    const Machine* machine = Find(object);
    if (machine == nullptr) return NoVm(object);
    if (machine->vm.tools_running()) return absl::OkStatus();
    return MakeError(absl::StatusCode::kDeadlineExceeded, "TOOLS_NOT_RUNNING",
                     "VMware Tools did not come up");
  });
}

absl::Status FakeHypervisor::CheckGuestLogin(absl::string_view object, const GuestLogin& login) {
  return Call("CheckGuestLogin", {}, [&]() -> absl::Status {
    absl::MutexLock lock(&mutex_);
    return Guest(object, login).status();
  });
}

absl::Status FakeHypervisor::WriteGuestFile(absl::string_view object, const GuestLogin& login,
                                            absl::string_view path, absl::string_view contents, int,
                                            StepContext& context) {
  return Call("WriteGuestFile", context.stop(), [&]() -> absl::Status {
    absl::MutexLock lock(&mutex_);
    DROVER_ASSIGN_OR_RETURN(Machine * machine, Guest(object, login));
    machine->files[std::string(path)] = std::string(contents);
    return absl::OkStatus();
  });
}

int FakeHypervisor::RunCommand(Machine& machine, const std::string& command, std::string* token) {
  const std::string password_file = WordAfter(command, "chpasswd <");
  if (!password_file.empty()) {
    const std::vector<std::string> parts =
        absl::StrSplit(machine.files[password_file], absl::MaxSplits(':', 1));
    if (parts.size() != 2) return 1;
    machine.password = std::string(absl::StripSuffix(parts[1], "\n"));
  }
  const std::string script = WordAfter(command, "( /bin/sh ");
  if (!script.empty() && machine.files.contains(script)) {
    const std::string& text = machine.files[script];
    if (absl::StrContains(text, "by_ifupdown")) {
      machine.vm.set_ip(ValueIn(text, "ip"));
      machine.disconnected = false;
      ++version_;
    } else {
      // The look inside.
      machine.files[WordAfter(command, ") >")] =
          absl::StrCat("program=", machine.token.empty() ? "no" : "yes",
                       "\nrunning=no\naddress=", machine.disconnected ? "" : machine.vm.ip(), "\n");
    }
  }
  if (absl::StrContains(command, " setup --config ")) {
    const auto fresh = machine.files.find("/etc/drover/enrolment-token");
    if (fresh != machine.files.end()) {
      machine.token = fresh->second;
      machine.files.erase(fresh);
    }
    if (!machine.disconnected) *token = machine.token;
  }
  for (absl::string_view part : absl::StrSplit(command, "rm -f ")) {
    for (const absl::string_view word : absl::StrSplit(part, absl::ByAnyChar(" ;')"))) {
      if (!absl::StartsWith(word, "/run/")) break;
      machine.files.erase(std::string(word));
    }
  }
  return 0;
}

absl::StatusOr<int> FakeHypervisor::RunInGuest(absl::string_view object, const GuestLogin& login,
                                               absl::string_view, absl::string_view arguments,
                                               absl::Duration, StepContext& context) {
  int code = 0;
  std::string token;
  std::function<void(const std::string&)> on_setup;
  const absl::Status ran = Call("RunInGuest", context.stop(), [&]() -> absl::Status {
    absl::MutexLock lock(&mutex_);
    arguments_.emplace_back(arguments);
    DROVER_ASSIGN_OR_RETURN(Machine * machine, Guest(object, login));
    code = RunCommand(*machine, std::string(arguments), &token);
    on_setup = on_setup_;
    return absl::OkStatus();
  });
  if (!token.empty() && on_setup) on_setup(token);
  DROVER_RETURN_IF_ERROR(ran);
  return code;
}

absl::StatusOr<std::string> FakeHypervisor::ReadGuestFile(absl::string_view object,
                                                          const GuestLogin& login,
                                                          absl::string_view path,
                                                          StepContext& context) {
  std::string contents;
  DROVER_RETURN_IF_ERROR(Call("ReadGuestFile", context.stop(), [&]() -> absl::Status {
    absl::MutexLock lock(&mutex_);
    DROVER_ASSIGN_OR_RETURN(Machine * machine, Guest(object, login));
    contents = machine->files[std::string(path)];
    return absl::OkStatus();
  }));
  return contents;
}

}  // namespace drover::testing
