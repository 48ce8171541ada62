#include "controller/vsphere/hypervisor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/vsphere/create_and_copy.h"
#include "controller/vsphere/faults.h"
#include "controller/vsphere/inventory_sync.h"
#include "controller/vsphere/shell_copy.h"
#include "controller/vsphere/vcenter_clone.h"
#include "controller/vsphere/vm_control.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

// Copies that write to one datastore at a time.
constexpr int kCopiesAtOnce = 2;

std::string NameOf(absl::string_view object) { return absl::StrCat("VM ", object); }

}  // namespace

VsphereHypervisor::VsphereHypervisor(Account account, std::optional<ShellAccount> shell,
                                     core::Clock* clock)
    : session_(std::move(account)),
      client_(&session_, clock),
      queue_(kCopiesAtOnce),
      guest_(&client_),
      usage_(&client_) {
  routes_.emplace_back(drover::v1::COPY_METHOD_CREATE_AND_COPY,
                       std::make_unique<CreateAndCopy>(&client_, &queue_));
  routes_.emplace_back(drover::v1::COPY_METHOD_CLONE,
                       std::make_unique<VcenterClone>(&client_, &queue_));
  if (!shell) return;
  shell_ = std::make_unique<EsxiShell>(*std::move(shell));
  shell_control_ = std::make_unique<ShellControl>(&client_, shell_.get());
  routes_.emplace_back(drover::v1::COPY_METHOD_SHELL,
                       std::make_unique<ShellCopy>(&client_, shell_.get(), &queue_));
}

VsphereHypervisor::~VsphereHypervisor() = default;

absl::Status VsphereHypervisor::Meaning(const absl::Status& status, absl::string_view what) const {
  return Interpret(status, session_.host(), what);
}

absl::StatusOr<CopyWay> VsphereHypervisor::Way(std::stop_token stop) {
  {
    absl::MutexLock lock(&mutex_);
    if (way_) return *way_;
  }
  DROVER_ASSIGN_OR_RETURN(ServiceContent content, client_.Content(stop));
  DROVER_ASSIGN_OR_RETURN(Licence licence, ReadLicence(client_, stop));
  CopyWay way = ChooseWay(content.is_vcenter, licence, shell_ != nullptr, session_.host());
  absl::MutexLock lock(&mutex_);
  way_ = way;
  return way;
}

absl::StatusOr<CopyRoute*> VsphereHypervisor::Route(std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(CopyWay way, Way(stop));
  if (!way.refusal.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "LICENCE_FORBIDS", way.refusal);
  }
  for (auto& [method, route] : routes_) {
    if (method == way.method) return route.get();
  }
  return absl::InternalError("no way to copy");
}

absl::StatusOr<ShellControl*> VsphereHypervisor::Shell(std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(CopyWay way, Way(stop));
  return way.method == drover::v1::COPY_METHOD_SHELL ? shell_control_.get() : nullptr;
}

absl::StatusOr<core::HostFacts> VsphereHypervisor::Describe() {
  auto facts = ReadFacts(client_, shell_ != nullptr, {});
  if (!facts.ok()) return Meaning(facts.status(), "");
  // The second door is tried where it is the only one, so that a wrong key or password shows now.
  if (facts->copy_method() == drover::v1::COPY_METHOD_SHELL) {
    DROVER_RETURN_IF_ERROR(shell_->Run("true", {}).status());
    facts->set_ssh_host_key_fingerprint(shell_->host_key());
  }
  absl::MutexLock lock(&mutex_);
  way_ = CopyWay{facts->copy_method(), facts->copy_refusal()};
  return facts;
}

absl::StatusOr<std::vector<core::HypervisorVm>> VsphereHypervisor::ListVms() {
  auto vms = vsphere::ListVms(client_, {});
  if (!vms.ok()) return Meaning(vms.status(), "");
  return vms;
}

absl::StatusOr<core::HypervisorVm> VsphereHypervisor::GetVm(absl::string_view object) {
  auto vm = vsphere::GetVm(client_, object, {});
  if (!vm.ok()) return Meaning(vm.status(), NameOf(object));
  return vm;
}

absl::StatusOr<std::vector<core::VmUsage>> VsphereHypervisor::ReadUsage(
    const std::vector<std::string>& objects, absl::Time since, std::stop_token stop) {
  auto usage = usage_.Read(objects, since, stop);
  if (!usage.ok()) return Meaning(usage.status(), "the use of VMs");
  return usage;
}

absl::Status VsphereHypervisor::Follow(core::InventorySink& sink, std::stop_token stop) {
  return Meaning(vsphere::Follow(client_, sink, stop), "");
}

absl::Status VsphereHypervisor::CheckCopy(const core::CopySpec& spec) {
  auto route = Route({});
  if (!route.ok()) return Meaning(route.status(), "");
  auto vm = FindCopy(client_, spec, nullptr, {});
  if (!vm.ok()) return Meaning(vm.status(), spec.vm_name());
  return Meaning(Place(client_, spec, vm->empty(), {}).status(),
                 absl::StrCat("template ", spec.template_()));
}

absl::StatusOr<core::CopiedVm> VsphereHypervisor::Copy(const core::CopySpec& spec,
                                                       core::StepContext& context) {
  std::string what = absl::StrCat("copying ", spec.template_(), " to ", spec.vm_name());
  auto route = Route(context.stop());
  if (!route.ok()) return Meaning(route.status(), what);
  auto copied = (*route)->Copy(spec, context);
  if (!copied.ok()) return Meaning(copied.status(), what);
  return copied;
}

absl::Status VsphereHypervisor::DiscardCopy(const core::CopySpec& spec,
                                            core::StepContext& context) {
  auto way = Way(context.stop());
  if (!way.ok()) return Meaning(way.status(), "");
  // Where nothing can be copied nothing was.
  if (!way->refusal.empty()) return absl::OkStatus();
  auto route = Route(context.stop());
  if (!route.ok()) return Meaning(route.status(), "");
  return Meaning((*route)->Discard(spec, context), absl::StrCat("removing ", spec.vm_name()));
}

absl::Status VsphereHypervisor::PowerOn(absl::string_view object, core::StepContext& context) {
  auto shell = Shell(context.stop());
  if (!shell.ok()) return Meaning(shell.status(), NameOf(object));
  return Meaning(*shell != nullptr ? (*shell)->PowerOn(VmRef(object), context)
                                   : PowerOnVm(client_, VmRef(object), context),
                 NameOf(object));
}

absl::Status VsphereHypervisor::PowerOff(absl::string_view object, absl::Duration patience,
                                         core::StepContext& context) {
  auto shell = Shell(context.stop());
  if (!shell.ok()) return Meaning(shell.status(), NameOf(object));
  return Meaning(*shell != nullptr ? (*shell)->PowerOff(VmRef(object), patience, context)
                                   : PowerOffVm(client_, VmRef(object), patience, context),
                 NameOf(object));
}

absl::Status VsphereHypervisor::Restart(absl::string_view object, bool hard,
                                        core::StepContext& context) {
  auto shell = Shell(context.stop());
  if (!shell.ok()) return Meaning(shell.status(), NameOf(object));
  return Meaning(*shell != nullptr ? (*shell)->Restart(VmRef(object), hard, context)
                                   : RestartVm(client_, VmRef(object), hard, context),
                 NameOf(object));
}

absl::Status VsphereHypervisor::SetHardware(absl::string_view object,
                                            const core::HardwareChange& change,
                                            core::StepContext& context) {
  auto shell = Shell(context.stop());
  if (!shell.ok()) return Meaning(shell.status(), NameOf(object));
  return Meaning(*shell != nullptr
                     ? (*shell)->SetHardware(VmRef(object), change, context)
                     : ChangeHardware(client_, VmRef(object), change, "", context.stop()),
                 NameOf(object));
}

absl::Status VsphereHypervisor::Destroy(absl::string_view object, core::StepContext& context) {
  auto shell = Shell(context.stop());
  if (!shell.ok()) return Meaning(shell.status(), NameOf(object));
  return Meaning(*shell != nullptr ? (*shell)->Destroy(VmRef(object), context)
                                   : DestroyVm(client_, VmRef(object), context),
                 NameOf(object));
}

absl::Status VsphereHypervisor::WaitForTools(absl::string_view object, absl::Duration patience,
                                             core::StepContext& context) {
  return Meaning(guest_.WaitForTools(VmRef(object), patience, context), NameOf(object));
}

absl::Status VsphereHypervisor::CheckGuestLogin(absl::string_view object,
                                                const core::GuestLogin& login) {
  return Meaning(guest_.CheckLogin(VmRef(object), login), NameOf(object));
}

absl::Status VsphereHypervisor::WriteGuestFile(absl::string_view object,
                                               const core::GuestLogin& login,
                                               absl::string_view path, absl::string_view contents,
                                               int mode, core::StepContext& context) {
  return Meaning(guest_.WriteFile(VmRef(object), login, path, contents, mode, context),
                 NameOf(object));
}

absl::StatusOr<int> VsphereHypervisor::RunInGuest(
    absl::string_view object, const core::GuestLogin& login, absl::string_view program,
    absl::string_view arguments, absl::Duration patience, core::StepContext& context) {
  auto code = guest_.Run(VmRef(object), login, program, arguments, patience, context);
  if (!code.ok()) return Meaning(code.status(), NameOf(object));
  return code;
}

absl::StatusOr<std::string> VsphereHypervisor::ReadGuestFile(absl::string_view object,
                                                             const core::GuestLogin& login,
                                                             absl::string_view path,
                                                             core::StepContext& context) {
  auto contents = guest_.ReadFile(VmRef(object), login, path, context);
  if (!contents.ok()) return Meaning(contents.status(), NameOf(object));
  return contents;
}

}  // namespace drover::vsphere
