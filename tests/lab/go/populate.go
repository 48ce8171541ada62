package main

// A big inventory without guests, for measuring how fast it is read: machines that only exist as objects, half of them on.

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/vmware/govmomi/vim25/types"
)

func (h *host) controlPopulate(w http.ResponseWriter, r *http.Request) {
	count, err := strconv.Atoi(r.URL.Query().Get("count"))
	if err != nil || count < 1 || count > 100000 {
		http.Error(w, "how many? 1 to 100000", http.StatusBadRequest)
		return
	}
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	for i := 1; i <= count; i++ {
		name := fmt.Sprintf("bulk-%05d", i)
		vm := h.vms.newMachine(h.vms.newRef(), name, fmt.Sprintf("[datastore1] %s/%s.vmx", name, name))
		vm.listed = true
		vm.setFields(&types.VirtualMachineConfigSpec{GuestId: "debian10_64Guest", NumCPUs: 2, MemoryMB: 2048})
		change := &hardwareChange{host: h, vm: vm, devices: vm.Config.Hardware.Device}
		network := &types.VirtualEthernetCardNetworkBackingInfo{VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: "VM Network"}}
		if f := change.apply([]types.BaseVirtualDeviceConfigSpec{addSpec(&types.VirtualVmxnet3{VirtualVmxnet: types.VirtualVmxnet{
			VirtualEthernetCard: types.VirtualEthernetCard{VirtualDevice: types.VirtualDevice{Key: -1, Backing: network}}}})}); f != nil {
			http.Error(w, f.text, http.StatusInternalServerError)
			return
		}
		vm.Config.Hardware.Device = change.devices
		if i%2 == 1 {
			vm.Runtime.PowerState = poweredOn
			vm.Guest.IpAddress = fmt.Sprintf("10.213.%d.%d", 128+i/250%127, 1+i%250)
			vm.Guest.HostName, vm.Guest.ToolsRunningStatus = name, toolsRunning
			vm.Guest.Net = []types.GuestNicInfo{{Network: "VM Network", MacAddress: vm.cards()[0].MacAddress, Connected: true,
				DeviceConfigId: 4000, IpAddress: []string{vm.Guest.IpAddress}}}
		}
		vm.syncSummary()
		h.vms.add(vm)
	}
}
