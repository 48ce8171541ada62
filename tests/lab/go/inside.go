package main

// The lab itself: first process of its namespaces. Its network, hosts, controller, mail and the command all live here.

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

type lab struct {
	plan       plan
	cgroup     string
	mu         sync.Mutex
	hosts      []*labHost
	controller *exec.Cmd
	gateway    *exec.Cmd
	password   string
}

func insideMain(args []string) error {
	data, err := os.ReadFile(filepath.Join(args[0], "plan.json"))
	if err != nil {
		return err
	}
	l := &lab{}
	if err := json.Unmarshal(data, &l.plan); err != nil {
		return err
	}
	// Interrupts of the terminal are the command's affair. They are taken, not ignored: ignoring would be inherited.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGQUIT)
	if err := l.ownWorld(); err != nil {
		return fmt.Errorf("namespaces: %w", err)
	}
	if err := l.buildNetwork(); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if err := l.startHosts(); err != nil {
		return fmt.Errorf("hosts: %w", err)
	}
	if err := l.serve(); err != nil {
		return err
	}
	if err := startMailSink("10.213.0.1:25", filepath.Join(l.plan.State, "mail")); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	if !l.plan.NoController {
		if err := l.startController(); err != nil {
			return fmt.Errorf("controller: %w", err)
		}
	}
	if l.hasGateway() {
		if err := l.runGateway(); err != nil {
			return fmt.Errorf("gateway: %w", err)
		}
		if err := l.serveWebSocket(); err != nil {
			return fmt.Errorf("gateway: %w", err)
		}
	}
	code := l.runCommand()
	os.Exit(code)
	return nil
}

// ownWorld cuts the ties of mounts and processes to the outside.
func (l *lab) ownWorld() error {
	if err := ownRoot(l.plan.State); err != nil {
		return err
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	if err := syscall.Sethostname([]byte("lab")); err != nil {
		return err
	}
	var err error
	if l.cgroup, err = mountCgroup(l.plan.State); err != nil {
		return err
	}
	return os.MkdirAll(l.cgroup, 0o755)
}

// ownRoot makes all mounts private. In a chroot, where "/" is no mount point, the root is first bound onto itself, since
// guests leave their old root by pivot_root.
func ownRoot(state string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if f := strings.Fields(line); len(f) > 4 && f[4] == "/" {
			return syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
		}
	}
	root := filepath.Join(state, "host-root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("/", root, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("bind of /: %w", err)
	}
	if err := syscall.Mount("", root, "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := syscall.Chroot(root); err != nil {
		return err
	}
	return os.Chdir("/")
}

// removeCgroup removes a control group and those below it, deepest first, once their processes are gone.
func removeCgroup(top string) error {
	var dirs []string
	_ = filepath.WalkDir(top, func(dir string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, dir)
		}
		return nil
	})
	for n := len(dirs) - 1; n >= 0; n-- {
		for i := 0; ; i++ {
			err := os.Remove(dirs[n])
			if err == nil || errors.Is(err, os.ErrNotExist) {
				break
			}
			if i == 100 {
				return err
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

func (l *lab) buildNetwork() error {
	for file, value := range map[string]string{"net/ipv4/ping_group_range": "0 2147483647", "net/ipv4/ip_forward": "0",
		"net/bridge/bridge-nf-call-iptables": "0"} {
		_ = os.WriteFile("/proc/sys/"+file, []byte(value), 0o644)
	}
	return ipBatch("link set lo up\nlink add br0 address 00:50:56:f0:00:01 type bridge forward_delay 0\nlink set br0 up\n" +
		"addr add 10.213.0.1/16 dev br0\n")
}

// environment is what the command and the controller see.
func (l *lab) environment() []string {
	bin := filepath.Join(l.plan.State, "bin")
	env := []string{}
	for _, variable := range os.Environ() {
		name := variable[:strings.IndexByte(variable, '=')]
		ours := strings.HasPrefix(name, "DROVER_") && name != "DROVER_SANITIZER_REPORTS"
		if name != "PATH" && name != "XDG_CONFIG_HOME" && !ours {
			env = append(env, variable)
		}
	}
	if l.hasGateway() {
		env = append(env, "DROVER_WEB="+webURL, "DROVER_PUBLISHED="+l.plan.Published)
	}
	return append(env, "PATH="+bin+":"+os.Getenv("PATH"), "DROVER_LAB="+l.plan.State, "DROVER_LAB_SOURCE="+l.plan.Source,
		"DROVER_BUILD="+l.plan.Build, "DROVER_SERVER=10.213.0.1:8443", "XDG_CONFIG_HOME="+filepath.Join(l.plan.State, "config"))
}

// makeBin puts `lab` and `drover` where the command finds them.
func (l *lab) makeBin() error {
	bin := filepath.Join(l.plan.State, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Symlink(self, filepath.Join(bin, "lab")); err != nil {
		return err
	}
	if cli := filepath.Join(l.plan.Build, "cli/drover"); !l.plan.NoController {
		return os.Symlink(cli, filepath.Join(bin, "drover"))
	}
	return nil
}

func (l *lab) runCommand() int {
	command := exec.Command(l.plan.Command[0], l.plan.Command[1:]...)
	env := l.environment()
	if !strings.Contains(l.plan.Command[0], "/") {
		if path, err := lookPath(l.plan.Command[0], env); err == nil {
			command.Path, command.Err = path, nil
		}
	}
	command.Env, command.Dir = env, l.plan.Directory
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := command.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode()
	case errors.As(err, &exit):
		return 128 + int(exit.Sys().(syscall.WaitStatus).Signal())
	case err != nil:
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 127
	}
	return 0
}

func lookPath(name string, env []string) (string, error) {
	for _, variable := range env {
		if strings.HasPrefix(variable, "PATH=") {
			os.Setenv("PATH", variable[5:])
		}
	}
	return exec.LookPath(name)
}

// serve answers the commands that only the lab's first process can carry out.
func (l *lab) serve() error {
	if err := l.makeBin(); err != nil {
		return err
	}
	listener, err := net.Listen("unix", filepath.Join(l.plan.State, "lab.sock"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/host", l.hostAction)
	mux.HandleFunc("/controller", l.controllerAction)
	mux.HandleFunc("/gateway", l.gatewayAction)
	go http.Serve(listener, mux)
	return nil
}
