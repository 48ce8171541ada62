package main

// The .vmx file: written after every change, read when a machine is registered.

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
)

var scsiNames = map[string]string{"ParaVirtualSCSIController": "pvscsi", "VirtualLsiLogicController": "lsilogic",
	"VirtualLsiLogicSASController": "lsisas1068", "VirtualBusLogicController": "buslogic"}

var cardNames = map[string]string{"VirtualVmxnet3": "vmxnet3", "VirtualE1000": "e1000", "VirtualE1000e": "e1000e",
	"VirtualPCNet32": "vlance"}

// vmxUUID spells a uuid as vmx files do: "56 4d 01 02 03 04 05 06-07 08 ...".
func vmxUUID(uuid string) string {
	h := strings.ReplaceAll(uuid, "-", "")
	var b strings.Builder
	for i := 0; i+1 < len(h); i += 2 {
		switch {
		case i == 16:
			b.WriteByte('-')
		case i > 0:
			b.WriteByte(' ')
		}
		b.WriteString(h[i : i+2])
	}
	return b.String()
}

func uuidFromVMX(text string) string {
	h := strings.NewReplacer(" ", "", "-", "").Replace(strings.ToLower(text))
	if len(h) != 32 {
		return ""
	}
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// vmxQuote escapes what the format cannot hold: " and | and control characters become |XX.
func vmxQuote(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c == '"' || c == '|' || c == '#' || c < 32 {
			fmt.Fprintf(&b, "|%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func vmxUnquote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '|' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// vmxText is the whole file; the caller holds the store's lock.
func (vm *machine) vmxText() []byte {
	c := vm.Config
	lines := map[string]string{}
	set := func(key, value string) {
		if value != "" {
			lines[key] = value
		}
	}
	set(".encoding", "UTF-8")
	set("config.version", "8")
	set("virtualHW.version", strings.TrimPrefix(strings.TrimPrefix(c.Version, "vmx-"), "0"))
	set("displayName", vm.Name)
	set("guestOS", strings.TrimSuffix(strings.ReplaceAll(c.GuestId, "_64Guest", "-64Guest"), "Guest"))
	set("annotation", c.Annotation)
	set("firmware", c.Firmware)
	set("memSize", strconv.Itoa(int(c.Hardware.MemoryMB)))
	set("numvcpus", strconv.Itoa(int(c.Hardware.NumCPU)))
	set("cpuid.coresPerSocket", strconv.Itoa(int(c.Hardware.NumCoresPerSocket)))
	set("uuid.bios", vmxUUID(c.Uuid))
	set("uuid.location", vmxUUID(c.Uuid))
	set("vc.uuid", vmxUUID(c.InstanceUuid))
	set("nvram", strings.TrimSuffix(path.Base(c.Files.VmPathName), ".vmx")+".nvram")
	if c.CpuHotAddEnabled != nil && *c.CpuHotAddEnabled {
		set("vcpu.hotadd", "TRUE")
	}
	if c.MemoryHotAddEnabled != nil && *c.MemoryHotAddEnabled {
		set("mem.hotadd", "TRUE")
	}
	for _, option := range c.ExtraConfig {
		o := option.GetOptionValue()
		set(o.Key, fmt.Sprint(o.Value))
	}
	vm.vmxDevices(set)
	keys := make([]string, 0, len(lines))
	for key := range lines {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	var b bytes.Buffer
	for _, key := range keys {
		fmt.Fprintf(&b, "%s = \"%s\"\n", key, vmxQuote(lines[key]))
	}
	return b.Bytes()
}

func typeName(v interface{}) string { return strings.TrimPrefix(fmt.Sprintf("%T", v), "*types.") }

func (vm *machine) vmxDevices(set func(key, value string)) {
	dir := path.Dir(vm.Config.Files.VmPathName)
	for _, device := range vm.Config.Hardware.Device {
		switch d := device.(type) {
		case types.BaseVirtualSCSIController:
			prefix := fmt.Sprintf("scsi%d.", d.GetVirtualSCSIController().BusNumber)
			set(prefix+"present", "TRUE")
			set(prefix+"virtualDev", scsiNames[typeName(device)])
			set(prefix+"sharedBus", strings.TrimSuffix(string(d.GetVirtualSCSIController().SharedBus), "Sharing"))
		case *types.VirtualAHCIController:
			set(fmt.Sprintf("sata%d.present", d.BusNumber), "TRUE")
		case *types.VirtualNVMEController:
			set(fmt.Sprintf("nvme%d.present", d.BusNumber), "TRUE")
		case *types.VirtualDisk:
			prefix := diskPrefix(d)
			name := diskFile(d)
			if path.Dir(name) == dir {
				name = path.Base(name)
			} else if f, fl := vm.host.datastore.resolve(name); fl == nil {
				rel, _ := filepath.Rel(vm.host.datastore.dir, f)
				name = "/vmfs/volumes/" + vm.host.datastore.name + "/" + rel
			}
			set(prefix+"present", "TRUE")
			set(prefix+"fileName", name)
			set(prefix+"deviceType", "scsi-hardDisk")
		case types.BaseVirtualEthernetCard:
			card := d.GetVirtualEthernetCard()
			prefix := fmt.Sprintf("ethernet%d.", card.Key-4000)
			set(prefix+"present", "TRUE")
			set(prefix+"virtualDev", cardNames[typeName(device)])
			if backing, ok := card.Backing.(*types.VirtualEthernetCardNetworkBackingInfo); ok {
				set(prefix+"networkName", backing.DeviceName)
			}
			if card.AddressType == "manual" {
				set(prefix+"addressType", "static")
				set(prefix+"address", card.MacAddress)
			} else {
				set(prefix+"addressType", map[bool]string{true: "generated", false: "vpx"}[vm.host.isESX()])
				set(prefix+"generatedAddress", card.MacAddress)
			}
		}
	}
}

func diskPrefix(d *types.VirtualDisk) string {
	unit := int32(0)
	if d.UnitNumber != nil {
		unit = *d.UnitNumber
	}
	switch {
	case d.ControllerKey >= 31000:
		return fmt.Sprintf("nvme%d:%d.", d.ControllerKey-31000, unit)
	case d.ControllerKey >= 15000:
		return fmt.Sprintf("sata%d:%d.", d.ControllerKey-15000, unit)
	case d.ControllerKey >= 1000:
		return fmt.Sprintf("scsi%d:%d.", d.ControllerKey-1000, unit)
	}
	return fmt.Sprintf("ide%d:%d.", d.ControllerKey-200, unit)
}

// writeVMX saves the machine's file; call it without the store's lock.
func (vm *machine) writeVMX() *soapFault {
	vm.host.store.mu.RLock()
	text := vm.vmxText()
	name := vm.Config.Files.VmPathName
	vm.host.store.mu.RUnlock()
	file, f := vm.host.datastore.resolve(name)
	if f != nil {
		return f
	}
	if err := os.WriteFile(file, text, 0o755); err != nil {
		return fileFault(err, name)
	}
	return nil
}

var vmxLine = regexp.MustCompile(`^\s*([^=\s]+)\s*=\s*"(.*)"\s*$`)

func parseVMX(text []byte) map[string]string {
	values := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if m := vmxLine.FindStringSubmatch(line); m != nil {
			values[m[1]] = vmxUnquote(m[2])
		}
	}
	return values
}
