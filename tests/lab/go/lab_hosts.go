package main

// The hosts of a lab, from outside: their namespaces, their cable, their end and their return.

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type labHost struct {
	config hostConfig
	number int
	cmd    *exec.Cmd
	ended  chan struct{}
}

func (h *labHost) uplink() string { return fmt.Sprintf("up%d", h.number) }

func (l *lab) startHosts() error {
	templates, err := buildTemplates(l.plan.Source, l.plan.Cache, l.plan.Layer, l.guestBinary())
	if err != nil {
		return fmt.Errorf("templates: %w", err)
	}
	next := 2
	add := func(name, kind string, free bool) {
		config := hostConfig{Name: name, Kind: kind, Free: free, Address: fmt.Sprintf("10.213.0.%d", next), User: "root",
			Password: "Host-" + randomHex(6), SSH: kind == "esxi", Dir: filepath.Join(l.plan.State, "hosts", name),
			Guest: l.guestBinary(), Layers: l.plan.Layer, Cgroup: filepath.Join(l.cgroup, name)}
		next++
		if kind == "vcenter" {
			config.User = "administrator@vsphere.local"
			config.Managed = fmt.Sprintf("10.213.0.%d", next)
			next++
		}
		l.hosts = append(l.hosts, &labHost{config: config, number: len(l.hosts) + 1})
	}
	for i := 1; i <= l.plan.ESXi; i++ {
		add(fmt.Sprintf("esxi%d", i), "esxi", false)
	}
	for i := 1; i <= l.plan.VCenters; i++ {
		add(fmt.Sprintf("vcenter%d", i), "vcenter", false)
	}
	for i := 1; i <= l.plan.Free; i++ {
		add(fmt.Sprintf("free%d", i), "esxi", true)
	}
	for _, h := range l.hosts {
		if err := l.furnish(h, templates); err != nil {
			return err
		}
		if err := l.startHost(h); err != nil {
			return err
		}
	}
	for _, h := range l.hosts {
		if err := h.waitReady(); err != nil {
			return err
		}
		for _, setting := range l.plan.Settings {
			name, value, _ := strings.Cut(setting, "=")
			if _, err := controlClient(h.config.Dir, "/set", query("name", name, "value", value), nil); err != nil {
				return err
			}
		}
	}
	return l.writeHostList()
}

func (l *lab) guestBinary() string {
	self, _ := os.Executable()
	return filepath.Join(filepath.Dir(self), "lab-guest")
}

// furnish gives a new host its folder, password and templates.
func (l *lab) furnish(h *labHost, templates []template) error {
	for _, dir := range []string{filepath.Join(h.config.Dir, "datastore1"), filepath.Join(h.config.Dir, "run")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	data, err := json.Marshal(h.config)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(h.config.Dir, "config.json"), data, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(h.config.Dir, "password"), []byte(h.config.Password+"\n"), 0o600); err != nil {
		return err
	}
	return installTemplates(h.config, templates)
}

// startHost runs the host's process in name spaces of its own and plugs it into the lab's bridge.
func (l *lab) startHost(h *labHost) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_ = os.Remove(filepath.Join(h.config.Dir, "ready"))
	log, err := os.OpenFile(filepath.Join(h.config.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := os.MkdirAll(h.config.Cgroup, 0o755); err != nil {
		return err
	}
	h.cmd = exec.Command(self, "host", h.config.Dir)
	h.cmd.Stdout, h.cmd.Stderr = log, log
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID |
		syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC}
	if err := h.cmd.Start(); err != nil {
		return err
	}
	h.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(h.cmd, h.ended)
	return ipBatch(fmt.Sprintf("link add %[1]s type veth peer name vmnic0 netns %[2]d\nlink set %[1]s master br0 up\n",
		h.uplink(), h.cmd.Process.Pid))
}

func (h *labHost) waitReady() error {
	for i := 0; i < 3000; i++ {
		if _, err := os.Stat(filepath.Join(h.config.Dir, "ready")); err == nil {
			return nil
		}
		select {
		case <-h.ended:
			return fmt.Errorf("%s did not start; its log: %s", h.config.Name, tail(filepath.Join(h.config.Dir, "log")))
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s is not ready after 30 s", h.config.Name)
}

func tail(file string) string {
	data, _ := os.ReadFile(file)
	if len(data) > 2000 {
		data = data[len(data)-2000:]
	}
	return strings.TrimSpace(string(data))
}

// joinNetwork is the host's own side: its switch, its address. It waits for the lab to plug the uplink in.
func joinNetwork(config hostConfig) error {
	for i := 0; ; i++ {
		if _, err := os.Stat("/proc/sys/net/ipv4/conf/vmnic0"); err == nil {
			break
		}
		if i == 1000 {
			return fmt.Errorf("no uplink after 10 s")
		}
		time.Sleep(10 * time.Millisecond)
	}
	// A bridge without an address of its own takes that of a port, and changes it when the port goes.
	lines := fmt.Sprintf("link set lo up\nlink add vSwitch0 address 00:50:56:f0:00:%02x type bridge forward_delay 0\n"+
		"link set vSwitch0 up\n", hostNumber(config.Address)) +
		"link set vmnic0 master vSwitch0 up\naddr add " + config.Address + "/16 dev vSwitch0\n"
	if config.Managed != "" {
		lines += "addr add " + config.Managed + "/16 dev vSwitch0\n"
	}
	_ = os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("0"), 0o644)
	if err := ipBatch(lines + "route add default via 10.213.0.1\n"); err != nil {
		return err
	}
	return syscall.Sethostname([]byte(config.Name))
}

func (l *lab) byName(name string) *labHost {
	for _, h := range l.hosts {
		if h.config.Name == name {
			return h
		}
	}
	return nil
}

// hostAction is `lab esxi NAME kill|start|cut|heal`.
func (l *lab) hostAction(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.byName(r.URL.Query().Get("name"))
	if h == nil {
		http.Error(w, "no host "+r.URL.Query().Get("name"), http.StatusNotFound)
		return
	}
	if err := l.act(h, r.URL.Query().Get("action")); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (h *labHost) alive() bool {
	select {
	case <-h.ended:
		return false
	default:
		return true
	}
}

func (l *lab) act(h *labHost, action string) error {
	switch action {
	case "kill":
		if !h.alive() {
			return fmt.Errorf("%s is not running", h.config.Name)
		}
		if err := h.cmd.Process.Kill(); err != nil {
			return err
		}
		<-h.ended
		// The kernel takes its time to clear a dead host's network, and answers pings until then.
		_ = ipBatch("link del " + h.uplink() + "\n")
		// Its guests died with it; their disks are free when their cgroups are empty and gone.
		return emptyCgroups(h.config.Cgroup)
	case "start":
		if h.alive() {
			return fmt.Errorf("%s is running", h.config.Name)
		}
		if err := l.startHost(h); err != nil {
			return err
		}
		return h.waitReady()
	case "cut":
		return ipBatch("link set " + h.uplink() + " down\n")
	case "heal":
		return ipBatch("link set " + h.uplink() + " up\n")
	}
	return fmt.Errorf("what? kill, start, cut or heal")
}

func emptyCgroups(top string) error {
	entries, err := os.ReadDir(top)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeCgroup(filepath.Join(top, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeHostList keeps one line per host: name kind url user password-file fingerprint ssh.
func (l *lab) writeHostList() error {
	var b strings.Builder
	for _, h := range l.hosts {
		certificate, err := hostCertificate(h.config.Dir, h.config.Address)
		if err != nil {
			return err
		}
		kind := h.config.Kind
		if h.config.Free {
			kind = "free"
		}
		ssh := "-"
		if h.config.SSH {
			if key, err := os.ReadFile(filepath.Join(h.config.Dir, "ssh/host_key.fingerprint")); err == nil {
				ssh = strings.TrimSpace(string(key))
			}
		}
		fmt.Fprintf(&b, "%s %s https://%s/sdk %s %s %s %s\n", h.config.Name, kind, h.config.Address, h.config.User,
			filepath.Join(h.config.Dir, "password"), fingerprint(certificate), ssh)
	}
	return os.WriteFile(filepath.Join(l.plan.State, "hosts.list"), []byte(b.String()), 0o644)
}
