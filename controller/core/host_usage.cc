#include "controller/core/host_usage.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "proto/support/log.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

using drover::v1::Vm;

constexpr absl::Duration kHostKeeps = absl::Hours(1);

}  // namespace

void HostUsage::Read(absl::string_view hypervisor, Hypervisor& host, std::stop_token stop) {
  std::map<std::string, std::pair<std::string, std::string>> wanted;
  std::vector<std::string> objects;
  absl::Time since = clock_->Now();
  {
    const auto rows = inventory_->Vms();
    absl::MutexLock lock(&mutex_);
    for (const VmRowPtr& row : *rows) {
      const Vm& vm = row->vm;
      const bool measured = vm.hypervisor() == hypervisor && !vm.hypervisor_object().empty() &&
                            vm.power() == drover::v1::POWER_STATE_ON;
      if (!measured || vm.agent_state() == drover::v1::AGENT_STATE_CONNECTED) continue;
      wanted[vm.hypervisor_object()] = {vm.uid(), vm.name()};
      objects.push_back(vm.hypervisor_object());
      const auto newest = newest_.find(vm.uid());
      since =
          std::min(since, newest == newest_.end() ? clock_->Now() - kHostKeeps : newest->second);
    }
  }
  if (objects.empty()) return;
  const auto usage = host.ReadUsage(objects, since, stop);
  if (!usage.ok()) {
    LogDebug("what VMs of ", hypervisor, " use: ", usage.status().message());
    return;
  }
  for (const VmUsage& one : *usage) {
    const auto vm = wanted.find(one.object);
    if (vm == wanted.end() || one.samples.empty()) continue;
    const auto& [uid, name] = vm->second;
    // One that connected meanwhile tells better.
    if (agents_->IsConnected(uid)) continue;
    std::vector<UsagePoint> points;
    {
      absl::MutexLock lock(&mutex_);
      absl::Time& newest = newest_.try_emplace(uid, absl::InfinitePast()).first->second;
      for (const auto& sample : one.samples) {
        if (FromProto(sample.time()) <= newest) continue;
        points.push_back(PointOf(sample, /*by_hypervisor=*/true));
      }
      newest = std::max(newest, FromProto(one.samples.back().time()));
    }
    samples_->Add(uid, points);
    const auto& last = one.samples.back();
    const absl::Status changed = inventory_->ChangeVm(name, [&](Vm& its) {
      its.set_cpu_percent(last.cpu_percent());
      its.set_memory_used_mb(last.memory_used_mb());
    });
    if (!changed.ok()) LogDebug("use of ", name, ": ", changed.message());
  }
}

void HostUsage::ForgetGone() {
  for (const std::string& uid : samples_->Vms()) {
    if (!absl::IsNotFound(inventory_->GetVmByUid(uid).status())) continue;
    if (const absl::Status gone = samples_->Forget(uid); !gone.ok()) {
      LogWarning("samples of a VM that is gone: ", gone.message());
    }
    absl::MutexLock lock(&mutex_);
    newest_.erase(uid);
  }
}

}  // namespace drover::core
