package main

// What VMware Tools tell about a guest: that they run, its name, its addresses, how busy it is.

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

const (
	toolsRunning    = string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
	toolsNotRunning = string(types.VirtualMachineToolsRunningStatusGuestToolsNotRunning)
)

// guestStopped is the guest part of a machine that is off; the caller holds the store's lock.
func (vm *machine) guestStopped() {
	vm.Guest = &types.GuestInfo{ToolsStatus: types.VirtualMachineToolsStatusToolsNotRunning,
		ToolsVersionStatus: "guestToolsUnmanaged", ToolsVersionStatus2: "guestToolsUnmanaged", ToolsVersion: "10346",
		ToolsRunningStatus: toolsNotRunning, GuestState: "notRunning", GuestOperationsReady: types.NewBool(false),
		InteractiveGuestOperationsReady: types.NewBool(false), GuestStateChangeSupported: types.NewBool(false)}
	vm.GuestHeartbeatStatus = types.ManagedEntityStatusGray
	vm.Summary.QuickStats = types.VirtualMachineQuickStats{GuestHeartbeatStatus: types.ManagedEntityStatusGray}
}

// toolsGone keeps the last known addresses, as hosts do across a reboot; the caller holds the store's lock.
func (vm *machine) toolsGone() {
	vm.Guest.ToolsStatus, vm.Guest.ToolsRunningStatus = types.VirtualMachineToolsStatusToolsNotRunning, toolsNotRunning
	vm.Guest.GuestState = "notRunning"
	vm.Guest.GuestOperationsReady, vm.Guest.GuestStateChangeSupported = types.NewBool(false), types.NewBool(false)
	vm.GuestHeartbeatStatus = types.ManagedEntityStatusGray
}

func (vm *machine) toolsRunning() bool { return vm.Guest.ToolsRunningStatus == toolsRunning }

// follow keeps a machine's guest information in step with its guest until it ends.
func (g *guests) follow(r *guest) {
	h := g.host
	if !r.sleep(h.settings.toolsDelay()) {
		return
	}
	for {
		off := h.settings.toolsOff(r.name)
		r.mu.Lock()
		r.tools = !off
		r.mu.Unlock()
		g.report(r, off)
		pause := time.Second
		if time.Since(r.booted) < 3*time.Second {
			pause = 100 * time.Millisecond
		}
		if !r.sleep(pause) {
			return
		}
	}
}

// sleep ends early when somebody pokes; false = the guest is gone.
func (r *guest) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.poke:
		return true
	case <-r.ended:
		return false
	}
}

func (r *guest) lookSoon() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// report writes what changed; a machine nobody changed is not touched.
func (g *guests) report(r *guest, off bool) {
	h, vm := g.host, r.vm
	if off {
		h.store.mu.RLock()
		running := vm.toolsRunning()
		h.store.mu.RUnlock()
		if running {
			h.store.update(vm.Self, func() {
				vm.toolsGone()
				vm.syncSummary()
			})
		}
		return
	}
	name := hostnameOf(r.pid)
	nics := g.interfaces(r)
	address := primaryAddress(nics)
	h.store.mu.RLock()
	same := vm.toolsRunning() && vm.Guest.HostName == name && vm.Guest.IpAddress == address && sameNics(vm.Guest.Net, nics)
	h.store.mu.RUnlock()
	if same || g.of(vm) != r {
		return
	}
	h.store.update(vm.Self, func() {
		if vm.Runtime.PowerState == poweredOff {
			return
		}
		guest := *vm.Guest
		guest.ToolsStatus, guest.ToolsRunningStatus = types.VirtualMachineToolsStatusToolsOk, toolsRunning
		guest.GuestState, guest.GuestId, guest.GuestFamily = "running", vm.Config.GuestId, "linuxGuest"
		guest.GuestFullName = vm.Config.GuestFullName
		guest.GuestOperationsReady, guest.GuestStateChangeSupported = types.NewBool(true), types.NewBool(true)
		guest.HostName, guest.IpAddress, guest.Net = name, address, nics
		guest.Disk = diskUse(r.pid)
		vm.Guest = &guest
		vm.GuestHeartbeatStatus = types.ManagedEntityStatusGreen
		vm.syncSummary()
	})
}

func diskUse(pid int) []types.GuestDiskInfo {
	var status syscall.Statfs_t
	if syscall.Statfs(fmt.Sprintf("/proc/%d/root", pid), &status) != nil {
		return nil
	}
	return []types.GuestDiskInfo{{DiskPath: "/", Capacity: int64(status.Blocks) * status.Bsize, FreeSpace: int64(status.Bavail) * status.Bsize}}
}

func sameNics(a, b []types.GuestNicInfo) bool {
	return fmt.Sprintf("%+v", nicKey(a)) == fmt.Sprintf("%+v", nicKey(b))
}

func nicKey(nics []types.GuestNicInfo) (key []string) {
	for _, nic := range nics {
		key = append(key, nic.MacAddress+strings.Join(nic.IpAddress, ","))
		for _, ip := range nic.IpConfig.IpAddress {
			key = append(key, fmt.Sprint(ip.PrefixLength))
		}
	}
	return key
}

func primaryAddress(nics []types.GuestNicInfo) string {
	for _, nic := range nics {
		for _, address := range nic.IpAddress {
			if ip := net.ParseIP(address); ip.To4() != nil && !ip.IsLinkLocalUnicast() && !ip.IsLoopback() {
				return address
			}
		}
	}
	return ""
}

// interfaces reads the guest's own tables; there is no process in the guest for it.
func (g *guests) interfaces(r *guest) []types.GuestNicInfo {
	h := g.host
	h.store.mu.RLock()
	cards := r.vm.cards()
	h.store.mu.RUnlock()
	base := fmt.Sprintf("/proc/%d/net/", r.pid)
	locals := localAddresses(base + "fib_trie")
	prefixes := routePrefixes(base + "route")
	var nics []types.GuestNicInfo
	for number, card := range cards {
		device := fmt.Sprintf("eth%d", number)
		nic := types.GuestNicInfo{Network: "VM Network", MacAddress: card.MacAddress, Connected: true, DeviceConfigId: card.Key,
			IpConfig: &types.NetIpConfigInfo{}}
		add := func(address string, bits int) {
			nic.IpAddress = append(nic.IpAddress, address)
			nic.IpConfig.IpAddress = append(nic.IpConfig.IpAddress, types.NetIpConfigInfoIpAddress{IpAddress: address,
				PrefixLength: int32(bits), State: "preferred"})
		}
		for _, local := range locals {
			for _, route := range prefixes[device] {
				if route.Contains(local) {
					bits, _ := route.Mask.Size()
					add(local.String(), bits)
					break
				}
			}
		}
		for _, v6 := range inet6(base+"if_inet6", device) {
			add(v6.address, v6.bits)
		}
		nics = append(nics, nic)
	}
	return nics
}

// localAddresses are the "/32 host LOCAL" leaves of fib_trie.
func localAddresses(file string) []net.IP {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var found []net.IP
	seen := map[string]bool{}
	last := ""
	for _, line := range strings.Split(string(data), "\n") {
		if at := strings.Index(line, "|-- "); at >= 0 {
			last = strings.TrimSpace(line[at+4:])
		} else if strings.Contains(line, "/32 host LOCAL") && !seen[last] && !strings.HasPrefix(last, "127.") {
			seen[last] = true
			found = append(found, net.ParseIP(last).To4())
		}
	}
	return found
}

func routePrefixes(file string) map[string][]*net.IPNet {
	data, _ := os.ReadFile(file)
	routes := map[string][]*net.IPNet{}
	for _, line := range strings.Split(string(data), "\n")[1:] {
		f := strings.Fields(line)
		if len(f) < 8 || f[7] == "00000000" {
			continue
		}
		routes[f[0]] = append(routes[f[0]], &net.IPNet{IP: hexAddress(f[1]), Mask: net.IPMask(hexAddress(f[7]))})
	}
	return routes
}

func hexAddress(text string) net.IP {
	n, _ := strconv.ParseUint(text, 16, 32)
	return net.IPv4(byte(n), byte(n>>8), byte(n>>16), byte(n>>24)).To4()
}

type inet6Address struct {
	address string
	bits    int
}

func inet6(file, device string) (list []inet6Address) {
	data, _ := os.ReadFile(file)
	for _, line := range strings.Split(string(data), "\n") {
		f := strings.Fields(line)
		if len(f) == 6 && f[5] == device {
			raw, _ := hex.DecodeString(f[0])
			bits, _ := strconv.ParseInt(f[2], 16, 32)
			list = append(list, inet6Address{net.IP(raw).String(), int(bits)})
		}
	}
	return list
}

// hostnameOf visits the guest's name space on a thread of its own for one system call.
func hostnameOf(pid int) string {
	answer := make(chan string)
	go func() {
		runtime.LockOSThread()
		name := ""
		own, err := os.Open("/proc/thread-self/ns/uts")
		if err == nil {
			defer own.Close()
			if theirs, err := os.Open(fmt.Sprintf("/proc/%d/ns/uts", pid)); err == nil {
				if setns(theirs.Fd()) {
					var u syscall.Utsname
					_ = syscall.Uname(&u)
					name = utsString(u.Nodename[:])
					if setns(own.Fd()) {
						runtime.UnlockOSThread()
					}
				}
				theirs.Close()
			}
		}
		answer <- name
	}()
	return <-answer
}

func setns(fd uintptr) bool {
	_, _, errno := syscall.Syscall(308, fd, 0, 0)
	return errno == 0
}

func utsString(field []int8) string {
	var b bytes.Buffer
	for _, c := range field {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}

// cpuTime is what a guest has used so far; memory is what its processes hold now.
func (r *guest) cpuTime() time.Duration {
	data, _ := os.ReadFile(filepath.Join(r.cgroup, "cpu.stat"))
	for _, line := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(line, "usage_usec ") {
			n, _ := strconv.ParseInt(line[len("usage_usec "):], 10, 64)
			return time.Duration(n) * time.Microsecond
		}
	}
	return 0
}

func (r *guest) memory() int64 {
	var pages int64
	for _, pid := range r.guestPIDs() {
		data, _ := os.ReadFile("/proc/" + pid + "/statm")
		if f := strings.Fields(string(data)); len(f) > 2 {
			resident, _ := strconv.ParseInt(f[1], 10, 64)
			shared, _ := strconv.ParseInt(f[2], 10, 64)
			pages += resident - shared/2
		}
	}
	return pages * int64(os.Getpagesize())
}
