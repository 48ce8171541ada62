// The controller's side of the inventory bench: `--paths` prints the properties a list asks for,
// else URL FINGERPRINT ROUNDS lists all VMs so often and prints "count milliseconds" a round.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_join.h"
#include "controller/system_clock.h"
#include "controller/vsphere/connector.h"
#include "controller/vsphere/inventory_sync.h"

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--paths") {
    puts(absl::StrJoin(drover::vsphere::ListedPaths(), ",").c_str());
    return 0;
  }
  if (argc != 4) {
    fputs("usage: inventory_client --paths | URL FINGERPRINT ROUNDS\n", stderr);
    return 2;
  }
  drover::SystemClock clock;
  drover::vsphere::VsphereConnector connector(&clock, "");
  drover::v1::Hypervisor hypervisor;
  hypervisor.set_url(argv[1]);
  hypervisor.set_user("root");
  hypervisor.set_certificate_fingerprint(argv[2]);
  drover::core::HypervisorSecrets secrets;
  secrets.set_password("secret");
  auto handle = connector.Open(hypervisor, secrets);
  // Everybody is signed in before the first round.
  if (auto facts = handle->GetVm("nobody"); absl::IsUnavailable(facts.status())) {
    fprintf(stderr, "%s\n", facts.status().ToString().c_str());
    return 1;
  }
  for (int i = 0; i < std::atoi(argv[3]); ++i) {
    absl::Time start = clock.Now();
    auto vms = handle->ListVms();
    if (!vms.ok()) {
      fprintf(stderr, "%s\n", vms.status().ToString().c_str());
      return 1;
    }
    printf("%zu %.1f\n", vms->size(), absl::ToDoubleMilliseconds(clock.Now() - start));
  }
}
