package main

// Running guests: real Linux in its own namespaces, started from the machine's first disk.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// guest is one running system. mu guards the fields below it; everything above is set once.
type guest struct {
	vm      *machine
	name    string
	command *exec.Cmd
	pid     int
	cgroup  string
	loop    int
	ports   []string
	booted  time.Time
	ended   chan struct{}
	poke    chan struct{} // ask for a fresh look at the guest soon

	mu        sync.Mutex
	stopping  bool
	tools     bool
	processes map[int64]*guestProcess
	usage     usageHistory
}

// guests starts and stops them. startMu keeps one disk mounted at a time, so that no guest inherits another's disk.
type guests struct {
	host    *host
	mu      sync.Mutex
	running map[moref]*guest
	links   int
	startMu sync.Mutex
}

func newGuests(h *host) *guests { return &guests{host: h, running: map[moref]*guest{}} }

func (g *guests) of(vm *machine) *guest {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running[vm.Self]
}

func (g *guests) list() []*guest {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := make([]*guest, 0, len(g.running))
	for _, guest := range g.running {
		list = append(list, guest)
	}
	return list
}

// start boots a machine. Without a bootable disk the machine is on with nothing in it.
func (g *guests) start(vm *machine) *soapFault {
	h := g.host
	h.store.mu.RLock()
	disks, name := vm.diskNames(), vm.Name
	cards := vm.cards()
	h.store.mu.RUnlock()
	if len(disks) == 0 {
		return nil
	}
	var images []string
	for _, disk := range disks {
		file, f := h.datastore.resolve(disk)
		if f != nil {
			return f
		}
		if _, err := os.Stat(flatOf(file)); err != nil {
			return fileFault(err, disk)
		}
		images = append(images, flatOf(file))
	}
	if delay := h.settings.duration("boot-delay"); delay > 0 {
		time.Sleep(delay)
	}
	started, err := g.launch(vm, name, images[0], cards)
	if errors.Is(err, errNoSystem) {
		return nil
	}
	if err != nil {
		h.logf("start of %s: %v", name, err)
		return faultf(&types.GenericVmConfigFault{Reason: err.Error()}, "Failed to power on the virtual machine: %v", err)
	}
	g.mu.Lock()
	g.running[vm.Self] = started
	g.mu.Unlock()
	go g.wait(started)
	go g.follow(started)
	return nil
}

func (g *guests) launch(vm *machine, name, image string, cards []*types.VirtualEthernetCard) (*guest, error) {
	if err := checkImage(image); err != nil {
		return nil, err
	}
	h := g.host
	run := filepath.Join(h.config.Dir, "run", vm.Self.Value)
	disk, root := filepath.Join(run, "disk"), filepath.Join(run, "root")
	for _, dir := range []string{disk, root} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	g.startMu.Lock()
	defer g.startMu.Unlock()
	device, number, err := attachLoop(image)
	if err != nil {
		return nil, err
	}
	err = syscall.Mount(device.Name(), disk, "ext4", 0, "")
	device.Close()
	if err != nil {
		waitLoopFree(number)
		return nil, fmt.Errorf("mount of %s: %w", filepath.Base(image), err)
	}
	defer syscall.Unmount(disk, syscall.MNT_DETACH)
	if _, err := os.Stat(filepath.Join(disk, "lower")); err != nil {
		return nil, errNoSystem
	}
	made := &guest{vm: vm, name: name, loop: number, ended: make(chan struct{}), poke: make(chan struct{}, 1),
		processes: map[int64]*guestProcess{}, cgroup: filepath.Join(h.config.Cgroup, "guest-"+vm.Self.Value), booted: time.Now()}
	return made, g.spawn(made, disk, root, cards)
}

// spawn starts the guest's first process and gives it a cable.
func (g *guests) spawn(made *guest, disk, root string, cards []*types.VirtualEthernetCard) error {
	h := g.host
	if err := os.MkdirAll(made.cgroup, 0o755); err != nil {
		return err
	}
	plugRead, plugWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer plugWrite.Close()
	readyRead, readyWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer readyRead.Close()
	console, err := os.OpenFile(filepath.Join(h.config.Dir, "run", made.vm.Self.Value, "console"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer console.Close()
	command := exec.Command(h.config.Guest, "init", disk, h.config.Layers, root)
	// Reports of programs that run under a sanitizer must outlive the guest.
	if reports := os.Getenv("DROVER_SANITIZER_REPORTS"); reports != "" {
		command.Args = append(command.Args, reports+":/var/log/drover-sanitizer")
	}
	command.Env = []string{}
	command.Stdout, command.Stderr = console, console
	command.ExtraFiles = []*os.File{plugRead, readyWrite}
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
		syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC}
	err = command.Start()
	plugRead.Close()
	readyWrite.Close()
	if err != nil {
		return err
	}
	made.command, made.pid = command, command.Process.Pid
	err = os.WriteFile(filepath.Join(made.cgroup, "cgroup.procs"), []byte(fmt.Sprint(made.pid)), 0o644)
	if err == nil {
		_, _ = io.Copy(io.Discard, readyRead)
		err = g.plugCables(made, cards)
	}
	if err == nil {
		_, err = plugWrite.Write([]byte("x"))
	}
	if err != nil {
		_ = command.Process.Kill()
		_ = command.Wait()
		text, _ := os.ReadFile(console.Name())
		return fmt.Errorf("%w %s", err, bytes.TrimSpace(text))
	}
	return nil
}

// plugCables puts one end of a link into the guest as ethN and the other into the virtual switch.
func (g *guests) plugCables(made *guest, cards []*types.VirtualEthernetCard) error {
	var batch strings.Builder
	for number, card := range cards {
		g.mu.Lock()
		g.links++
		port := fmt.Sprintf("port%d", g.links)
		g.mu.Unlock()
		made.ports = append(made.ports, port)
		fmt.Fprintf(&batch, "link add %s type veth peer name eth%d address %s netns %d\n", port, number, card.MacAddress, made.pid)
		if card.Connectable == nil || card.Connectable.StartConnected {
			fmt.Fprintf(&batch, "link set %s master vSwitch0 up\n", port)
		}
	}
	if batch.Len() == 0 {
		return nil
	}
	return ipBatch(batch.String())
}

func ipBatch(lines string) error {
	command := exec.Command("ip", "-batch", "-")
	command.Stdin = strings.NewReader(lines)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// wait sees a guest end and does what its last word says: restart, power off, or crash.
func (g *guests) wait(ended *guest) {
	_ = ended.command.Wait()
	// The kernel takes its time to clear a dead guest's network, and answers pings until then.
	for _, port := range ended.ports {
		_ = ipBatch("link del " + port + "\n")
	}
	waitLoopFree(ended.loop)
	g.mu.Lock()
	if g.running[ended.vm.Self] == ended {
		delete(g.running, ended.vm.Self)
	}
	g.mu.Unlock()
	_ = removeCgroup(ended.cgroup)
	ended.mu.Lock()
	stopping := ended.stopping
	ended.mu.Unlock()
	close(ended.ended)
	if stopping {
		return
	}
	status, _ := ended.command.ProcessState.Sys().(syscall.WaitStatus)
	h := g.host
	if status.Signaled() && status.Signal() == syscall.SIGHUP {
		h.store.update(ended.vm.Self, func() {
			ended.vm.toolsGone()
			ended.vm.syncSummary()
		})
		if f := h.boot(ended.vm); f != nil {
			h.logf("restart of %s: %s", ended.name, f.text)
		}
		return
	}
	h.markOff(ended.vm)
}

// stop ends a guest as if its plug was pulled, and returns when its disk is free.
func (g *guests) stop(vm *machine) {
	running := g.of(vm)
	if running == nil {
		return
	}
	running.mu.Lock()
	running.stopping = true
	running.mu.Unlock()
	_ = running.command.Process.Kill()
	<-running.ended
}

// signal asks the guest to shut down or to restart.
func (g *guests) signal(vm *machine, reboot bool) {
	if running := g.of(vm); running != nil {
		what := syscall.SIGTERM
		if reboot {
			what = syscall.SIGINT
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/run/systemd/system", running.pid)); err == nil {
			// SIGRTMIN+4 and +5 of systemd(1).
			what = syscall.Signal(38)
			if reboot {
				what = syscall.Signal(39)
			}
		}
		_ = running.command.Process.Signal(what)
	}
}

// freeze stops or continues every process of a guest.
func (g *guests) freeze(vm *machine, frozen bool) {
	running := g.of(vm)
	if running == nil {
		return
	}
	what := "0"
	if frozen {
		what = "1"
	}
	_ = os.WriteFile(filepath.Join(running.cgroup, "cgroup.freeze"), []byte(what), 0o644)
}

// guestPIDs are the processes of a guest as the host sees them; systemd sorts its own into groups below.
func (r *guest) guestPIDs() []string { return cgroupPIDs(r.cgroup) }

func cgroupPIDs(top string) []string {
	var pids []string
	_ = filepath.WalkDir(top, func(dir string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			list, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
			pids = append(pids, strings.Fields(string(list))...)
		}
		return nil
	})
	return pids
}
