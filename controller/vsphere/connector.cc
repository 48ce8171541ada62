#include "controller/vsphere/connector.h"

#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controller/vsphere/hypervisor.h"
#include "controller/vsphere/session.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

// People write "https://host" as well as "https://host/sdk".
std::string SdkUrl(const std::string& url) {
  size_t host = url.find("://");
  size_t path = url.find('/', host == std::string::npos ? 0 : host + 3);
  if (path == std::string::npos) return absl::StrCat(url, "/sdk");
  return path + 1 == url.size() ? absl::StrCat(url, "sdk") : url;
}

Account AccountOf(const drover::v1::Hypervisor& hypervisor,
                  const core::HypervisorSecrets& secrets) {
  Account account;
  account.url = SdkUrl(hypervisor.url());
  account.user = hypervisor.user();
  account.password = secrets.password();
  account.fingerprint = hypervisor.certificate_fingerprint();
  return account;
}

std::optional<ShellAccount> ShellOf(const drover::v1::Hypervisor& hypervisor,
                                    const core::HypervisorSecrets& secrets) {
  if (!hypervisor.has_ssh()) return std::nullopt;
  const auto& ssh = hypervisor.ssh();
  ShellAccount account;
  account.user = ssh.user().empty() ? hypervisor.user() : ssh.user();
  account.password = secrets.ssh_password().empty() ? secrets.password() : secrets.ssh_password();
  account.host_key = ssh.host_key_fingerprint();
  // An address that is none is met as an unreachable host; Test says what is wrong with it.
  ParseShellAddress(ssh.address(), HostNameOfUrl(hypervisor.url()), account).IgnoreError();
  return account;
}

}  // namespace

VsphereConnector::VsphereConnector(core::Clock* clock, std::string installation)
    : clock_(clock), installation_(std::move(installation)) {}

std::shared_ptr<core::Hypervisor> VsphereConnector::Open(const drover::v1::Hypervisor& hypervisor,
                                                         const core::HypervisorSecrets& secrets) {
  Account account = AccountOf(hypervisor, secrets);
  if (!installation_.empty()) {
    account.agent = absl::StrCat("drover (", installation_, " ", hypervisor.name(), ")");
  }
  return std::make_shared<VsphereHypervisor>(std::move(account), ShellOf(hypervisor, secrets),
                                             clock_);
}

absl::StatusOr<core::HostFacts> VsphereConnector::Test(const drover::v1::Hypervisor& hypervisor,
                                                       const core::HypervisorSecrets& secrets) {
  if (!absl::StartsWith(hypervisor.url(), "https://")) {
    return InvalidField("url",
                        "is not https, and the password would be readable on the way; "
                        "write https://host/sdk");
  }
  if (hypervisor.has_ssh()) {
    ShellAccount parsed;
    DROVER_RETURN_IF_ERROR(
        ParseShellAddress(hypervisor.ssh().address(), HostNameOfUrl(hypervisor.url()), parsed));
  }
  return VsphereHypervisor(AccountOf(hypervisor, secrets), ShellOf(hypervisor, secrets), clock_)
      .Describe();
}

}  // namespace drover::vsphere
