// The other end for benches of one agent: a controller that enrols, welcomes, and asks for COUNT
// services whose programs are FOLDER/PREFIXn, "service-" without one. With an ARGUMENT they are
// daemons that are given it, else they are children of the agent. Writes
// FOLDER/{address,authority.pem,token,bare-key.pem,bare-certificate.pem}; ends when its standard
// input does.
//
//   link_server FOLDER COUNT [PREFIX ARGUMENT]
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "agent/durable_file.h"
#include "proto/support/process.h"
#include "tests/agent/fake_controller.h"

int main(int argc, char** argv) {
  drover::SetUpProcess();
  if (argc != 3 && argc != 5) {
    fprintf(stderr, "usage: link_server FOLDER COUNT [PREFIX ARGUMENT]\n");
    return 2;
  }
  const std::string folder = argv[1];
  drover::agent::FakeController controller;
  controller.Set({.heartbeat_seconds = 10, .sample_seconds = 10});
  controller.AddToken("bench");
  const auto [key, certificate] = controller.IssueIdentity("bare");
  for (const auto& [name, text] : {std::make_pair("authority.pem", controller.authority_pem()),
                                   {"token", "bench"},
                                   {"bare-key.pem", key},
                                   {"bare-certificate.pem", certificate},
                                   {"address", controller.address()}}) {
    if (!drover::agent::WriteWholeFile(absl::StrCat(folder, "/", name), text).ok()) return 1;
  }
  drover::agent::v1::ControllerMessage desired;
  desired.mutable_desired_state()->set_generation(1);
  for (int i = 0; i < atoi(argv[2]); ++i) {
    auto* spec = desired.mutable_desired_state()->add_services();
    spec->set_name(absl::StrCat("service-", i));
    const std::string program = absl::StrCat(folder, "/", argc > 3 ? argv[3] : "service-", i);
    spec->set_exe(program);
    spec->set_start_command(argc > 3 ? absl::StrCat(program, " ", argv[4], " </dev/null &")
                                     : absl::StrCat("exec ", program, " 100000"));
  }
  size_t told = 0;
  pollfd input = {STDIN_FILENO, POLLIN, 0};
  while (poll(&input, 1, 100) == 0) {
    const size_t hellos = controller.heard().hellos.size();
    if (hellos > told) controller.Send(desired);
    told = hellos;
  }
  return 0;
}
