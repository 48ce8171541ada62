package main

// The host's shell: a real sshd at the host's address, in a root of its own with the datastore under /vmfs/volumes,
// and vim-cmd and vmkfstools, which are this program asking the host's control socket.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const shellBoot = `#!/bin/sh
# Boot of the host's shell.
mkdir -p /run/sshd
exec /usr/sbin/sshd -D -e
`

const shellSSH = `HostKey /etc/ssh/ssh_host_ecdsa_key
PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication yes
UseDNS no
PrintMotd no
`

func (h *host) startShell() error {
	dir := filepath.Join(h.config.Dir, "ssh")
	up := filepath.Join(dir, "up")
	if err := h.furnishShell(dir, up); err != nil {
		return fmt.Errorf("shell: %w", err)
	}
	plugRead, plugWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	readyRead, readyWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	console, err := os.OpenFile(filepath.Join(dir, "console"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer console.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	volume := "/vmfs/volumes/" + h.volumeID()
	command := exec.Command(h.config.Guest, "init", dir, h.config.Layers, filepath.Join(dir, "root"),
		h.datastore.dir+":"+volume, h.config.Dir+"/control:/run/hostd.sock", self+":/bin/hostd-client")
	command.Env = []string{}
	command.Stdout, command.Stderr = console, console
	command.ExtraFiles = []*os.File{plugRead, readyWrite}
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC}
	err = command.Start()
	plugRead.Close()
	readyWrite.Close()
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, readyRead)
	readyRead.Close()
	plugWrite.Close()
	go func() {
		err := command.Wait()
		h.logf("shell ended: %v", err)
	}()
	return nil
}

func (h *host) volumeID() string {
	return strings.TrimPrefix(h.datastore.object.Summary.Url, "/vmfs/volumes/")
}

// furnishShell makes what is the shell's own: account, keys, commands. The keys stay the same across host crashes.
func (h *host) furnishShell(dir, up string) error {
	for _, part := range []string{"wk", "root", "up/etc/ssh/sshd_config.d", "up/vmfs/volumes/" + h.volumeID()} {
		if err := os.MkdirAll(filepath.Join(dir, part), 0o755); err != nil {
			return err
		}
	}
	key := filepath.Join(up, "etc/ssh/ssh_host_ecdsa_key")
	if _, err := os.Stat(key); err != nil {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-C", h.config.Name, "-f", key).CombinedOutput(); err != nil {
			return fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
		out, err := exec.Command("ssh-keygen", "-lf", key+".pub").Output()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "host_key.fingerprint"), []byte(strings.Fields(string(out))[1]+"\n"), 0o644); err != nil {
			return err
		}
	}
	return h.writeShellFiles(up)
}

func (h *host) writeShellFiles(up string) error {
	shadow, err := os.ReadFile(filepath.Join(h.config.Layers, "etc/shadow"))
	if err != nil {
		return err
	}
	command := exec.Command(h.config.Guest, "hashpw")
	command.Stdin = strings.NewReader(h.config.Password + "\n")
	hash, err := command.Output()
	if err != nil {
		return err
	}
	lines := strings.Split(string(shadow), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "root:") {
			fields := strings.Split(line, ":")
			fields[1] = strings.TrimSpace(string(hash))
			lines[i] = strings.Join(fields, ":")
		}
	}
	if err := os.MkdirAll(filepath.Join(up, "usr/local/bin"), 0o755); err != nil {
		return err
	}
	for file, text := range map[string]string{"etc/rc": shellBoot, "etc/ssh/sshd_config.d/lab.conf": shellSSH,
		"etc/shadow": strings.Join(lines, "\n"), "etc/hostname": h.config.Name + "\n", "etc/inittab": ""} {
		mode := os.FileMode(0o644)
		switch file {
		case "etc/rc":
			mode = 0o755
		case "etc/shadow":
			mode = 0o640
		}
		if err := os.WriteFile(filepath.Join(up, file), []byte(text), mode); err != nil {
			return err
		}
	}
	for _, name := range []string{"vim-cmd", "vmkfstools", "esxcli"} {
		link := filepath.Join(up, "usr/local/bin", name)
		_ = os.Remove(link)
		if err := os.Symlink("/bin/hostd-client", link); err != nil {
			return err
		}
	}
	link := filepath.Join(up, "vmfs/volumes", h.datastore.name)
	_ = os.Remove(link)
	return os.Symlink(h.volumeID(), link)
}

// volumeFile turns a path of the shell into one of ours: /vmfs/volumes/NAME/... by name or id.
func (h *host) volumeFile(name string) (string, bool) {
	rest := strings.TrimPrefix(filepath.Clean(name), "/vmfs/volumes/")
	volume, file, _ := strings.Cut(rest, "/")
	if rest == name || (volume != h.datastore.name && volume != h.volumeID()) {
		return "", false
	}
	return filepath.Join(h.datastore.dir, file), true
}

// shellRequest is one command of the shell with the directory it was given in.
type shellRequest struct {
	Name      string   `json:"name"`
	Arguments []string `json:"arguments"`
	Directory string   `json:"directory"`
}

// shellOutput frames what goes back: lines "o TEXT" and "e TEXT" (JSON strings), at last "x CODE".
type shellOutput struct {
	w http.ResponseWriter
}

func (o shellOutput) out(format string, args ...interface{}) {
	o.frame("o", fmt.Sprintf(format, args...))
}
func (o shellOutput) err(format string, args ...interface{}) {
	o.frame("e", fmt.Sprintf(format, args...))
}

func (o shellOutput) frame(kind, text string) {
	data, _ := json.Marshal(text)
	fmt.Fprintf(o.w, "%s %s\n", kind, data)
	if flusher, ok := o.w.(http.Flusher); ok {
		flusher.Flush()
	}
}

func (h *host) controlShell(w http.ResponseWriter, r *http.Request) {
	var request shellRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.rules.count("shell " + request.Name)
	output := shellOutput{w}
	code := 1
	defer func() { fmt.Fprintf(w, "x %d\n", code) }()
	if rule := h.rules.take("shell "+request.Name, false); rule != nil {
		if f, handled := rule.apply(w, r); handled {
			return
		} else if f != nil {
			output.err("%s\n", f.text)
			return
		}
	}
	switch request.Name {
	case "vmkfstools":
		code = h.vmkfstools(r.Context(), request, output)
	case "vim-cmd":
		code = h.vimCmd(request, output)
	default:
		output.err("%s: not supported here\n", request.Name)
	}
}

// shellClient is vim-cmd and vmkfstools as the shell's user sees them.
func shellClient(name string, args []string) int {
	directory, _ := os.Getwd()
	body, _ := json.Marshal(shellRequest{name, args, directory})
	client := socketClient("/run/hostd.sock")
	answer, err := client.Post("http://host/shell", "application/json", bytes.NewReader(body))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: Failed to connect to hostd: %v\n", name, err)
		return 255
	}
	defer answer.Body.Close()
	decoder := newFrames(answer.Body)
	for {
		kind, text, code, err := decoder.next()
		switch {
		case err != nil:
			return 255
		case kind == "o":
			fmt.Print(text)
		case kind == "e":
			fmt.Fprint(os.Stderr, text)
		case kind == "x":
			return code
		}
	}
}
