package main

// Guest operations: programs and accounts. Everything really happens in the guest.

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// Finished programs stay listed this long, as open-vm-tools keeps them.
const processRetention = 5 * time.Minute

type guestProcess struct {
	info types.GuestProcessInfo
}

// guestFor checks what every guest operation needs: power, Tools, and an account with the right password.
func (h *host) guestFor(ref moref, auth types.BaseGuestAuthentication) (*guest, string, *soapFault) {
	h.store.mu.RLock()
	vm, f := h.vms.byRef(ref)
	var state types.VirtualMachinePowerState
	if f == nil {
		state = vm.Runtime.PowerState
	}
	h.store.mu.RUnlock()
	if f != nil {
		return nil, "", f
	}
	if state != poweredOn {
		return nil, "", wrongState(poweredOn, state)
	}
	r := h.guests.of(vm)
	if r == nil || !r.toolsUp() {
		return nil, "", fault(&types.GuestOperationsUnavailable{})
	}
	login, ok := auth.(*types.NamePasswordAuthentication)
	if !ok {
		return nil, "", badArgument("auth")
	}
	if !h.guestPassword(r, login.Username, login.Password) {
		return nil, "", fault(&types.InvalidGuestLogin{})
	}
	return r, login.Username, nil
}

func (r *guest) toolsUp() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tools
}

// Remembering good passwords by their hash saves the slow crypt when the same account calls again and again.
var goodPasswords sync.Map

// guestPassword asks the guest's own shadow file.
func (h *host) guestPassword(r *guest, user, password string) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/etc/shadow", r.pid))
	if err != nil || strings.ContainsAny(user+password, "\n\x00") {
		return false
	}
	for _, line := range strings.Split(string(data), "\n") {
		fields := strings.Split(line, ":")
		if len(fields) < 2 || fields[0] != user {
			continue
		}
		if strings.HasPrefix(fields[1], "!") || strings.HasPrefix(fields[1], "*") || fields[1] == "" {
			return false
		}
		known := hashHex(fields[1] + "\n" + password)
		if _, good := goodPasswords.Load(known); good {
			return true
		}
		command := exec.Command(h.config.Guest, "checkpw")
		command.Stdin = strings.NewReader(fields[1] + "\n" + password + "\n")
		if command.Run() != nil {
			return false
		}
		goodPasswords.Store(known, true)
		return true
	}
	return false
}

func (h *host) validateCredentials(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.ValidateCredentialsInGuest)
	_, _, f := h.guestFor(req.Vm, req.Auth)
	return nil, f
}

// guestFileFault turns the helper's exit code into a fault.
func guestFileFault(code int, file string) *soapFault {
	about := types.FileFault{File: file}
	switch code {
	case 10:
		return fault(&types.FileNotFound{FileFault: about})
	case 11:
		return fault(&types.FileAlreadyExists{FileFault: about})
	case 12:
		return fault(&types.GuestPermissionDenied{})
	case 13:
		return fault(&types.NoDiskSpace{FileFault: about, Datastore: "guest"})
	case 120:
		return fault(&types.GuestOperationsUnavailable{})
	}
	return fault(&types.CannotAccessFile{FileFault: about})
}

// fileHelper runs one file action in the guest as an account.
func (h *host) fileHelper(r *guest, user string, input io.Reader, arguments ...string) (string, int) {
	command := exec.Command(h.config.Guest, append([]string{"file", strconv.Itoa(r.pid), user}, arguments...)...)
	command.Stdin = input
	var out bytes.Buffer
	command.Stdout = &out
	code := exitCode(command.Run())
	return out.String(), code
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		status := exit.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			return 128 + int(status.Signal())
		}
		return status.ExitStatus()
	}
	return 120
}

func (h *host) startProgram(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.StartProgramInGuest)
	r, user, f := h.guestFor(req.Vm, req.Auth)
	if f != nil {
		return nil, f
	}
	spec := req.Spec.GetGuestProgramSpec()
	if spec.ProgramPath == "" {
		return nil, badArgument("spec.programPath")
	}
	if len(spec.Arguments) > 60000 {
		return nil, badArgument("spec.arguments")
	}
	for _, variable := range spec.EnvVariables {
		if !strings.Contains(variable, "=") {
			return nil, badArgument("spec.envVariables")
		}
	}
	if strings.HasPrefix(spec.ProgramPath, "/") {
		if _, code := h.fileHelper(r, user, nil, "stat", spec.ProgramPath); code != 0 {
			return nil, guestFileFault(code, spec.ProgramPath)
		}
	}
	if dir := spec.WorkingDirectory; dir != "" {
		if _, code := h.fileHelper(r, user, nil, "stat", dir); code != 0 {
			return nil, guestFileFault(code, dir)
		}
	}
	pid, f := h.runInGuest(r, user, spec)
	if f != nil {
		return nil, f
	}
	return pid, nil
}

// runInGuest starts "path" arguments through the guest's shell, like the Linux tools, and follows it to its end.
func (h *host) runInGuest(r *guest, user string, spec *types.GuestProgramSpec) (int64, *soapFault) {
	line := `"` + spec.ProgramPath + `" ` + spec.Arguments
	reader, writer, err := os.Pipe()
	if err != nil {
		return 0, faultf(&types.SystemError{Reason: err.Error()}, "%v", err)
	}
	defer reader.Close()
	arguments := []string{"enter", strconv.Itoa(r.pid), r.cgroup, user, spec.WorkingDirectory, "3"}
	arguments = append(append(arguments, spec.EnvVariables...), "--", "/bin/sh", "-c", line)
	command := exec.Command(h.config.Guest, arguments...)
	command.Env = []string{}
	command.ExtraFiles = []*os.File{writer}
	err = command.Start()
	writer.Close()
	if err != nil {
		return 0, faultf(&types.SystemError{Reason: err.Error()}, "%v", err)
	}
	text, _ := bufio.NewReader(reader).ReadString('\n')
	pid, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		code := exitCode(command.Wait())
		if code == 121 || code == 122 {
			return 0, fault(&types.GuestPermissionDenied{})
		}
		return 0, fault(&types.GuestOperationsUnavailable{})
	}
	process := &guestProcess{types.GuestProcessInfo{Name: baseName(spec.ProgramPath), Pid: pid, Owner: user,
		CmdLine: strings.TrimSpace(line), StartTime: time.Now()}}
	r.mu.Lock()
	r.processes[pid] = process
	r.mu.Unlock()
	go func() {
		code := exitCode(command.Wait())
		now := time.Now()
		r.mu.Lock()
		process.info.EndTime, process.info.ExitCode = &now, int32(code)
		r.mu.Unlock()
		// What the program changed, an address for instance, shows soon after.
		r.lookSoon()
		time.AfterFunc(processRetention, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.processes[pid] == process {
				delete(r.processes, pid)
			}
		})
	}()
	return pid, nil
}

func baseName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func (h *host) listProcesses(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.ListProcessesInGuest)
	r, _, f := h.guestFor(req.Vm, req.Auth)
	if f != nil {
		return nil, f
	}
	known := map[int64]types.GuestProcessInfo{}
	for _, info := range r.runningProcesses() {
		known[info.Pid] = info
	}
	r.mu.Lock()
	for pid, process := range r.processes {
		known[pid] = process.info
	}
	r.mu.Unlock()
	wanted := req.Pids
	if len(wanted) == 0 {
		for pid := range known {
			wanted = append(wanted, pid)
		}
		sort.Slice(wanted, func(i, j int) bool { return wanted[i] < wanted[j] })
	}
	list := []types.GuestProcessInfo{}
	for _, pid := range wanted {
		info, ok := known[pid]
		if !ok {
			return nil, fault(&types.GuestProcessNotFound{Pid: pid})
		}
		list = append(list, info)
	}
	return list, nil
}

// runningProcesses reads /proc from outside; the guest's own number of a process is the last of NSpid.
func (r *guest) runningProcesses() []types.GuestProcessInfo {
	owners := map[string]string{}
	passwd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/root/etc/passwd", r.pid))
	for _, line := range strings.Split(string(passwd), "\n") {
		if f := strings.Split(line, ":"); len(f) > 2 {
			owners[f[2]] = f[0]
		}
	}
	var list []types.GuestProcessInfo
	for _, outer := range r.guestPIDs() {
		status, err := os.ReadFile("/proc/" + outer + "/status")
		if err != nil {
			continue
		}
		info := types.GuestProcessInfo{StartTime: r.booted}
		for _, line := range strings.Split(string(status), "\n") {
			f := strings.Fields(line)
			switch {
			case strings.HasPrefix(line, "Name:") && len(f) > 1:
				info.Name = f[1]
			case strings.HasPrefix(line, "NSpid:"):
				info.Pid, _ = strconv.ParseInt(f[len(f)-1], 10, 64)
			case strings.HasPrefix(line, "Uid:"):
				info.Owner = owners[f[1]]
			}
		}
		cmdline, _ := os.ReadFile("/proc/" + outer + "/cmdline")
		info.CmdLine = strings.TrimSpace(strings.ReplaceAll(string(cmdline), "\x00", " "))
		if stat, err := os.Stat("/proc/" + outer); err == nil {
			info.StartTime = stat.ModTime()
		}
		list = append(list, info)
	}
	return list
}

func (h *host) terminateProcess(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.TerminateProcessInGuest)
	r, user, f := h.guestFor(req.Vm, req.Auth)
	if f != nil {
		return nil, f
	}
	for _, info := range r.runningProcesses() {
		if info.Pid == req.Pid {
			command := exec.Command(h.config.Guest, "enter", strconv.Itoa(r.pid), r.cgroup, user, "/", "-1", "--",
				"/bin/sh", "-c", fmt.Sprintf("kill -9 %d", req.Pid))
			if command.Run() != nil {
				return nil, fault(&types.GuestPermissionDenied{})
			}
			return nil, nil
		}
	}
	return nil, fault(&types.GuestProcessNotFound{Pid: req.Pid})
}
