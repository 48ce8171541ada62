package main

// Virtual hardware: what deviceChange may do, with the checks and the key numbers of a real host.

import (
	"reflect"

	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/types"
)

// defaultDevices are made by the host for every machine.
func defaultDevices() []types.BaseVirtualDevice {
	list := make([]types.BaseVirtualDevice, 0, len(esx.VirtualDevice))
	for _, device := range esx.VirtualDevice {
		list = append(list, copyDevice(device))
	}
	return list
}

func copyDevice(device types.BaseVirtualDevice) types.BaseVirtualDevice {
	fresh := reflect.New(reflect.TypeOf(device).Elem())
	fresh.Elem().Set(reflect.ValueOf(device).Elem())
	d := fresh.Interface().(types.BaseVirtualDevice)
	base := d.GetVirtualDevice()
	if base.UnitNumber != nil {
		unit := *base.UnitNumber
		base.UnitNumber = &unit
	}
	if base.Backing != nil {
		backing := reflect.New(reflect.TypeOf(base.Backing).Elem())
		backing.Elem().Set(reflect.ValueOf(base.Backing).Elem())
		base.Backing = backing.Interface().(types.BaseVirtualDeviceBackingInfo)
	}
	if base.Connectable != nil {
		connectable := *base.Connectable
		base.Connectable = &connectable
	}
	return d
}

func diskFile(disk *types.VirtualDisk) string {
	if backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok {
		return backing.FileName
	}
	return ""
}

// hardwareChange works on a copy of the device list; nothing is kept unless every change is good.
type hardwareChange struct {
	host    *host
	vm      *machine
	devices []types.BaseVirtualDevice
	keys    map[int32]int32 // negative keys of this request -> real ones
	made    []string        // disks created on the way, undone on failure
	destroy []string        // disks to delete once everything is good
	grow    map[string]int64
}

func deviceFault(index int, property string) *soapFault {
	return faultf(&types.InvalidDeviceSpec{DeviceIndex: int32(index),
		InvalidVmConfig: types.InvalidVmConfig{Property: property}}, "Invalid configuration for device '%d'.", index)
}

func (c *hardwareChange) find(key int32) types.BaseVirtualDevice {
	for _, device := range c.devices {
		if device.GetVirtualDevice().Key == key {
			return device
		}
	}
	return nil
}

func (c *hardwareChange) apply(changes []types.BaseVirtualDeviceConfigSpec) *soapFault {
	c.keys, c.grow = map[int32]int32{}, map[string]int64{}
	for index, change := range changes {
		spec := change.GetVirtualDeviceConfigSpec()
		if spec.Device == nil {
			return deviceFault(index, "deviceChange.device")
		}
		var f *soapFault
		switch spec.Operation {
		case types.VirtualDeviceConfigSpecOperationAdd:
			f = c.add(index, spec)
		case types.VirtualDeviceConfigSpecOperationEdit:
			f = c.edit(index, spec)
		case types.VirtualDeviceConfigSpecOperationRemove:
			f = c.remove(index, spec)
		default:
			f = deviceFault(index, "deviceChange.operation")
		}
		if f != nil {
			c.undo()
			return f
		}
	}
	return nil
}

func (c *hardwareChange) undo() {
	for _, name := range c.made {
		_ = c.host.datastore.deleteDisk(name)
	}
}

func (c *hardwareChange) add(index int, spec *types.VirtualDeviceConfigSpec) *soapFault {
	device := copyDevice(spec.Device)
	base := device.GetVirtualDevice()
	wanted := base.Key
	var f *soapFault
	switch d := device.(type) {
	case *types.VirtualDisk:
		f = c.addDisk(index, d, spec)
	case types.BaseVirtualEthernetCard:
		f = c.addCard(index, d.GetVirtualEthernetCard())
	case types.BaseVirtualController:
		f = c.addController(index, d.GetVirtualController(), device)
	case *types.VirtualCdrom:
		base.Key = c.nextKey(3000)
		if base.ControllerKey == 0 {
			base.ControllerKey = 200
		}
		f = c.place(index, base)
	default:
		f = deviceFault(index, "deviceChange.device")
	}
	if f != nil {
		return f
	}
	if wanted < 0 {
		if _, used := c.keys[wanted]; used {
			return deviceFault(index, "deviceChange.device.key")
		}
		c.keys[wanted] = base.Key
	}
	c.devices = append(c.devices, device)
	return nil
}

func (c *hardwareChange) nextKey(from int32) int32 {
	for key := from; ; key++ {
		if c.find(key) == nil {
			return key
		}
	}
}

func (c *hardwareChange) addController(index int, controller *types.VirtualController, device types.BaseVirtualDevice) *soapFault {
	first, limit := int32(0), int32(4)
	switch device.(type) {
	case types.BaseVirtualSCSIController:
		first = 1000
	case *types.VirtualAHCIController:
		first = 15000
	case *types.VirtualNVMEController:
		first = 31000
	case *types.VirtualIDEController:
		first, limit = 200, 2
	default:
		return deviceFault(index, "deviceChange.device")
	}
	if controller.BusNumber < 0 || controller.BusNumber >= limit || c.find(first+controller.BusNumber) != nil {
		return deviceFault(index, "deviceChange.device.busNumber")
	}
	if scsi, ok := device.(types.BaseVirtualSCSIController); ok {
		if scsi.GetVirtualSCSIController().SharedBus == "" {
			return deviceFault(index, "deviceChange.device.sharedBus")
		}
		scsi.GetVirtualSCSIController().ScsiCtlrUnitNumber = 7
	}
	controller.Key, controller.ControllerKey = first+controller.BusNumber, 100
	controller.DeviceInfo = &types.Description{Label: controllerLabel(device, controller.BusNumber), Summary: reflect.TypeOf(device).Elem().Name()}
	return nil
}

func controllerLabel(device types.BaseVirtualDevice, bus int32) string {
	kind := "SCSI controller "
	switch device.(type) {
	case *types.VirtualAHCIController:
		kind = "SATA controller "
	case *types.VirtualNVMEController:
		kind = "NVME controller "
	case *types.VirtualIDEController:
		kind = "IDE "
	}
	return kind + string(rune('0'+bus))
}

// place checks a device's controller and unit number.
func (c *hardwareChange) place(index int, base *types.VirtualDevice) *soapFault {
	if real, ok := c.keys[base.ControllerKey]; ok {
		base.ControllerKey = real
	}
	controller := c.find(base.ControllerKey)
	if controller == nil {
		return deviceFault(index, "deviceChange.device.controllerKey")
	}
	limit := int32(2)
	_, scsi := controller.(types.BaseVirtualSCSIController)
	switch controller.(type) {
	case types.BaseVirtualSCSIController:
		limit = 16
	case *types.VirtualAHCIController:
		limit = 30
	case *types.VirtualNVMEController:
		limit = 15
	}
	taken := map[int32]bool{}
	for _, other := range c.devices {
		o := other.GetVirtualDevice()
		if o.ControllerKey == base.ControllerKey && o.UnitNumber != nil && o != base {
			taken[*o.UnitNumber] = true
		}
	}
	if base.UnitNumber == nil || *base.UnitNumber < 0 {
		for unit := int32(0); unit < limit; unit++ {
			if !taken[unit] && !(scsi && unit == 7) {
				base.UnitNumber = &unit
				return nil
			}
		}
		return deviceFault(index, "deviceChange.device.unitNumber")
	}
	unit := *base.UnitNumber
	if unit >= limit || taken[unit] || (scsi && unit == 7) {
		return deviceFault(index, "deviceChange.device.unitNumber")
	}
	return nil
}

func (c *hardwareChange) addCard(index int, card *types.VirtualEthernetCard) *soapFault {
	backing, ok := card.Backing.(*types.VirtualEthernetCardNetworkBackingInfo)
	if !ok || backing.DeviceName != "VM Network" {
		return faultf(&types.InvalidDeviceBacking{InvalidDeviceSpec: types.InvalidDeviceSpec{DeviceIndex: int32(index),
			InvalidVmConfig: types.InvalidVmConfig{Property: "deviceChange.device.backing"}}},
			"Invalid network backing for device '%d'.", index)
	}
	backing.Network = &fixed.network
	card.Key, card.ControllerKey = c.nextKey(4000), 100
	unit := card.Key - 4000 + 7
	card.UnitNumber = &unit
	card.DeviceInfo = &types.Description{Label: "Network adapter " + string(rune('1'+card.Key-4000)), Summary: backing.DeviceName}
	switch card.AddressType {
	case "manual", "Manual":
		if card.MacAddress == "" {
			return deviceFault(index, "deviceChange.device.macAddress")
		}
	default:
		card.AddressType = "generated"
		if !c.host.isESX() {
			card.AddressType = "assigned"
		}
		card.MacAddress = c.host.vms.newMAC()
	}
	if card.Connectable == nil {
		card.Connectable = &types.VirtualDeviceConnectInfo{StartConnected: true, AllowGuestControl: true}
	}
	card.Connectable.Connected = false
	on := true
	card.WakeOnLanEnabled = &on
	return nil
}

func (c *hardwareChange) addDisk(index int, disk *types.VirtualDisk, spec *types.VirtualDeviceConfigSpec) *soapFault {
	backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
	if !ok {
		return deviceFault(index, "deviceChange.device.backing")
	}
	if f := c.place(index, disk.GetVirtualDevice()); f != nil {
		return f
	}
	if f := c.backDisk(index, disk, backing, spec.FileOperation); f != nil {
		return f
	}
	switch c.find(disk.ControllerKey).(type) {
	case *types.VirtualAHCIController:
		disk.Key = 16000 + (disk.ControllerKey-15000)*30 + *disk.UnitNumber
	case *types.VirtualNVMEController:
		disk.Key = 32000 + (disk.ControllerKey-31000)*15 + *disk.UnitNumber
	case *types.VirtualIDEController:
		disk.Key = 3000 + (disk.ControllerKey-200)*2 + *disk.UnitNumber
	default:
		disk.Key = 2000 + (disk.ControllerKey-1000)*16 + *disk.UnitNumber
	}
	disk.DeviceInfo = &types.Description{Label: "Hard disk " + string(rune('1'+c.countDisks())), Summary: backing.FileName}
	disk.CapacityInBytes = disk.CapacityInKB * 1024
	backing.Datastore = &fixed.datastore
	return nil
}

func (c *hardwareChange) countDisks() int32 {
	n := int32(0)
	for _, device := range c.devices {
		if _, ok := device.(*types.VirtualDisk); ok {
			n++
		}
	}
	return n
}

// backDisk finds or makes the file of a disk.
func (c *hardwareChange) backDisk(index int, disk *types.VirtualDisk, backing *types.VirtualDiskFlatVer2BackingInfo,
	operation types.VirtualDeviceConfigSpecFileOperation) *soapFault {
	thin := backing.ThinProvisioned != nil && *backing.ThinProvisioned
	if operation == types.VirtualDeviceConfigSpecFileOperationCreate {
		if name, file, _ := splitDatastorePath(backing.FileName); file == "" || name == "" {
			backing.FileName = c.vm.newDiskName(c.countDisks())
		}
		bytes := disk.CapacityInBytes
		if bytes == 0 {
			bytes = disk.CapacityInKB * 1024
		}
		if bytes <= 0 {
			return deviceFault(index, "deviceChange.device.capacityInKB")
		}
		if f := c.host.datastore.createDisk(backing.FileName, bytes, thin, "lsilogic"); f != nil {
			return f
		}
		c.made = append(c.made, backing.FileName)
		disk.CapacityInKB = bytes / 1024
		return nil
	}
	if operation != "" {
		return deviceFault(index, "deviceChange.fileOperation")
	}
	file, f := c.host.datastore.resolve(backing.FileName)
	if f != nil {
		return f
	}
	info, err := readDescriptor(file)
	if err != nil {
		return fileFault(err, backing.FileName)
	}
	for _, other := range c.devices {
		if d, ok := other.(*types.VirtualDisk); ok && diskFile(d) == backing.FileName {
			return deviceFault(index, "deviceChange.device.backing.fileName")
		}
	}
	if disk.CapacityInKB*1024 > info.bytes {
		c.grow[backing.FileName] = disk.CapacityInKB * 1024
	} else {
		disk.CapacityInKB = info.bytes / 1024
	}
	backing.ThinProvisioned = &info.thin
	if backing.DiskMode == "" {
		backing.DiskMode = "persistent"
	}
	return nil
}

func (c *hardwareChange) edit(index int, spec *types.VirtualDeviceConfigSpec) *soapFault {
	want := spec.Device
	for i, device := range c.devices {
		if device.GetVirtualDevice().Key != want.GetVirtualDevice().Key {
			continue
		}
		if reflect.TypeOf(device) != reflect.TypeOf(want) {
			return deviceFault(index, "deviceChange.device")
		}
		changed := copyDevice(device)
		if disk, ok := want.(*types.VirtualDisk); ok {
			have := changed.(*types.VirtualDisk)
			if disk.CapacityInKB < have.CapacityInKB {
				return deviceFault(index, "deviceChange.device.capacityInKB")
			}
			c.grow[diskFile(have)] = disk.CapacityInKB * 1024
			have.CapacityInKB, have.CapacityInBytes = disk.CapacityInKB, disk.CapacityInKB*1024
		}
		if connect := want.GetVirtualDevice().Connectable; connect != nil {
			copied := *connect
			changed.GetVirtualDevice().Connectable = &copied
		}
		c.devices[i] = changed
		return nil
	}
	return faultf(&types.DeviceNotFound{InvalidDeviceSpec: types.InvalidDeviceSpec{DeviceIndex: int32(index)}},
		"Device '%d' was not found.", index)
}

func (c *hardwareChange) remove(index int, spec *types.VirtualDeviceConfigSpec) *soapFault {
	key := spec.Device.GetVirtualDevice().Key
	for i, device := range c.devices {
		if device.GetVirtualDevice().Key != key {
			continue
		}
		for _, other := range c.devices {
			if other.GetVirtualDevice().ControllerKey == key && other != device {
				return deviceFault(index, "deviceChange.device.key")
			}
		}
		if disk, ok := device.(*types.VirtualDisk); ok && spec.FileOperation == types.VirtualDeviceConfigSpecFileOperationDestroy {
			c.destroy = append(c.destroy, diskFile(disk))
		}
		c.devices = append(c.devices[:i:i], c.devices[i+1:]...)
		return nil
	}
	return faultf(&types.DeviceNotFound{InvalidDeviceSpec: types.InvalidDeviceSpec{DeviceIndex: int32(index)}},
		"Device '%d' was not found.", index)
}
