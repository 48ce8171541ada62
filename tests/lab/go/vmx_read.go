package main

// From a .vmx file to a machine, as registering does it.

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
)

var diskKey = regexp.MustCompile(`^(scsi|sata|nvme|ide)(\d+):(\d+)\.fileName$`)

// Keys that become fields of the configuration; the rest stays as extraConfig.
var vmxOwn = regexp.MustCompile(`^(\.encoding|config\.version|virtualHW\.version|displayName|guestOS|annotation|firmware|` +
	`memSize|memsize|numvcpus|cpuid\.coresPerSocket|uuid\.(bios|location)|vc\.uuid|nvram|vcpu\.hotadd|mem\.hotadd|extendedConfigFile|` +
	`(scsi|sata|nvme|ide)\d+[:.].*|ethernet\d+\..*)$`)

// fromVMX builds a machine from a registered file. id "" takes the next one. The machine is not in the inventory yet.
func (m *machines) fromVMX(vmxPath, name, id string) (*machine, *soapFault) {
	file, f := m.host.datastore.resolve(vmxPath)
	if f != nil {
		return nil, f
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fileFault(err, vmxPath)
	}
	values := parseVMX(text)
	if values["config.version"] == "" && values["displayName"] == "" {
		return nil, faultf(&types.InvalidVmConfig{Property: "vmx"}, "The configuration file %s is not valid.", vmxPath)
	}
	if name == "" {
		name = values["displayName"]
	}
	m.host.store.mu.Lock()
	ref := moref{Type: "VirtualMachine", Value: id}
	if id == "" {
		ref = m.newRef()
	}
	m.host.store.mu.Unlock()
	vm := m.newMachine(ref, name, vmxPath)
	return vm, vm.readVMX(values)
}

func (vm *machine) readVMX(values map[string]string) *soapFault {
	number := func(key string, fallback int) int {
		if n, err := strconv.Atoi(values[key]); err == nil {
			return n
		}
		return fallback
	}
	c := vm.Config
	c.Version = fmt.Sprintf("vmx-%02d", number("virtualHW.version", newestHardware))
	c.GuestId = vmxGuest(values["guestOS"])
	c.GuestFullName = guestName(c.GuestId)
	c.Annotation = values["annotation"]
	if values["firmware"] != "" {
		c.Firmware = values["firmware"]
	}
	c.Hardware.MemoryMB = int32(number("memSize", number("memsize", 32)))
	c.Hardware.NumCPU = int32(number("numvcpus", 1))
	c.Hardware.NumCoresPerSocket = int32(number("cpuid.coresPerSocket", 1))
	if uuid := uuidFromVMX(values["uuid.bios"]); uuid != "" && values["uuid.action"] != "create" {
		c.Uuid = uuid
	}
	if uuid := uuidFromVMX(values["vc.uuid"]); uuid != "" && values["uuid.action"] != "create" {
		c.InstanceUuid = uuid
	}
	cpu, memory := strings.EqualFold(values["vcpu.hotadd"], "true"), strings.EqualFold(values["mem.hotadd"], "true")
	c.CpuHotAddEnabled, c.MemoryHotAddEnabled = &cpu, &memory
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	change := &hardwareChange{host: vm.host, vm: vm, devices: c.Hardware.Device}
	if f := change.apply(vm.vmxDeviceChanges(keys, values)); f != nil {
		return f
	}
	c.Hardware.Device = change.devices
	vm.keepAddresses(values)
	for _, key := range keys {
		if !vmxOwn.MatchString(key) {
			c.ExtraConfig = append(c.ExtraConfig, &types.OptionValue{Key: key, Value: values[key]})
		}
	}
	vm.syncSummary()
	return nil
}

func vmxGuest(name string) string {
	if name == "" {
		return "otherGuest"
	}
	id := strings.ReplaceAll(name, "-64", "_64") + "Guest"
	if knownGuest(id) {
		return id
	}
	if knownGuest(strings.ReplaceAll(id, "_64", "64")) {
		return strings.ReplaceAll(id, "_64", "64")
	}
	return "otherGuest"
}

func present(values map[string]string, prefix string) bool {
	return strings.EqualFold(values[prefix+"present"], "true")
}

func addSpec(device types.BaseVirtualDevice) types.BaseVirtualDeviceConfigSpec {
	return &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: device}
}

func (vm *machine) vmxDeviceChanges(keys []string, values map[string]string) []types.BaseVirtualDeviceConfigSpec {
	var changes []types.BaseVirtualDeviceConfigSpec
	for bus := int32(0); bus < 4; bus++ {
		controller := types.VirtualController{BusNumber: bus}
		scsi := types.VirtualSCSIController{VirtualController: controller, SharedBus: types.VirtualSCSISharingNoSharing}
		if present(values, fmt.Sprintf("scsi%d.", bus)) {
			switch values[fmt.Sprintf("scsi%d.virtualDev", bus)] {
			case "pvscsi":
				changes = append(changes, addSpec(&types.ParaVirtualSCSIController{VirtualSCSIController: scsi}))
			case "lsisas1068":
				changes = append(changes, addSpec(&types.VirtualLsiLogicSASController{VirtualSCSIController: scsi}))
			case "buslogic":
				changes = append(changes, addSpec(&types.VirtualBusLogicController{VirtualSCSIController: scsi}))
			default:
				changes = append(changes, addSpec(&types.VirtualLsiLogicController{VirtualSCSIController: scsi}))
			}
		}
		if present(values, fmt.Sprintf("sata%d.", bus)) {
			changes = append(changes, addSpec(&types.VirtualAHCIController{VirtualSATAController: types.VirtualSATAController{VirtualController: controller}}))
		}
		if present(values, fmt.Sprintf("nvme%d.", bus)) {
			changes = append(changes, addSpec(&types.VirtualNVMEController{VirtualController: controller}))
		}
	}
	for _, key := range keys {
		m := diskKey.FindStringSubmatch(key)
		if m == nil || !present(values, m[1]+m[2]+":"+m[3]+".") || strings.Contains(values[m[1]+m[2]+":"+m[3]+".deviceType"], "cdrom") {
			continue
		}
		bus, _ := strconv.Atoi(m[2])
		unit64, _ := strconv.Atoi(m[3])
		unit := int32(unit64)
		first := map[string]int{"scsi": 1000, "sata": 15000, "nvme": 31000, "ide": 200}[m[1]]
		changes = append(changes, addSpec(&types.VirtualDisk{VirtualDevice: types.VirtualDevice{
			ControllerKey: int32(first + bus), UnitNumber: &unit,
			Backing: &types.VirtualDiskFlatVer2BackingInfo{DiskMode: "persistent",
				VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: vm.vmxFile(values[key])}}}}))
	}
	for number := 0; number < 10; number++ {
		prefix := fmt.Sprintf("ethernet%d.", number)
		if present(values, prefix) {
			changes = append(changes, addSpec(vmxCard(values, prefix)))
		}
	}
	return changes
}

// vmxFile turns a file name of a vmx into a datastore path.
func (vm *machine) vmxFile(name string) string {
	if !strings.HasPrefix(name, "/") {
		return path.Dir(vm.Config.Files.VmPathName) + "/" + name
	}
	if file, ok := vm.host.volumeFile(name); ok {
		return vm.host.datastore.path(file)
	}
	return name
}

func vmxCard(values map[string]string, prefix string) types.BaseVirtualDevice {
	card := types.VirtualEthernetCard{VirtualDevice: types.VirtualDevice{
		Connectable: &types.VirtualDeviceConnectInfo{StartConnected: !strings.EqualFold(values[prefix+"startConnected"], "false"), AllowGuestControl: true},
		Backing: &types.VirtualEthernetCardNetworkBackingInfo{VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{
			DeviceName: values[prefix+"networkName"]}}}}
	if values[prefix+"addressType"] == "static" {
		card.AddressType, card.MacAddress = "manual", values[prefix+"address"]
	}
	switch values[prefix+"virtualDev"] {
	case "vmxnet3":
		return &types.VirtualVmxnet3{VirtualVmxnet: types.VirtualVmxnet{VirtualEthernetCard: card}}
	case "e1000e":
		return &types.VirtualE1000e{VirtualEthernetCard: card}
	case "vlance":
		return &types.VirtualPCNet32{VirtualEthernetCard: card}
	}
	return &types.VirtualE1000{VirtualEthernetCard: card}
}

// keepAddresses leaves a machine its MAC when its file was not copied: the generated one is in the file.
func (vm *machine) keepAddresses(values map[string]string) {
	for _, card := range vm.cards() {
		mac := values[fmt.Sprintf("ethernet%d.generatedAddress", card.Key-4000)]
		if mac != "" && values["uuid.action"] != "create" {
			card.MacAddress = mac
		}
	}
}
