package main

// `lab run`: the outer part. It prepares what needs the machine's network, starts the lab in namespaces of its own, and
// clears what a dead lab cannot clear itself.

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// plan is what the inner part is told, by a file in the state directory.
type plan struct {
	State        string   `json:"state"`
	Source       string   `json:"source"` // tests/lab
	Build        string   `json:"build"`  // where droverd and the others are
	Cache        string   `json:"cache"`
	Layer        string   `json:"layer"`
	ESXi         int      `json:"esxi"`
	VCenters     int      `json:"vcenters"`
	Free         int      `json:"free"`
	Bare         bool     `json:"bare"`
	NoController bool     `json:"no_controller"`
	Settings     []string `json:"settings"`
	Config       []string `json:"config"` // SECTION.KEY=VALUE for the controller
	Command      []string `json:"command"`
	Directory    string   `json:"directory"`
	Published    string   `json:"published"` // URL of the page outside; "" when nobody asked
}

type stringList []string

func (l *stringList) String() string     { return strings.Join(*l, " ") }
func (l *stringList) Set(v string) error { *l = append(*l, v); return nil }

func parseRun(args []string) (*plan, bool, error) {
	p := &plan{}
	flags := flag.NewFlagSet("lab run", flag.ContinueOnError)
	flags.IntVar(&p.ESXi, "esxi", 0, "stand-alone ESXi hosts: esxi1, esxi2, ...")
	vcenter := flags.Bool("vcenter", false, "a vCenter with a host of its own: vcenter1")
	free := flags.Bool("free-esxi", false, "an ESXi host with a free licence, with SSH: free1")
	flags.BoolVar(&p.Bare, "bare", false, "do not register hosts and types with the controller")
	flags.BoolVar(&p.NoController, "no-controller", false, "hosts and guests only")
	keep := flags.Bool("keep-state", false, "leave the state directory, for its logs")
	flags.Var((*stringList)(&p.Settings), "set", "NAME=VALUE of every host, as `lab set`; repeatable")
	flags.Var((*stringList)(&p.Config), "config", "SECTION.KEY=VALUE of the controller's configuration; repeatable")
	flags.StringVar(&p.Published, "publish", "", "HOST:PORT of this machine's loopback where the page can be opened")
	if err := flags.Parse(args); err != nil {
		return nil, false, err
	}
	p.Command = flags.Args()
	if len(p.Command) == 0 {
		return nil, false, errors.New("lab run: which command? lab run [options] -- COMMAND...")
	}
	for _, setting := range p.Config {
		if _, _, _, err := splitConfig(setting); err != nil {
			return nil, false, err
		}
	}
	if p.ESXi < 0 || p.ESXi > 50 {
		return nil, false, errors.New("lab run: --esxi wants 0 to 50")
	}
	if *vcenter {
		p.VCenters = 1
	}
	if *free {
		p.Free = 1
	}
	if p.ESXi+p.VCenters+p.Free == 0 {
		p.ESXi = 1
	}
	return p, *keep, nil
}

func runMain(args []string) error {
	p, keep, err := parseRun(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("lab run needs root: sudo tests/lab/lab run ...")
	}
	if os.Getenv("DROVER_LAB") != "" {
		return errors.New("this is already inside a lab")
	}
	if err := p.prepare(); err != nil {
		return err
	}
	defer func() {
		if !keep {
			os.RemoveAll(p.State)
		}
	}()
	code := p.runInside()
	if err := cleanCgroup(p.State); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
	}
	if keep {
		fmt.Fprintln(os.Stderr, "lab: state kept in", p.State)
	} else {
		os.RemoveAll(p.State)
	}
	os.Exit(code)
	return nil
}

func (p *plan) prepare() error {
	var err error
	p.Source = os.Getenv("DROVER_LAB_SOURCE")
	if p.Source == "" {
		return errors.New("DROVER_LAB_SOURCE is not set: start the lab by tests/lab/lab")
	}
	if p.Directory, err = os.Getwd(); err != nil {
		return err
	}
	p.Cache = os.Getenv("DROVER_CACHE")
	if p.Cache == "" {
		p.Cache = "/var/cache/drover-lab"
	}
	if p.Build, err = filepath.Abs(os.Getenv("DROVER_BUILD")); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(p.Build, "controller/droverd")); err != nil && !p.NoController {
		return fmt.Errorf("no controller in %s: build it, set DROVER_BUILD, or say --no-controller", p.Build)
	}
	layer := exec.Command(filepath.Join(p.Source, "layers/build"), p.Cache)
	layer.Stderr = os.Stderr
	out, err := layer.Output()
	if err != nil {
		return err
	}
	p.Layer = strings.TrimSpace(string(out))
	base := os.Getenv("DROVER_LAB_DIR")
	if base == "" {
		base = "/var/tmp"
	}
	if p.State, err = os.MkdirTemp(base, "drover-lab."); err != nil {
		return err
	}
	for _, limit := range []struct {
		file string
		want int
	}{{"/proc/sys/fs/inotify/max_user_instances", 8192}, {"/proc/sys/fs/inotify/max_user_watches", 524288},
		{"/proc/sys/net/ipv4/neigh/default/gc_thresh3", 16384}, {"/proc/sys/net/ipv4/neigh/default/gc_thresh2", 8192}} {
		raiseLimit(limit.file, limit.want)
	}
	if p.Published != "" {
		if p.Published, err = p.publish(p.Published); err != nil {
			return err
		}
	}
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.State, "plan.json"), data, 0o600)
}

// raiseLimit lifts a machine-wide limit that many guests together would reach. It is not lowered again: other labs may run.
func raiseLimit(file string, want int) {
	var now int
	data, err := os.ReadFile(file)
	if err != nil {
		return
	}
	if _, err := fmt.Sscan(string(data), &now); err == nil && now < want {
		_ = os.WriteFile(file, []byte(fmt.Sprint(want)), 0o644)
	}
}

// runInside starts the lab as first process of its own world; its end is the end of everything in it.
func (p *plan) runInside() int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 1
	}
	command := exec.Command(self, "inside", p.State)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
		syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC, Pdeathsig: syscall.SIGKILL}
	// The death signal is tied to the thread that starts the lab.
	runtime.LockOSThread()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if err := command.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "lab: namespaces:", err)
		return 1
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for {
		select {
		case got := <-signals:
			// An interrupt reaches the command by the terminal; it decides.
			if got != syscall.SIGINT {
				_ = command.Process.Kill()
			}
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				if code := exit.ExitCode(); code >= 0 {
					return code
				}
				return 130
			}
			return 0
		}
	}
}

// cleanCgroup removes the lab's cgroup directories, which outlive their processes. It works in a child with mounts of
// its own, since the hierarchy may not be mounted here.
func cleanCgroup(state string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.Command(self, "clean-cgroup", state)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	return command.Run()
}

// cgroupName keeps labs of different folders apart.
func cgroupName(state string) string { return strings.ReplaceAll(strings.Trim(state, "/"), "/", "-") }

func mountCgroup(state string) (string, error) {
	dir := filepath.Join(state, "cgroup")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := syscall.Mount("none", dir, "cgroup2", 0, ""); err != nil {
		return "", fmt.Errorf("mount of cgroup2: %w", err)
	}
	return filepath.Join(dir, cgroupName(state)), nil
}

func cleanCgroupMain(args []string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		// In a chroot "/" is no mount point; nothing is shared from there either.
		_ = err
	}
	top, err := mountCgroup(args[0])
	if err != nil {
		return err
	}
	defer syscall.Unmount(filepath.Join(args[0], "cgroup"), syscall.MNT_DETACH)
	return removeCgroup(top)
}
