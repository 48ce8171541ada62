package main

// Virtual machines: the list, its file on disk, and how one machine comes into the inventory.

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// machine is a VirtualMachine object. Its fields are guarded by the store's lock; busy is the task that holds it.
type machine struct {
	mo.VirtualMachine
	host   *host
	busy   string
	asked  bool // the moved-or-copied question was answered
	listed bool // has no files: made by `lab populate`
}

// machines is the host's list of registered machines, kept in inventory.json across crashes.
type machines struct {
	host   *host
	fileMu sync.Mutex
	nextID int
	macs   int
}

type inventoryFile struct {
	NextID   int                `json:"next_id"`
	MACs     int                `json:"macs"`
	Machines []inventoryMachine `json:"machines"`
}

type inventoryMachine struct {
	ID       string `json:"id"`
	Path     string `json:"path"`
	Template bool   `json:"template"`
}

func newMachines(h *host) *machines { return &machines{host: h} }

func (m *machines) file() string { return filepath.Join(m.host.config.Dir, "inventory.json") }

// load registers again what was registered before the host went down; everything is powered off then.
func (m *machines) load() error {
	data, err := os.ReadFile(m.file())
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var list inventoryFile
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	m.nextID, m.macs = list.NextID, list.MACs
	for _, entry := range list.Machines {
		vm, f := m.fromVMX(entry.Path, "", entry.ID)
		if f != nil {
			m.host.logf("machine %s not loaded: %s", entry.Path, f.text)
			continue
		}
		vm.Config.Template, vm.Summary.Config.Template = entry.Template, entry.Template
		m.host.store.mu.Lock()
		m.add(vm)
		m.host.store.mu.Unlock()
	}
	return nil
}

// save writes the list; call it without the store's lock.
func (m *machines) save() {
	m.fileMu.Lock()
	defer m.fileMu.Unlock()
	m.host.store.mu.RLock()
	list := inventoryFile{NextID: m.nextID, MACs: m.macs}
	for _, vm := range m.all() {
		if vm.listed {
			continue
		}
		list.Machines = append(list.Machines, inventoryMachine{vm.Self.Value, vm.Config.Files.VmPathName, vm.Config.Template})
	}
	m.host.store.mu.RUnlock()
	data, _ := json.MarshalIndent(list, "", " ")
	temporary := m.file() + ".new"
	if err := os.WriteFile(temporary, data, 0o600); err == nil {
		err = os.Rename(temporary, m.file())
	} else {
		m.host.logf("inventory not saved: %v", err)
	}
}

// all lists the machines; the caller holds the store's lock.
func (m *machines) all() []*machine {
	folder := getObject(fixed.vmFolder)
	if folder == nil {
		return nil
	}
	var list []*machine
	for _, ref := range folder.(*simulator.Folder).ChildEntity {
		if vm, ok := getObject(ref).(*machine); ok {
			list = append(list, vm)
		}
	}
	return list
}

func (m *machines) byRef(ref moref) (*machine, *soapFault) {
	vm, ok := getObject(ref).(*machine)
	if !ok {
		return nil, notFound(ref)
	}
	return vm, nil
}

func (m *machines) byName(name string) *machine {
	for _, vm := range m.all() {
		if vm.Name == name {
			return vm
		}
	}
	return nil
}

// usesFile tells whether a running machine holds a disk file (descriptor or image).
func (m *machines) usesFile(file string) bool {
	m.host.store.mu.RLock()
	defer m.host.store.mu.RUnlock()
	for _, vm := range m.all() {
		if vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOff {
			continue
		}
		for _, name := range vm.diskNames() {
			disk, f := m.host.datastore.resolve(name)
			if f == nil && (file == disk || file == flatOf(disk) || strings.HasPrefix(disk, file+"/")) {
				return true
			}
		}
	}
	return false
}

// newRef is the next id: a plain number on a host, vm-N on a vCenter. The caller holds the store's lock.
func (m *machines) newRef() moref {
	m.nextID++
	value := strconv.Itoa(m.nextID)
	if !m.host.isESX() {
		value = fmt.Sprintf("vm-%d", m.nextID+20)
	}
	return moref{Type: "VirtualMachine", Value: value}
}

// newMAC is unique over all hosts of a lab: the host's number, then a count. The caller holds the store's lock.
func (m *machines) newMAC() string {
	m.macs++
	number := hostNumber(m.host.config.Address)
	prefix := "00:0c:29"
	if !m.host.isESX() {
		prefix = "00:50:56"
		number &= 0x3f
	}
	return fmt.Sprintf("%s:%02x:%02x:%02x", prefix, number, m.macs>>8&0xff, m.macs&0xff)
}

func hostNumber(address string) int {
	n, _ := strconv.Atoi(address[strings.LastIndexByte(address, '.')+1:])
	return n
}

// newMachine makes the object with everything a host fills in by itself; it is not in the inventory yet.
func (m *machines) newMachine(ref moref, name, vmxPath string) *machine {
	vm := &machine{host: m.host}
	vm.Self, vm.Name = ref, name
	vm.Parent, vm.ResourcePool = &fixed.vmFolder, &fixed.pool
	vm.Datastore, vm.Network = []moref{fixed.datastore}, []moref{fixed.network}
	vm.Runtime.Host = &fixed.host
	vm.Runtime.PowerState = types.VirtualMachinePowerStatePoweredOff
	vm.Runtime.ConnectionState = types.VirtualMachineConnectionStateConnected
	vm.Capability = types.VirtualMachineCapability{SnapshotOperationsSupported: true, PoweredOffSnapshotsSupported: true}
	dir := path.Dir(vmxPath) + "/"
	now := time.Now()
	reserve, expand, unlimited := int64(0), true, int64(-1)
	allocation := func(shares int32) *types.ResourceAllocationInfo {
		return &types.ResourceAllocationInfo{Reservation: &reserve, ExpandableReservation: &expand, Limit: &unlimited,
			Shares: &types.SharesInfo{Shares: shares, Level: types.SharesLevelNormal}}
	}
	off := false
	vm.Config = &types.VirtualMachineConfigInfo{ChangeVersion: now.UTC().Format(time.RFC3339Nano), Modified: now, Name: name,
		GuestId: "otherGuest", GuestFullName: "Other (32-bit)", Version: "vmx-14", Uuid: newUUID(), InstanceUuid: newUUID(),
		Firmware: "bios", CreateDate: &now, MemoryHotAddEnabled: &off, CpuHotAddEnabled: &off, CpuHotRemoveEnabled: &off,
		Files: types.VirtualMachineFileInfo{VmPathName: vmxPath, SnapshotDirectory: dir, SuspendDirectory: dir, LogDirectory: dir},
		Tools: &types.ToolsConfigInfo{ToolsVersion: 10346}, BootOptions: &types.VirtualMachineBootOptions{},
		CpuAllocation: allocation(1000), MemoryAllocation: allocation(320)}
	vm.Config.Hardware = types.VirtualHardware{NumCPU: 1, NumCoresPerSocket: 1, MemoryMB: 32, Device: defaultDevices()}
	vm.Guest = &types.GuestInfo{}
	vm.guestStopped()
	vm.Summary.Vm = &vm.Self
	vm.Summary.Storage = &types.VirtualMachineStorageSummary{Timestamp: now}
	vm.syncSummary()
	return vm
}

// syncSummary brings the copies inside summary in line; the caller holds the store's lock.
func (vm *machine) syncSummary() {
	vm.Config.Name = vm.Name
	vm.Summary.Runtime = vm.Runtime
	vm.Summary.OverallStatus = types.ManagedEntityStatusGreen
	vm.Summary.Guest = &types.VirtualMachineGuestSummary{GuestId: vm.Guest.GuestId, GuestFullName: vm.Guest.GuestFullName,
		ToolsStatus: vm.Guest.ToolsStatus, ToolsRunningStatus: vm.Guest.ToolsRunningStatus,
		ToolsVersionStatus2: vm.Guest.ToolsVersionStatus2, HostName: vm.Guest.HostName, IpAddress: vm.Guest.IpAddress}
	c := &vm.Summary.Config
	c.Name, c.Template, c.VmPathName = vm.Name, vm.Config.Template, vm.Config.Files.VmPathName
	c.MemorySizeMB, c.NumCpu = vm.Config.Hardware.MemoryMB, vm.Config.Hardware.NumCPU
	c.Uuid, c.InstanceUuid, c.GuestId, c.GuestFullName = vm.Config.Uuid, vm.Config.InstanceUuid, vm.Config.GuestId, vm.Config.GuestFullName
	c.Annotation = vm.Config.Annotation
	c.NumVirtualDisks = int32(len(vm.diskNames()))
	c.NumEthernetCards = int32(len(vm.cards()))
	vm.Summary.QuickStats.GuestHeartbeatStatus = vm.GuestHeartbeatStatus
}

// add puts a machine into the inventory; the caller holds the store's lock.
func (m *machines) add(vm *machine) {
	folder := getObject(fixed.vmFolder).(*simulator.Folder)
	folder.ChildEntity = append(folder.ChildEntity, vm.Self)
	pool := managedObject(getObject(fixed.pool)).Addr().Interface().(*mo.ResourcePool)
	if !vm.Config.Template {
		pool.Vm = append(pool.Vm, vm.Self)
	} else {
		vm.ResourcePool = nil
	}
	hs := getObject(fixed.host).(*simulator.HostSystem)
	hs.Vm = append(hs.Vm, vm.Self)
	ds := getObject(fixed.datastore).(*simulator.Datastore)
	ds.Vm = append(ds.Vm, vm.Self)
	m.host.store.put(vm, fixed.vmFolder, fixed.pool, fixed.host, fixed.datastore)
}

// drop takes a machine out of the inventory; the caller holds the store's lock.
func (m *machines) drop(vm *machine) {
	folder := getObject(fixed.vmFolder).(*simulator.Folder)
	simulator.RemoveReference(&folder.ChildEntity, vm.Self)
	pool := managedObject(getObject(fixed.pool)).Addr().Interface().(*mo.ResourcePool)
	simulator.RemoveReference(&pool.Vm, vm.Self)
	hs := getObject(fixed.host).(*simulator.HostSystem)
	simulator.RemoveReference(&hs.Vm, vm.Self)
	ds := getObject(fixed.datastore).(*simulator.Datastore)
	simulator.RemoveReference(&ds.Vm, vm.Self)
	m.host.store.remove(vm.Self, fixed.vmFolder, fixed.pool, fixed.host, fixed.datastore)
}

// task starts work that needs the machine for itself; a second one is refused with TaskInProgress.
func (vm *machine) task(c *call, description string, cancelable bool, work taskWork) (moref, *soapFault) {
	return vm.taskFor(c.method, c.session.info.UserName, description, cancelable, work)
}

func (vm *machine) taskFor(method, user, description string, cancelable bool, work taskWork) (moref, *soapFault) {
	h := vm.host
	h.store.mu.Lock()
	if vm.busy != "" {
		h.store.mu.Unlock()
		return moref{}, fault(&types.TaskInProgress{Task: moref{Type: "Task", Value: vm.busy}})
	}
	vm.busy = method
	h.store.mu.Unlock()
	return h.startTask(taskSpec{method: method, description: "VirtualMachine." + description, entity: vm.Self,
		entityName: vm.Name, user: user, cancelable: cancelable,
		ended: func() { h.store.update(vm.Self, func() { vm.busy = "" }) }}, work), nil
}

// wrongState is InvalidPowerState with what was wanted and what is.
func wrongState(wanted, now types.VirtualMachinePowerState) *soapFault {
	return fault(&types.InvalidPowerState{RequestedState: wanted, ExistingState: now})
}

func (vm *machine) diskNames() []string {
	var names []string
	for _, device := range vm.Config.Hardware.Device {
		if disk, ok := device.(*types.VirtualDisk); ok {
			names = append(names, diskFile(disk))
		}
	}
	return names
}

func (vm *machine) cards() []*types.VirtualEthernetCard {
	var cards []*types.VirtualEthernetCard
	for _, device := range vm.Config.Hardware.Device {
		if card, ok := device.(types.BaseVirtualEthernetCard); ok {
			cards = append(cards, card.GetVirtualEthernetCard())
		}
	}
	return cards
}
