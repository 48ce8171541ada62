package main

// What a VirtualMachineConfigSpec does to a machine: checked as a whole, then applied as a whole.

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

const newestHardware = 14 // vmx-14 is what ESXi 6.7 runs

// Full names of the guests the lab's templates use; others show their id.
var guestNames = map[string]string{"debian10_64Guest": "Debian GNU/Linux 10 (64-bit)",
	"debian9_64Guest": "Debian GNU/Linux 9 (64-bit)", "debian11_64Guest": "Debian GNU/Linux 11 (64-bit)",
	"centos7_64Guest": "CentOS 7 (64-bit)", "centos64Guest": "CentOS 4/5 or later (64-bit)",
	"ubuntu64Guest": "Ubuntu Linux (64-bit)", "otherGuest": "Other (32-bit)", "otherGuest64": "Other (64-bit)",
	"otherLinux64Guest": "Other Linux (64-bit)"}

func guestName(id string) string {
	if name, ok := guestNames[id]; ok {
		return name
	}
	return id
}

func knownGuest(id string) bool {
	if _, ok := guestNames[id]; ok {
		return true
	}
	for _, known := range simulator.GuestID {
		if string(known) == id {
			return true
		}
	}
	return false
}

func badArgument(property string) *soapFault {
	return fault(&types.InvalidArgument{InvalidProperty: property})
}

// checkSpec refuses values a host refuses before it starts to work.
func checkSpec(spec *types.VirtualMachineConfigSpec) *soapFault {
	if len(spec.Name) > 80 || strings.ContainsAny(spec.Name, "/\\") {
		return faultf(&types.InvalidName{Name: spec.Name}, "The name '%s' is not valid.", spec.Name)
	}
	if spec.GuestId != "" && !knownGuest(spec.GuestId) {
		return badArgument("configSpec.guestId")
	}
	if spec.Version != "" {
		version, err := strconv.Atoi(strings.TrimPrefix(spec.Version, "vmx-"))
		if err != nil || version < 4 || version > newestHardware {
			return faultf(&types.VirtualHardwareVersionNotSupported{}, "Virtual hardware version %s is not supported by this host.", spec.Version)
		}
	}
	if spec.NumCPUs < 0 || spec.NumCPUs > 128 {
		return badArgument("configSpec.numCPUs")
	}
	if spec.NumCoresPerSocket < 0 || spec.NumCoresPerSocket > 0 && spec.NumCPUs%spec.NumCoresPerSocket != 0 {
		return badArgument("configSpec.numCoresPerSocket")
	}
	if spec.MemoryMB < 0 || spec.MemoryMB%4 != 0 || spec.MemoryMB > 6<<20 {
		return badArgument("configSpec.memoryMB")
	}
	if spec.Firmware != "" && spec.Firmware != "bios" && spec.Firmware != "efi" {
		return badArgument("configSpec.firmware")
	}
	return nil
}

// checkHot refuses what a running machine cannot take.
func (vm *machine) checkHot(spec *types.VirtualMachineConfigSpec) *soapFault {
	if vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOff {
		return nil
	}
	hardware := vm.Config.Hardware
	hotCPU := vm.Config.CpuHotAddEnabled != nil && *vm.Config.CpuHotAddEnabled && spec.NumCPUs >= hardware.NumCPU
	hotMemory := vm.Config.MemoryHotAddEnabled != nil && *vm.Config.MemoryHotAddEnabled && spec.MemoryMB >= int64(hardware.MemoryMB)
	cold := spec.NumCPUs != 0 && spec.NumCPUs != hardware.NumCPU && !hotCPU ||
		spec.MemoryMB != 0 && spec.MemoryMB != int64(hardware.MemoryMB) && !hotMemory ||
		spec.Firmware != "" || spec.Version != "" || spec.GuestId != "" || spec.CpuHotAddEnabled != nil || spec.MemoryHotAddEnabled != nil
	if cold {
		return wrongState(types.VirtualMachinePowerStatePoweredOff, vm.Runtime.PowerState)
	}
	return nil
}

// applySpec changes a machine. On a fault nothing has changed. The caller holds vm.busy, not the store's lock.
func (vm *machine) applySpec(spec *types.VirtualMachineConfigSpec) *soapFault {
	h := vm.host
	if f := checkSpec(spec); f != nil {
		return f
	}
	h.store.mu.RLock()
	f := vm.checkHot(spec)
	devices := append([]types.BaseVirtualDevice{}, vm.Config.Hardware.Device...)
	h.store.mu.RUnlock()
	if f != nil {
		return f
	}
	change := &hardwareChange{host: h, vm: vm, devices: devices}
	if f := change.apply(spec.DeviceChange); f != nil {
		return f
	}
	for name, bytes := range change.grow {
		if f := h.datastore.growDisk(name, bytes); f != nil {
			change.undo()
			return f
		}
	}
	h.store.update(vm.Self, func() {
		vm.Config.Hardware.Device = change.devices
		vm.setFields(spec)
		vm.setExtraConfig(spec.ExtraConfig)
		vm.Config.Modified = time.Now()
		vm.Config.ChangeVersion = vm.Config.Modified.UTC().Format(time.RFC3339Nano)
		vm.syncSummary()
	})
	for _, name := range change.destroy {
		if f := h.datastore.deleteDisk(name); f != nil {
			return f
		}
	}
	return nil
}

func (vm *machine) setFields(spec *types.VirtualMachineConfigSpec) {
	c := vm.Config
	for _, field := range []struct {
		from string
		to   *string
	}{{spec.Name, &vm.Name}, {spec.Name, &c.Name}, {spec.Version, &c.Version}, {spec.GuestId, &c.GuestId},
		{spec.AlternateGuestName, &c.AlternateGuestName}, {spec.Annotation, &c.Annotation}, {spec.Firmware, &c.Firmware},
		{spec.Uuid, &c.Uuid}, {spec.InstanceUuid, &c.InstanceUuid}, {spec.LocationId, &c.LocationId}} {
		if field.from != "" {
			*field.to = field.from
		}
	}
	if spec.GuestId != "" {
		c.GuestFullName = guestName(spec.GuestId)
	}
	if spec.NumCPUs > 0 {
		c.Hardware.NumCPU = spec.NumCPUs
	}
	if spec.NumCoresPerSocket > 0 {
		c.Hardware.NumCoresPerSocket = spec.NumCoresPerSocket
	}
	if spec.MemoryMB > 0 {
		c.Hardware.MemoryMB = int32(spec.MemoryMB)
	}
	for _, flag := range []struct {
		from *bool
		to   **bool
	}{{spec.CpuHotAddEnabled, &c.CpuHotAddEnabled}, {spec.CpuHotRemoveEnabled, &c.CpuHotRemoveEnabled},
		{spec.MemoryHotAddEnabled, &c.MemoryHotAddEnabled}, {spec.NestedHVEnabled, &c.NestedHVEnabled},
		{spec.ChangeTrackingEnabled, &c.ChangeTrackingEnabled}, {spec.MemoryReservationLockedToMax, &c.MemoryReservationLockedToMax}} {
		if flag.from != nil {
			*flag.to = flag.from
		}
	}
	if spec.BootOptions != nil {
		c.BootOptions = spec.BootOptions
	}
	if spec.CpuAllocation != nil {
		c.CpuAllocation = spec.CpuAllocation
	}
	if spec.MemoryAllocation != nil {
		c.MemoryAllocation = spec.MemoryAllocation
	}
	if spec.LatencySensitivity != nil {
		c.LatencySensitivity = spec.LatencySensitivity
	}
}

// setExtraConfig replaces keys; an empty value removes one.
func (vm *machine) setExtraConfig(options []types.BaseOptionValue) {
	for _, option := range options {
		o := option.GetOptionValue()
		kept := vm.Config.ExtraConfig[:0:0]
		for _, old := range vm.Config.ExtraConfig {
			if old.GetOptionValue().Key != o.Key {
				kept = append(kept, old)
			}
		}
		if text, ok := o.Value.(string); !ok || text != "" {
			kept = append(kept, &types.OptionValue{Key: o.Key, Value: o.Value})
		}
		vm.Config.ExtraConfig = kept
	}
}

func (vm *machine) extra(key string) string {
	for _, option := range vm.Config.ExtraConfig {
		if o := option.GetOptionValue(); o.Key == key {
			return fmt.Sprint(o.Value)
		}
	}
	return ""
}

// newDiskName is NAME.vmdk, NAME_1.vmdk, ... beside the vmx.
func (vm *machine) newDiskName(number int32) string {
	vmx := vm.Config.Files.VmPathName
	base := strings.TrimSuffix(vmx, path.Ext(vmx))
	if number == 0 {
		return base + ".vmdk"
	}
	return fmt.Sprintf("%s_%d.vmdk", base, number)
}
