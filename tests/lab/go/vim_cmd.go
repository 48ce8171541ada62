package main

// vim-cmd: machines from the shell, with the outputs that scripts look for.

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

func (h *host) vimCmd(request shellRequest, output shellOutput) int {
	args := request.Arguments
	if len(args) == 0 {
		output.err("Commands available under /:\nhostsvc/  solo/  vimsvc/  vmsvc/\n")
		return 1
	}
	switch args[0] {
	case "vmsvc/getallvms":
		return h.vimList(output)
	case "solo/registervm":
		return h.vimRegister(request, output)
	case "vmsvc/createdummyvm":
		return h.vimDummy(request, output)
	case "hostsvc/hostsummary":
		output.out("Listsummary:\n\n(vim.host.Summary) {\n   name = \"%s\",\n   fullName = \"VMware ESXi 6.7.0 build-14320388\",\n}\n", h.config.Name)
		return 0
	case "hostsvc/datastore/listsummary":
		h.datastore.refresh()
		h.store.mu.RLock()
		summary := h.datastore.object.Summary
		h.store.mu.RUnlock()
		output.out("(vim.Datastore.Summary) [\n   (vim.Datastore.Summary) {\n      name = \"%s\",\n      url = \"%s\",\n"+
			"      capacity = %d,\n      freeSpace = %d,\n      accessible = true,\n      type = \"VMFS\",\n   }\n]\n",
			summary.Name, summary.Url, summary.Capacity, summary.FreeSpace)
		return 0
	case "vimsvc/license":
		licence := h.licence()
		output.out("[200] serial: %s\n   editionKey: %s\n   name: %s\n", licence.LicenseKey, licence.EditionKey, licence.Name)
		return 0
	}
	return h.vimMachine(args, output)
}

func (h *host) vimList(output shellOutput) int {
	h.store.mu.RLock()
	defer h.store.mu.RUnlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %s %s %s\n", pad("Vmid", 6), pad("Name", 20), pad("File", 50), pad("Guest OS", 20), pad("Version", 9), "Annotation")
	for _, vm := range h.vms.all() {
		fmt.Fprintf(&b, "%s %s %s %s %s %s\n", pad(vm.Self.Value, 6), pad(vm.Name, 20), pad(vm.Config.Files.VmPathName, 50),
			pad(vm.Config.GuestId, 20), pad(vm.Config.Version, 9), vm.Config.Annotation)
	}
	output.out("%s", b.String())
	return 0
}

func (h *host) vimRegister(request shellRequest, output shellOutput) int {
	args := request.Arguments
	if len(args) < 2 {
		output.err("Insufficient arguments.\nUsage: registervm vm /vmfs/volumes/DATASTORE/FOLDER/NAME.vmx [name] [resourcepool]\n")
		return 1
	}
	name, ok := h.shellPath(request, args[1])
	if !ok {
		output.err("(vim.fault.NotFound) {\n   faultCause = (vmodl.MethodFault) null,\n   msg = \"The object or item referred to could not be found.\"\n}\n")
		return 1
	}
	wanted := ""
	if len(args) > 2 {
		wanted = args[2]
	}
	vm, f := h.register(name, wanted, false)
	if f != nil {
		return vimFault(output, f)
	}
	output.out("%s\n", vm.Self.Value)
	return 0
}

func (h *host) vimDummy(request shellRequest, output shellOutput) int {
	if len(request.Arguments) < 3 {
		output.err("Insufficient arguments.\nUsage: createdummyvm vmname datastore\n")
		return 1
	}
	name := request.Arguments[1]
	vm, f := h.makeMachine(&types.VirtualMachineConfigSpec{Name: name, MemoryMB: 32, NumCPUs: 1,
		Files: &types.VirtualMachineFileInfo{VmPathName: "[" + h.datastore.name + "]"},
		DeviceChange: []types.BaseVirtualDeviceConfigSpec{addSpec(&types.VirtualLsiLogicController{VirtualSCSIController: types.VirtualSCSIController{
			VirtualController: types.VirtualController{VirtualDevice: types.VirtualDevice{Key: -1}}, SharedBus: "noSharing"}}),
			&types.VirtualDeviceConfigSpec{Operation: "add", FileOperation: "create", Device: &types.VirtualDisk{
				VirtualDevice: types.VirtualDevice{Key: -2, ControllerKey: -1, UnitNumber: types.NewInt32(0),
					Backing: &types.VirtualDiskFlatVer2BackingInfo{DiskMode: "persistent"}}, CapacityInKB: 1024}}}})
	if f != nil {
		return vimFault(output, f)
	}
	output.out("%s\n", vm.Self.Value)
	return 0
}

func vimFault(output shellOutput, f *soapFault) int {
	output.err("(vim.fault.%s) {\n   faultCause = (vmodl.MethodFault) null,\n   msg = \"%s\"\n}\n", faultName(f.detail), f.text)
	return 1
}

var stateWords = map[types.VirtualMachinePowerState]string{poweredOn: "Powered on", poweredOff: "Powered off", suspended: "Suspended"}

// vimMachine is every command about one machine: its id is the first argument.
func (h *host) vimMachine(args []string, output shellOutput) int {
	name := strings.TrimPrefix(args[0], "vmsvc/")
	if name == args[0] {
		output.err("Invalid command '%s'.\n", args[0])
		return 1
	}
	if len(args) < 2 {
		output.err("Insufficient arguments.\nUsage: %s vmid\n", name)
		return 1
	}
	h.store.mu.RLock()
	vm, f := h.vms.byRef(moref{Type: "VirtualMachine", Value: args[1]})
	h.store.mu.RUnlock()
	if f != nil {
		output.err("Unable to find a VM corresponding to \"%s\"\n", args[1])
		return 1
	}
	if strings.HasPrefix(name, "get.") || name == "power.getstate" || name == "device.getdevices" {
		return h.vimShow(vm, name, output)
	}
	if name == "message" {
		return h.vimMessage(vm, args[2:], output)
	}
	if name == "unregister" {
		if f := h.unregister(vm); f != nil {
			return vimFault(output, f)
		}
		return 0
	}
	return h.vimTask(vm, name, output)
}

// vimTask runs a task to its end, as the shell's commands wait for theirs.
func (h *host) vimTask(vm *machine, name string, output shellOutput) int {
	var work taskWork
	word := ""
	switch name {
	case "power.on":
		word, work = "Powering on VM:", func(*task) (interface{}, *soapFault) { return nil, h.powerOn(vm) }
	case "power.off":
		word, work = "Powering off VM:", func(*task) (interface{}, *soapFault) { return nil, h.powerOff(vm) }
	case "destroy":
		work = func(*task) (interface{}, *soapFault) { return nil, h.destroy(vm) }
	case "reload":
		work = func(*task) (interface{}, *soapFault) { return nil, h.reload(vm) }
	case "power.reset":
		word, work = "Reset VM:", func(*task) (interface{}, *soapFault) {
			if state := h.powerState(vm); state != poweredOn {
				return nil, wrongState(poweredOn, state)
			}
			h.guests.stop(vm)
			return nil, h.boot(vm)
		}
	case "power.shutdown", "power.reboot":
		h.store.mu.RLock()
		running := vm.toolsRunning()
		h.store.mu.RUnlock()
		if !running {
			return vimFault(output, fault(&types.ToolsUnavailable{}))
		}
		h.guests.signal(vm, name == "power.reboot")
		return 0
	default:
		output.err("Invalid command 'vmsvc/%s'.\n", name)
		return 1
	}
	if word != "" {
		output.out("%s\n", word)
	}
	ref, f := vm.taskFor("vim-cmd "+name, "root", strings.TrimPrefix(name, "power."), false, work)
	if f == nil {
		f = h.awaitTask(ref)
	}
	if f != nil {
		return vimFault(output, f)
	}
	return 0
}

func (h *host) awaitTask(ref moref) *soapFault {
	for {
		change := h.store.nextChange()
		h.store.mu.RLock()
		t, _ := getObject(ref).(*task)
		state := types.TaskInfoStateSuccess
		var failure *types.LocalizedMethodFault
		if t != nil {
			state, failure = t.Info.State, t.Info.Error
		}
		h.store.mu.RUnlock()
		if state == types.TaskInfoStateSuccess {
			return nil
		}
		if state == types.TaskInfoStateError {
			return &soapFault{failure.LocalizedMessage, failure.Fault.(types.BaseMethodFault)}
		}
		select {
		case <-change:
		case <-time.After(time.Second):
		}
	}
}

// reload reads a machine's vmx again after it was edited by hand.
func (h *host) reload(vm *machine) *soapFault {
	if state := h.powerState(vm); state != poweredOff {
		return wrongState(poweredOff, state)
	}
	fresh, f := h.vms.fromVMX(vm.Config.Files.VmPathName, "", vm.Self.Value)
	if f != nil {
		return f
	}
	h.store.update(vm.Self, func() {
		vm.Name, vm.Config = fresh.Name, fresh.Config
		vm.syncSummary()
	})
	return nil
}

func (h *host) vimShow(vm *machine, name string, output shellOutput) int {
	h.store.mu.RLock()
	defer h.store.mu.RUnlock()
	unset := func(text string) string {
		if text == "" {
			return "<unset>"
		}
		return strconv.Quote(text)
	}
	switch name {
	case "power.getstate":
		output.out("Retrieved runtime info\n%s\n", stateWords[vm.Runtime.PowerState])
	case "get.summary", "get.config":
		output.out("Listsummary:\n\n(vim.vm.Summary) {\n   vm = 'vim.VirtualMachine:%s',\n   runtime = (vim.vm.RuntimeInfo) {\n"+
			"      powerState = \"%s\",\n   },\n   guest = (vim.vm.Summary.GuestSummary) {\n      toolsRunningStatus = \"%s\",\n"+
			"      hostName = %s,\n      ipAddress = %s,\n   },\n   config = (vim.vm.Summary.ConfigSummary) {\n      name = %s,\n"+
			"      vmPathName = %s,\n      memorySizeMB = %d,\n      numCpu = %d,\n      uuid = \"%s\",\n      instanceUuid = \"%s\",\n"+
			"      guestId = \"%s\",\n      annotation = %s,\n   },\n}\n", vm.Self.Value, vm.Runtime.PowerState, vm.Guest.ToolsRunningStatus,
			unset(vm.Guest.HostName), unset(vm.Guest.IpAddress), unset(vm.Name), unset(vm.Config.Files.VmPathName),
			vm.Config.Hardware.MemoryMB, vm.Config.Hardware.NumCPU, vm.Config.Uuid, vm.Config.InstanceUuid, vm.Config.GuestId, unset(vm.Config.Annotation))
	case "get.guest":
		output.out("Guest information:\n\n(vim.vm.GuestInfo) {\n   toolsRunningStatus = \"%s\",\n   hostName = %s,\n   ipAddress = %s,\n   guestState = \"%s\",\n}\n",
			vm.Guest.ToolsRunningStatus, unset(vm.Guest.HostName), unset(vm.Guest.IpAddress), vm.Guest.GuestState)
	case "get.runtime":
		output.out("Runtime information\n\n(vim.vm.RuntimeInfo) {\n   powerState = \"%s\",\n   question = %s,\n}\n", vm.Runtime.PowerState,
			map[bool]string{true: "<unset>", false: "(vim.vm.QuestionInfo) {}"}[vm.Runtime.Question == nil])
	case "device.getdevices":
		for _, device := range vm.Config.Hardware.Device {
			output.out("   (vim.vm.device.%s) {\n      key = %d,\n   }\n", typeName(device), device.GetVirtualDevice().Key)
		}
	default:
		output.err("Invalid command 'vmsvc/%s'.\n", name)
		return 1
	}
	return 0
}

func (h *host) vimMessage(vm *machine, rest []string, output shellOutput) int {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	question := vm.Runtime.Question
	if question == nil {
		output.out("No message.\n")
		return 0
	}
	if len(rest) == 2 {
		vm.asked, vm.Runtime.Question = rest[1] != "0", nil
		if rest[1] == "2" {
			vm.Config.Uuid = newUUID()
		}
		vm.syncSummary()
		h.store.touch(vm.Self)
		return 0
	}
	output.out("Virtual machine message %s:\n%s\n0. button.uuid.cancel (Cancel)\n1. button.uuid.movedTheVM (I _moved it)\n"+
		"2. button.uuid.copiedTheVM (I _copied it) [default]\n", question.Id, question.Text)
	return 0
}
