// Guest operations: files and programs inside a VM through VMware Tools, without a network.
//
// File contents travel by HTTPS to the host that runs the VM. Behind a vCenter that is another
// server than the one logged in to; its certificate is the one vCenter knows of it.
//
// Thread promise: all methods from any thread. Errors are the port's. Nothing survives a restart.
#pragma once

#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/core/ports.h"
#include "controller/vsphere/vim_client.h"

namespace drover::vsphere {

class GuestTools {
 public:
  // Not owned.
  explicit GuestTools(VimClient* client) : client_(*client) {}

  absl::Status WaitForTools(const MoRef& vm, absl::Duration patience, core::StepContext& context);
  absl::Status CheckLogin(const MoRef& vm, const core::GuestLogin& login);
  absl::Status WriteFile(const MoRef& vm, const core::GuestLogin& login, absl::string_view path,
                         absl::string_view contents, int mode, core::StepContext& context);
  absl::StatusOr<int> Run(const MoRef& vm, const core::GuestLogin& login, absl::string_view program,
                          absl::string_view arguments, absl::Duration patience,
                          core::StepContext& context);
  absl::StatusOr<std::string> ReadFile(const MoRef& vm, const core::GuestLogin& login,
                                       absl::string_view path, core::StepContext& context);

 private:
  struct Managers {
    MoRef login, file, process;
  };
  absl::StatusOr<Managers> ReadManagers(std::stop_token stop);
  // Repeats `call` while Tools are only starting.
  absl::StatusOr<SoapReply> Patiently(absl::FunctionRef<absl::StatusOr<SoapReply>()> call,
                                      std::stop_token stop);
  absl::StatusOr<std::string> UploadUrl(const Managers& managers, const std::string& who,
                                        absl::string_view path, size_t size, int mode,
                                        std::stop_token stop);
  // PUT of `contents` when `send`, else GET. Wherever the URL points, the certificate is known.
  absl::StatusOr<std::string> Transfer(const MoRef& vm, absl::string_view url, bool send,
                                       absl::string_view contents, std::stop_token stop);
  // Certificate of the host that runs the VM, as the vCenter knows it.
  absl::StatusOr<std::string> HostPin(const MoRef& vm, std::stop_token stop);
  absl::StatusOr<int> AwaitExit(const Managers& managers, const std::string& who, int64_t pid,
                                absl::string_view what, absl::Duration patience,
                                core::StepContext& context);

  VimClient& client_;
  absl::Mutex mutex_;
  std::optional<Managers> managers_ ABSL_GUARDED_BY(mutex_);
};

// SHA-256 fingerprint of a certificate in PEM or DER, "" when it is none.
std::string FingerprintOfCertificate(absl::string_view text);

}  // namespace drover::vsphere
