package main

// The lab's program: one simulated host, the lab around it, and the commands inside it, by first argument.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

var commands map[string]func([]string) error

func init() {
	commands = map[string]func([]string) error{
		"run": runMain, "inside": insideMain, "host": hostMain, "clean-cgroup": cleanCgroupMain,
		"guest": guestMain, "esxi": esxiMain, "controller": controllerMain, "fault": faultMain, "faults": faultsMain,
		"set": setMain, "calls": counted("/calls"), "bytes": counted("/bytes"), "sessions": plainMain("/sessions"),
		"expire": plainMain("/expire"), "leftovers": leftoversMain, "hosts": hostsMain, "mail": mailMain,
		"populate": populateMain, "templates": templatesMain, "types": typesMain, "gateway": gatewayMain,
	}
}

const usage = `usage:
  lab run [--esxi N] [--vcenter] [--free-esxi] [--bare] [--no-controller] [--set NAME=VALUE] [--publish HOST:PORT] [--keep-state] -- COMMAND...
inside the lab:
  lab hosts                                one line each: name kind url user password-file fingerprint ssh-fingerprint
  lab guest VM -- COMMAND...               run something inside a guest
  lab esxi NAME kill|start|cut|heal        host crash, network loss
  lab controller kill|start|restart        the controller likewise, on the same state
  lab gateway kill|stop|start|restart      the gateway; stop is the orderly end
  lab fault NAME METHOD FAULT [--times N] [--skip N] [--delay S] [--task]
                                           FAULT: a class, drop, drop-after, delay, http-503
  lab faults NAME clear
  lab set NAME [SETTING VALUE]             limits and delays of a host; alone: all of them
  lab calls NAME [--reset]                 methods seen so far with counts
  lab bytes NAME [--reset]                 bytes that crossed HTTP, by kind
  lab sessions NAME                        who is signed in
  lab expire NAME                          end all sessions, as a long idle time would
  lab leftovers [NAME]                     what is there besides the templates; ends 1 when something is
  lab populate NAME COUNT                  a big inventory of machines without guests, for measuring
  lab mail                                 the mails received, one file each
  lab templates, lab types                 what can be made from what`

func main() {
	// In a host's shell the program is called by the names of ESXi's commands.
	switch name := filepath.Base(os.Args[0]); name {
	case "vim-cmd", "vmkfstools", "esxcli":
		os.Exit(shellClient(name, os.Args[1:]))
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	err := commands[os.Args[1]](os.Args[2:])
	// A program that was run for its own sake, as by `lab guest`, has said itself what was wrong.
	if exit, ok := err.(*exec.ExitError); ok {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}
