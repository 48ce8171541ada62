package main

// Making, changing and removing machines.

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

func (h *host) createVM(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.CreateVM_Task)
	if f := h.checkPlace(c.this, &req.Pool, req.Host); f != nil {
		return nil, f
	}
	spec := req.Config
	if spec.Name == "" {
		return nil, badArgument("configSpec.name")
	}
	if spec.Files == nil || spec.Files.VmPathName == "" {
		return nil, badArgument("configSpec.files.vmPathName")
	}
	if _, f := h.datastore.resolve(spec.Files.VmPathName); f != nil {
		return nil, f
	}
	if f := checkSpec(&spec); f != nil {
		return nil, f
	}
	return h.startTask(taskSpec{method: c.method, description: "Folder.createVm", entity: c.this, entityName: "vm",
		user: c.session.info.UserName}, func(*task) (interface{}, *soapFault) {
		vm, f := h.makeMachine(&spec)
		if f != nil {
			return nil, f
		}
		return vm.Self, nil
	}), nil
}

// checkPlace wants the folder, pool and host of this server.
func (h *host) checkPlace(folder moref, pool, on *moref) *soapFault {
	if folder != fixed.vmFolder {
		return fault(&types.NotSupported{})
	}
	if pool != nil && *pool != fixed.pool {
		return notFound(*pool)
	}
	if on != nil && *on != fixed.host {
		return notFound(*on)
	}
	return nil
}

// makeMachine creates the folder, the files and the object; on a fault none of them is left.
func (h *host) makeMachine(spec *types.VirtualMachineConfigSpec) (*machine, *soapFault) {
	h.store.mu.RLock()
	taken := h.vms.byName(spec.Name)
	h.store.mu.RUnlock()
	if taken != nil {
		return nil, faultf(&types.DuplicateName{Name: spec.Name, Object: taken.Self}, "The name '%s' already exists.", spec.Name)
	}
	vmxPath, dir, f := h.makeMachineFolder(spec)
	if f != nil {
		return nil, f
	}
	h.store.mu.Lock()
	vm := h.vms.newMachine(h.vms.newRef(), spec.Name, vmxPath)
	h.store.mu.Unlock()
	if f = vm.applySpec(spec); f == nil {
		f = vm.writeVMX()
	}
	if f == nil {
		base := strings.TrimSuffix(filepath.Base(vmxPath), ".vmx")
		if err := os.WriteFile(filepath.Join(dir, base+".vmsd"), nil, 0o644); err != nil {
			f = fileFault(err, vmxPath)
		}
	}
	if f != nil {
		h.store.mu.Lock()
		h.store.remove(vm.Self)
		h.store.mu.Unlock()
		os.RemoveAll(dir)
		return nil, f
	}
	h.store.mu.Lock()
	if other := h.vms.byName(spec.Name); other != nil {
		h.store.mu.Unlock()
		os.RemoveAll(dir)
		return nil, faultf(&types.DuplicateName{Name: spec.Name, Object: other.Self}, "The name '%s' already exists.", spec.Name)
	}
	h.vms.add(vm)
	h.store.mu.Unlock()
	h.vms.save()
	return vm, nil
}

// makeMachineFolder finds the folder of a new machine: the one in the path, or the name, or name_1 when it exists.
func (h *host) makeMachineFolder(spec *types.VirtualMachineConfigSpec) (vmxPath, dir string, f *soapFault) {
	file, f := h.datastore.resolve(spec.Files.VmPathName)
	if f != nil {
		return "", "", f
	}
	if strings.HasSuffix(file, ".vmx") {
		dir = filepath.Dir(file)
		if _, err := os.Stat(file); err == nil {
			return "", "", fault(&types.FileAlreadyExists{FileFault: types.FileFault{File: spec.Files.VmPathName}})
		}
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return "", "", fileFault(err, spec.Files.VmPathName)
		}
		return h.datastore.path(file), dir, nil
	}
	if file == h.datastore.dir {
		file = filepath.Join(file, spec.Name)
	}
	for n := 0; n < 1000; n++ {
		dir = file
		if n > 0 {
			dir = fmt.Sprintf("%s_%d", file, n)
		}
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			return h.datastore.path(filepath.Join(dir, spec.Name+".vmx")), dir, nil
		}
		if !errors.Is(err, os.ErrExist) {
			return "", "", fileFault(err, spec.Files.VmPathName)
		}
	}
	return "", "", fault(&types.FileAlreadyExists{FileFault: types.FileFault{File: spec.Files.VmPathName}})
}

// target finds the machine a call is about.
func (h *host) target(c *call) (*machine, *soapFault) {
	h.store.mu.RLock()
	defer h.store.mu.RUnlock()
	return h.vms.byRef(c.this)
}

func (h *host) reconfigVM(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.ReconfigVM_Task)
	vm, f := h.target(c)
	if f != nil {
		return nil, f
	}
	ref, f := vm.task(c, "reconfigure", false, func(*task) (interface{}, *soapFault) {
		if f := vm.applySpec(&req.Spec); f != nil {
			return nil, f
		}
		return nil, vm.writeVMX()
	})
	return ref, f
}

func (h *host) renameTask(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.Rename_Task)
	if c.this.Type != "VirtualMachine" {
		return nil, fault(&types.NotSupported{})
	}
	vm, f := h.target(c)
	if f != nil {
		return nil, f
	}
	if req.NewName == "" || len(req.NewName) > 80 {
		return nil, fault(&types.InvalidName{Name: req.NewName})
	}
	ref, f := vm.task(c, "rename", false, func(*task) (interface{}, *soapFault) {
		var taken *machine
		h.store.update(vm.Self, func() {
			if taken = h.vms.byName(req.NewName); taken == nil || taken == vm {
				vm.Name = req.NewName
				vm.syncSummary()
			}
		})
		if taken != nil && taken != vm {
			return nil, faultf(&types.DuplicateName{Name: req.NewName, Object: taken.Self}, "The name '%s' already exists.", req.NewName)
		}
		return nil, vm.writeVMX()
	})
	return ref, f
}

func (h *host) registerVM(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.RegisterVM_Task)
	if f := h.checkPlace(c.this, req.Pool, req.Host); f != nil {
		return nil, f
	}
	if req.AsTemplate && h.isESX() {
		return nil, fault(&types.NotSupported{})
	}
	if !req.AsTemplate && req.Pool == nil {
		return nil, badArgument("pool")
	}
	return h.startTask(taskSpec{method: c.method, description: "Folder.registerVm", entity: c.this, entityName: "vm",
		user: c.session.info.UserName}, func(*task) (interface{}, *soapFault) {
		vm, f := h.register(req.Path, req.Name, req.AsTemplate)
		if f != nil {
			return nil, f
		}
		return vm.Self, nil
	}), nil
}

func (h *host) register(vmxPath, name string, template bool) (*machine, *soapFault) {
	h.store.mu.RLock()
	for _, other := range h.vms.all() {
		if other.Config.Files.VmPathName == vmxPath {
			h.store.mu.RUnlock()
			return nil, faultf(&types.AlreadyExists{Name: vmxPath}, "The specified key, name, or identifier '%s' already exists.", vmxPath)
		}
	}
	h.store.mu.RUnlock()
	vm, f := h.vms.fromVMX(vmxPath, name, "")
	if f != nil {
		return nil, f
	}
	h.store.mu.Lock()
	if other := h.vms.byName(vm.Name); other != nil {
		h.store.mu.Unlock()
		return nil, faultf(&types.DuplicateName{Name: vm.Name, Object: other.Self}, "The name '%s' already exists.", vm.Name)
	}
	vm.Config.Template = template
	vm.setExtraConfig([]types.BaseOptionValue{&types.OptionValue{Key: "uuid.action", Value: ""}})
	vm.syncSummary()
	h.vms.add(vm)
	h.store.mu.Unlock()
	h.vms.save()
	return vm, vm.writeVMX()
}

func (h *host) unregisterVM(c *call) (interface{}, *soapFault) {
	vm, f := h.target(c)
	if f != nil {
		return nil, f
	}
	return nil, h.unregister(vm)
}

func (h *host) unregister(vm *machine) *soapFault {
	h.store.mu.Lock()
	if state := vm.Runtime.PowerState; state != types.VirtualMachinePowerStatePoweredOff {
		h.store.mu.Unlock()
		return wrongState(types.VirtualMachinePowerStatePoweredOff, state)
	}
	h.vms.drop(vm)
	h.store.mu.Unlock()
	h.vms.save()
	return nil
}

func (h *host) destroyTask(c *call) (interface{}, *soapFault) {
	if c.this.Type != "VirtualMachine" {
		return nil, fault(&types.NotSupported{})
	}
	vm, f := h.target(c)
	if f != nil {
		return nil, f
	}
	ref, f := vm.task(c, "destroy", false, func(*task) (interface{}, *soapFault) { return nil, h.destroy(vm) })
	return ref, f
}

// destroy removes a machine with its disks, wherever they lie, and its folder when nothing else is in it.
func (h *host) destroy(vm *machine) *soapFault {
	h.store.mu.RLock()
	state, disks, vmxPath := vm.Runtime.PowerState, vm.diskNames(), vm.Config.Files.VmPathName
	h.store.mu.RUnlock()
	if state != types.VirtualMachinePowerStatePoweredOff {
		return wrongState(types.VirtualMachinePowerStatePoweredOff, state)
	}
	for _, disk := range disks {
		if f := h.datastore.deleteDisk(disk); f != nil {
			if _, gone := f.detail.(*types.FileNotFound); !gone {
				return f
			}
		}
	}
	file, f := h.datastore.resolve(vmxPath)
	if f != nil {
		return f
	}
	base := strings.TrimSuffix(file, ".vmx")
	logs, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "vmware*.log"))
	for _, own := range append(logs, file, base+".nvram", base+".vmsd", base+".vmxf") {
		if err := os.Remove(own); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fileFault(err, vmxPath)
		}
	}
	// Foreign files keep the folder, as on a host.
	_ = os.Remove(filepath.Dir(file))
	h.store.mu.Lock()
	h.vms.drop(vm)
	h.store.mu.Unlock()
	h.vms.save()
	h.datastore.refresh()
	return nil
}

func (h *host) setTemplate(c *call, template bool) (interface{}, *soapFault) {
	vm, f := h.target(c)
	if f != nil {
		return nil, f
	}
	h.store.mu.Lock()
	switch {
	case vm.Config.Template == template:
		f = fault(&types.NotSupported{})
	case vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOff:
		f = wrongState(types.VirtualMachinePowerStatePoweredOff, vm.Runtime.PowerState)
	default:
		h.vms.drop(vm)
		vm.Config.Template = template
		vm.ResourcePool = &fixed.pool
		vm.syncSummary()
		h.vms.add(vm)
	}
	h.store.mu.Unlock()
	h.vms.save()
	return nil, f
}

func (h *host) cloneVM(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.CloneVM_Task)
	source, f := h.target(c)
	if f != nil {
		return nil, f
	}
	if f := h.checkPlace(req.Folder, req.Spec.Location.Pool, req.Spec.Location.Host); f != nil {
		return nil, f
	}
	if req.Spec.Location.Pool == nil && source.Config.Template && !req.Spec.Template {
		return nil, badArgument("spec.location.pool")
	}
	if ds := req.Spec.Location.Datastore; ds != nil && *ds != fixed.datastore {
		return nil, notFound(*ds)
	}
	if req.Name == "" || len(req.Name) > 80 {
		return nil, fault(&types.InvalidName{Name: req.Name})
	}
	if req.Spec.Snapshot != nil || req.Spec.Location.DiskMoveType == "createNewChildDiskBacking" {
		return nil, fault(&types.NotSupported{})
	}
	if req.Spec.Customization != nil {
		return nil, faultf(&types.UncustomizableGuest{UncustomizableGuestOS: source.Config.GuestId},
			"Customization of the guest operating system is not supported in this configuration.")
	}
	// A source being copied stays free for other copies, so the task is not the machine's own.
	return h.startTask(taskSpec{method: c.method, description: "VirtualMachine.clone", entity: source.Self,
		entityName: source.Name, user: c.session.info.UserName, cancelable: true}, func(t *task) (interface{}, *soapFault) {
		return h.clone(t, source, req)
	}), nil
}

func (h *host) clone(t *task, source *machine, req *types.CloneVM_Task) (interface{}, *soapFault) {
	h.store.mu.RLock()
	spec := types.VirtualMachineConfigSpec{Name: req.Name, Version: source.Config.Version, GuestId: source.Config.GuestId,
		Firmware: source.Config.Firmware, Annotation: source.Config.Annotation, NumCPUs: source.Config.Hardware.NumCPU,
		NumCoresPerSocket: source.Config.Hardware.NumCoresPerSocket, MemoryMB: int64(source.Config.Hardware.MemoryMB),
		CpuHotAddEnabled: source.Config.CpuHotAddEnabled, MemoryHotAddEnabled: source.Config.MemoryHotAddEnabled,
		BootOptions: source.Config.BootOptions,
		Files:       &types.VirtualMachineFileInfo{VmPathName: "[" + h.datastore.name + "]"}}
	var disks []types.BaseVirtualDeviceConfigSpec
	for _, device := range source.Config.Hardware.Device {
		copied := copyDevice(device)
		switch d := copied.(type) {
		case *types.VirtualDisk:
			disks = append(disks, addSpec(d))
		case types.BaseVirtualEthernetCard:
			d.GetVirtualEthernetCard().MacAddress, d.GetVirtualEthernetCard().AddressType = "", "assigned"
			d.GetVirtualEthernetCard().UnitNumber = nil
			spec.DeviceChange = append(spec.DeviceChange, addSpec(copied))
		case types.BaseVirtualSCSIController, *types.VirtualAHCIController, *types.VirtualNVMEController:
			spec.DeviceChange = append(spec.DeviceChange, addSpec(copied))
		}
	}
	h.store.mu.RUnlock()
	vm, f := h.makeMachine(&spec)
	if f != nil {
		return nil, f
	}
	undo := func(f *soapFault) (interface{}, *soapFault) {
		_ = h.destroy(vm)
		dir, _ := h.datastore.resolve(path.Dir(vm.Config.Files.VmPathName))
		_ = os.RemoveAll(dir)
		return nil, f
	}
	attach := types.VirtualMachineConfigSpec{}
	for i, change := range disks {
		disk := change.GetVirtualDeviceConfigSpec().Device.(*types.VirtualDisk)
		target := vm.newDiskName(int32(i))
		if f := h.datastore.copyDisk(t.ctx, diskFile(disk), target, true, "", t.progress); f != nil {
			return undo(f)
		}
		disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo).FileName = target
		attach.DeviceChange = append(attach.DeviceChange, change)
	}
	if f := vm.applySpec(&attach); f != nil {
		return undo(f)
	}
	if req.Spec.Config != nil {
		if f := vm.applySpec(req.Spec.Config); f != nil {
			return undo(f)
		}
	}
	if f := vm.writeVMX(); f != nil {
		return undo(f)
	}
	h.datastore.refresh()
	if req.Spec.Template {
		h.store.mu.Lock()
		h.vms.drop(vm)
		vm.Config.Template = true
		vm.syncSummary()
		h.vms.add(vm)
		h.store.mu.Unlock()
		h.vms.save()
	}
	if req.Spec.PowerOn && !req.Spec.Template {
		if f := h.powerOn(vm); f != nil {
			return undo(f)
		}
	}
	return vm.Self, nil
}

func (h *host) createSnapshot(c *call) (interface{}, *soapFault) {
	// Drover refuses templates with snapshots and takes none itself; the lab has no delta disks.
	return nil, fault(&types.NotSupported{})
}

func (h *host) now(*call) (interface{}, *soapFault) { return time.Now(), nil }
