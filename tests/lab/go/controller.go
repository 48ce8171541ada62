package main

// The controller under test: started, signed in, and made to know the lab's hosts and types.

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

// splitConfig takes "section.key=value" apart; the value is TOML.
func splitConfig(setting string) (section, key, value string, err error) {
	name, value, found := strings.Cut(setting, "=")
	section, key, dotted := strings.Cut(name, ".")
	if !found || !dotted || section == "" || key == "" || value == "" {
		return "", "", "", fmt.Errorf("lab run: --config wants SECTION.KEY=VALUE, not %q", setting)
	}
	return section, key, value, nil
}

func sortedKeys[V any](values map[string]V) []string {
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// controllerConfig is the lab's own settings with those of --config in their place.
func (l *lab) controllerConfig() string {
	settings := append([]string{
		`server.listen="10.213.0.1:8443"`,
		`agents.listen="10.213.0.1:8444"`,
		`agents.address="10.213.0.1:8444"`,
		fmt.Sprintf("agents.binary=%q", filepath.Join(l.plan.Build, "agent/drover-agent")),
		fmt.Sprintf("store.directory=%q", filepath.Join(l.plan.State, "controller")),
		"reachability.interval_seconds=1",
		`mail.smtp="smtp://10.213.0.1:25"`,
		`mail.from="drover@lab"`,
		"mail.starttls=false",
	}, l.plan.Config...)
	sections := map[string]map[string]string{}
	for _, setting := range settings {
		section, key, value, err := splitConfig(setting)
		if err != nil {
			continue
		}
		if sections[section] == nil {
			sections[section] = map[string]string{}
		}
		sections[section][key] = value
	}
	text := "# Written by the lab.\n"
	for _, section := range sortedKeys(sections) {
		text += "\n[" + section + "]\n"
		for _, key := range sortedKeys(sections[section]) {
			text += key + " = " + sections[section][key] + "\n"
		}
	}
	return text
}

func (l *lab) startController() error {
	if err := os.MkdirAll(filepath.Join(l.plan.State, "controller"), 0o700); err != nil {
		return err
	}
	config := filepath.Join(l.plan.State, "controller.toml")
	if err := os.WriteFile(config, []byte(l.controllerConfig()), 0o600); err != nil {
		return err
	}
	once, authority, err := l.runController()
	if err != nil {
		return err
	}
	if once == "" || authority == "" {
		return errors.New("droverd printed no one-time password, or no fingerprint, at its first start")
	}
	mode := "register"
	if l.plan.Bare {
		mode = "bare"
	}
	command := exec.Command(filepath.Join(l.plan.Source, "sign-in"), l.plan.State, mode, authority)
	command.Env, command.Dir = l.environment(), l.plan.State
	command.Stdin = strings.NewReader(once + "\n")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("sign-in: %w\n%s\nend of the controller's log:\n%s", err, bytes.TrimSpace(out),
			tail(filepath.Join(l.plan.State, "controller.log")))
	}
	return nil
}

// runController starts droverd and returns when it serves; password and fingerprint are only there at the first start.
func (l *lab) runController() (once, authority string, err error) {
	log, err := os.OpenFile(filepath.Join(l.plan.State, "controller.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return "", "", err
	}
	defer log.Close()
	command := exec.Command(filepath.Join(l.plan.Build, "controller/droverd"), "--config", filepath.Join(l.plan.State, "controller.toml"))
	command.Env, command.Dir = l.environment(), l.plan.State
	command.Stderr = log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	output, err := command.StdoutPipe()
	if err != nil {
		return "", "", err
	}
	if err := command.Start(); err != nil {
		return "", "", err
	}
	l.controller = command
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(output); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	limit := time.After(60 * time.Second)
	for {
		select {
		case line, open := <-lines:
			if !open {
				_ = command.Wait()
				return "", "", fmt.Errorf("droverd ended (%v): %s", command.ProcessState, tail(log.Name()))
			}
			if _, text, found := strings.Cut(line, "One-time password:"); found {
				once = strings.TrimSpace(text)
			}
			if _, text, found := strings.Cut(line, "Authority, as the first sign-in shows it: SHA-256"); found {
				authority = strings.TrimSpace(text)
			}
			if strings.HasPrefix(line, "droverd: ready") {
				go l.drain(command, lines)
				return once, authority, nil
			}
		case <-limit:
			_ = command.Process.Kill()
			return "", "", fmt.Errorf("droverd is not ready after 60 s: %s", tail(log.Name()))
		}
	}
}

// drain reads on, so that the controller never blocks on its output, and collects it when it ends.
func (l *lab) drain(command *exec.Cmd, lines chan string) {
	for range lines {
		continue
	}
	_ = command.Wait()
}

// controllerAction is `lab controller kill|start|restart`.
func (l *lab) controllerAction(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.actOnController(r.URL.Query().Get("action")); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, "")
}

func (l *lab) controllerAlive() bool {
	return l.controller != nil && l.controller.Process.Signal(syscall.Signal(0)) == nil
}

func (l *lab) actOnController(action string) error {
	if l.plan.NoController {
		return errors.New("this lab has no controller")
	}
	switch action {
	case "kill", "restart":
		if l.controllerAlive() {
			if err := l.controller.Process.Kill(); err != nil {
				return err
			}
			for l.controllerAlive() {
				time.Sleep(5 * time.Millisecond)
			}
		} else if action == "kill" {
			return errors.New("the controller is not running")
		}
		if action == "kill" {
			return nil
		}
	case "start":
		if l.controllerAlive() {
			return errors.New("the controller is running")
		}
	default:
		return errors.New("what? kill, start or restart")
	}
	_, _, err := l.runController()
	return err
}
