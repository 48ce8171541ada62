package main

// The gateway under test, when one was built: JSON and the page at DROVER_WEB.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const webURL = "http://10.213.0.1:8080"

func (l *lab) gatewayBinary() string {
	return filepath.Join(l.plan.Build, "web-gateway/drover-gateway")
}

// hasGateway is whether there is one to start.
func (l *lab) hasGateway() bool {
	_, err := os.Stat(l.gatewayBinary())
	return err == nil && !l.plan.NoController
}

// pageFolder is the built page; "" when there is none.
func (l *lab) pageFolder() string {
	for _, folder := range []string{os.Getenv("DROVER_PAGE"), filepath.Join(l.plan.Build, "web-gateway/page")} {
		if _, err := os.Stat(filepath.Join(folder, "index.html")); folder != "" && err == nil {
			return folder
		}
	}
	return ""
}

func (l *lab) gatewayConfig() string {
	controller := filepath.Join(l.plan.State, "controller")
	return fmt.Sprintf(`# Written by the lab.
[http]
listen = "10.213.0.1:8080"
allow_plain = true
page_dir = %q

[controller]
address = "10.213.0.1:8443"
authority_file = %q
gateway_key_file = %q

[limits]
logins_per_minute = 600
`, l.pageFolder(), filepath.Join(controller, "tls/authority.crt"), filepath.Join(controller, "gateway.key"))
}

// runGateway starts it and returns when it serves.
func (l *lab) runGateway() error {
	config := filepath.Join(l.plan.State, "gateway.toml")
	if err := os.WriteFile(config, []byte(l.gatewayConfig()), 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(l.plan.State, "gateway.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(l.gatewayBinary(), "--config", config)
	command.Env, command.Dir = l.environment(), l.plan.State
	command.Stderr = log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	l.gateway = command
	ready := make(chan bool, 1)
	go func() {
		scanner := bufio.NewScanner(output)
		for scanner.Scan() {
			if strings.HasPrefix(scanner.Text(), "drover-gateway: ready") {
				ready <- true
			}
		}
		_ = command.Wait()
		ready <- false
	}()
	select {
	case served := <-ready:
		if served {
			return nil
		}
		return fmt.Errorf("drover-gateway ended: %s", tail(log.Name()))
	case <-time.After(60 * time.Second):
		_ = command.Process.Kill()
		return fmt.Errorf("drover-gateway is not ready after 60 s: %s", tail(log.Name()))
	}
}

// gatewayAction is `lab gateway kill|stop|start|restart`.
func (l *lab) gatewayAction(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.actOnGateway(r.URL.Query().Get("action")); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, "")
}

func (l *lab) actOnGateway(action string) error {
	if l.gateway == nil {
		return errors.New("this lab has no gateway")
	}
	alive := func() bool { return l.gateway.Process.Signal(syscall.Signal(0)) == nil }
	signal := syscall.SIGKILL
	switch action {
	case "stop":
		signal = syscall.SIGTERM
	case "kill", "restart":
	case "start":
		if alive() {
			return errors.New("the gateway is running")
		}
		return l.runGateway()
	default:
		return errors.New("what? kill, stop, start or restart")
	}
	if alive() {
		if err := l.gateway.Process.Signal(signal); err != nil {
			return err
		}
		for alive() {
			time.Sleep(5 * time.Millisecond)
		}
	} else if action != "restart" {
		return errors.New("the gateway is not running")
	}
	if action == "restart" {
		return l.runGateway()
	}
	return nil
}
