package main

// The commands inside a lab: they speak to the hosts' control sockets and to the lab's first process.

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

func query(pairs ...string) url.Values {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values
}

func stateDir() (string, error) {
	if dir := os.Getenv("DROVER_LAB"); dir != "" {
		return dir, nil
	}
	return "", errors.New("this command works inside a lab: lab run ... -- COMMAND")
}

func hostDirs() ([]string, error) {
	state, err := stateDir()
	if err != nil {
		return nil, err
	}
	list, err := filepath.Glob(filepath.Join(state, "hosts", "*"))
	sort.Strings(list)
	return list, err
}

func hostDir(name string) (string, error) {
	state, err := stateDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(state, "hosts", name)
	if _, err := os.Stat(dir); err != nil || name == "" || strings.Contains(name, "/") {
		return "", fmt.Errorf("no host %q; lab hosts lists them", name)
	}
	return dir, nil
}

// labCall asks the lab's first process.
func labCall(path string, values url.Values) error {
	state, err := stateDir()
	if err != nil {
		return err
	}
	client := socketClient(filepath.Join(state, "lab.sock"))
	answer, err := client.Post("http://lab"+path+"?"+values.Encode(), "text/plain", nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(text)))
	}
	return nil
}

// askHost is a control call whose answer is printed.
func askHost(name, path string, values url.Values, body []byte) error {
	dir, err := hostDir(name)
	if err != nil {
		return err
	}
	text, err := controlClient(dir, path, values, body)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Print(text)
	return nil
}

func guestMain(args []string) error {
	if len(args) > 1 && args[1] == "--" {
		args = append(args[:1:1], args[2:]...)
	}
	if len(args) < 2 {
		return errors.New("usage: lab guest VM -- COMMAND...")
	}
	dirs, err := hostDirs()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		text, err := controlClient(dir, "/guest", query("vm", args[0]), nil)
		if err != nil {
			continue
		}
		var pid int
		var cgroup string
		if _, err := fmt.Sscan(text, &pid, &cgroup); err != nil {
			return err
		}
		return runInHostGuest(dir, pid, cgroup, args[1:])
	}
	return fmt.Errorf("no running guest %q", args[0])
}

// runInHostGuest finds the guest by its cgroup, since the host counts processes in a space of its own.
func runInHostGuest(dir string, pid int, cgroup string, command []string) error {
	outer, err := outerPID(cgroup)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	arguments := append([]string{"enter", fmt.Sprint(outer), cgroup, "root", "/", "-1", "--", "/usr/bin/env", "--"}, command...)
	run := exec.Command(filepath.Join(filepath.Dir(self), "lab-guest"), arguments...)
	run.Env = []string{"TERM=" + os.Getenv("TERM")}
	run.Stdin, run.Stdout, run.Stderr = os.Stdin, os.Stdout, os.Stderr
	return run.Run()
}

// outerPID is the guest's first process: the one that is number 1 in the innermost space.
func outerPID(cgroup string) (int, error) {
	for _, pid := range cgroupPIDs(cgroup) {
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(status), "\n") {
			f := strings.Fields(line)
			if strings.HasPrefix(line, "NSpid:") && f[len(f)-1] == "1" {
				var n int
				_, err := fmt.Sscan(pid, &n)
				return n, err
			}
		}
	}
	return 0, errors.New("the guest has no first process")
}

func esxiMain(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: lab esxi NAME kill|start|cut|heal")
	}
	return labCall("/host", query("name", args[0], "action", args[1]))
}

func controllerMain(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: lab controller kill|start|restart")
	}
	return labCall("/controller", query("action", args[0]))
}

func gatewayMain(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: lab gateway kill|stop|start|restart")
	}
	return labCall("/gateway", query("action", args[0]))
}

func faultMain(args []string) error {
	flags := flag.NewFlagSet("lab fault", flag.ContinueOnError)
	times := flags.Int("times", 1, "how often; 0 = always")
	skip := flags.Int("skip", 0, "let this many calls pass first")
	delay := flags.Float64("delay", 0, "seconds to wait first")
	task := flags.Bool("task", false, "let the call succeed and fail its task")
	// Options may stand behind the words.
	var words []string
	for rest := args; len(rest) > 0; {
		if err := flags.Parse(rest); err != nil {
			return err
		}
		rest = flags.Args()
		if len(rest) > 0 {
			words, rest = append(words, rest[0]), rest[1:]
		}
	}
	if len(words) == 2 && *delay > 0 {
		words = append(words, "delay")
	}
	if len(words) != 3 {
		return errors.New("usage: lab fault NAME METHOD FAULT|drop|drop-after|delay|http-503 [--times N] [--skip N] [--delay S] [--task]")
	}
	body, err := json.Marshal(faultRule{Method: words[1], Fault: words[2], Times: *times, Skip: *skip, Delay: *delay, InTask: *task})
	if err != nil {
		return err
	}
	return askHost(words[0], "/fault", nil, body)
}

func faultsMain(args []string) error {
	if len(args) != 2 || args[1] != "clear" {
		return errors.New("usage: lab faults NAME clear")
	}
	return askHost(args[0], "/clear", nil, nil)
}

func setMain(args []string) error {
	switch len(args) {
	case 1:
		return askHost(args[0], "/set", nil, nil)
	case 3:
		return askHost(args[0], "/set", query("name", args[1], "value", args[2]), nil)
	}
	return errors.New("usage: lab set NAME [SETTING VALUE]")
}

func populateMain(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: lab populate NAME COUNT")
	}
	return askHost(args[0], "/populate", query("count", args[1]), nil)
}

// counted is `lab calls` and `lab bytes`.
func counted(path string) func([]string) error {
	return func(args []string) error {
		values := url.Values{}
		if len(args) == 2 && args[1] == "--reset" {
			values.Set("reset", "1")
		} else if len(args) != 1 {
			return fmt.Errorf("usage: lab %s NAME [--reset]", strings.Trim(path, "/"))
		}
		return askHost(args[0], path, values, nil)
	}
}

func plainMain(path string) func([]string) error {
	return func(args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("usage: lab %s NAME", strings.Trim(path, "/"))
		}
		return askHost(args[0], path, nil, nil)
	}
}

// leftoversMain prints what is on the hosts besides the templates and ends 1 when there is anything.
func leftoversMain(args []string) error {
	dirs, err := hostDirs()
	if err != nil {
		return err
	}
	if len(args) == 1 {
		dir, err := hostDir(args[0])
		if err != nil {
			return err
		}
		dirs = []string{dir}
	}
	found := false
	for _, dir := range dirs {
		text, err := controlClient(dir, "/leftovers", nil, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(dir), err)
		}
		for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
			if line != "" {
				found = true
				fmt.Printf("%s: %s\n", filepath.Base(dir), line)
			}
		}
	}
	if found {
		os.Exit(1)
	}
	return nil
}

func hostsMain(args []string) error {
	state, err := stateDir()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(state, "hosts.list"))
	if err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, bytes.NewReader(data))
	return err
}

func mailMain(args []string) error {
	state, err := stateDir()
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(state, "mail", "[0-9]*[0-9]"))
	for _, file := range files {
		fmt.Println(file)
	}
	return err
}
