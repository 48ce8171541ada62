package main

// The host's control socket: what the lab's own commands and the shell shims ask of it.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

func (h *host) serveControl() error {
	socket := filepath.Join(h.config.Dir, "control")
	_ = os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/fault", h.controlFault)
	mux.HandleFunc("/clear", func(w http.ResponseWriter, r *http.Request) { h.rules.clear() })
	mux.HandleFunc("/set", h.controlSet)
	mux.HandleFunc("/calls", h.controlCalls)
	mux.HandleFunc("/bytes", h.controlBytes)
	mux.HandleFunc("/guest", h.controlGuest)
	mux.HandleFunc("/expire", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, h.expireSessions()) })
	mux.HandleFunc("/sessions", h.controlSessions)
	mux.HandleFunc("/leftovers", h.controlLeftovers)
	mux.HandleFunc("/shell", h.controlShell)
	mux.HandleFunc("/populate", h.controlPopulate)
	go http.Serve(listener, mux)
	return nil
}

func (h *host) controlFault(w http.ResponseWriter, r *http.Request) {
	var rule faultRule
	err := json.NewDecoder(r.Body).Decode(&rule)
	if err == nil {
		err = h.rules.add(rule)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (h *host) controlSet(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	if name == "" {
		for _, known := range settingNames() {
			fmt.Fprintf(w, "%s %s\n", known, h.settings.get(known))
		}
		return
	}
	if err := h.settings.set(name, r.URL.Query().Get("value")); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if name == "capacity" || name == "free" {
		h.datastore.refresh()
	}
	for _, running := range h.guests.list() {
		running.lookSoon()
	}
}

func (h *host) controlCalls(w http.ResponseWriter, r *http.Request) {
	h.rules.mu.Lock()
	defer h.rules.mu.Unlock()
	var names []string
	for name := range h.rules.calls {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(w, "%s %d\n", name, h.rules.calls[name])
	}
	if r.URL.Query().Get("reset") != "" {
		h.rules.calls = map[string]int{}
	}
}

func (h *host) controlBytes(w http.ResponseWriter, r *http.Request) {
	h.rules.mu.Lock()
	defer h.rules.mu.Unlock()
	// Whole disks can only travel as datastore files.
	fmt.Fprintf(w, "disk %d\n", h.rules.bytes["folder-get"]+h.rules.bytes["folder-put"])
	for _, kind := range []string{"folder-get", "folder-put", "guest-get", "guest-put", "sdk-in", "sdk-out"} {
		fmt.Fprintf(w, "%s %d\n", kind, h.rules.bytes[kind])
	}
	if r.URL.Query().Get("reset") != "" {
		h.rules.bytes = map[string]int64{}
	}
}

func (h *host) controlGuest(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("vm")
	for _, running := range h.guests.list() {
		h.store.mu.RLock()
		found := running.vm.Name == name
		h.store.mu.RUnlock()
		if found {
			fmt.Fprintf(w, "%d %s\n", running.pid, running.cgroup)
			return
		}
	}
	http.Error(w, "no running guest "+name, http.StatusNotFound)
}

func (h *host) controlSessions(w http.ResponseWriter, r *http.Request) {
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	for _, s := range h.sessions.byCookie {
		fmt.Fprintf(w, "%s from %s, %d calls, %d views, %d collectors\n", s.info.UserName, s.info.IpAddress, s.calls, len(s.views), len(s.collectors))
	}
}

// controlLeftovers lists what no registered machine accounts for.
func (h *host) controlLeftovers(w http.ResponseWriter, r *http.Request) {
	owned := map[string]bool{}
	h.store.mu.RLock()
	running := map[string]bool{}
	for _, vm := range h.vms.all() {
		if file, f := h.datastore.resolve(vm.Config.Files.VmPathName); f == nil {
			base := strings.TrimSuffix(file, ".vmx")
			for _, own := range []string{file, base + ".nvram", base + ".vmsd", base + ".vmxf", filepath.Dir(file)} {
				owned[own] = true
			}
		}
		for _, disk := range vm.diskNames() {
			if file, f := h.datastore.resolve(disk); f == nil {
				owned[file], owned[flatOf(file)] = true, true
			}
		}
		if !strings.HasPrefix(vm.Name, "tpl-") {
			fmt.Fprintf(w, "machine %s\n", vm.Name)
		}
		if vm.Runtime.PowerState != poweredOff {
			running["guest-"+vm.Self.Value] = true
		}
	}
	h.store.mu.RUnlock()
	_ = filepath.WalkDir(h.datastore.dir, func(file string, entry os.DirEntry, err error) error {
		if err == nil && file != h.datastore.dir && !owned[file] {
			fmt.Fprintf(w, "file %s\n", h.datastore.path(file))
		}
		return nil
	})
	entries, _ := os.ReadDir(h.config.Cgroup)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "guest-") && !running[entry.Name()] {
			fmt.Fprintf(w, "guest without machine: %s\n", entry.Name())
		}
	}
}

// controlClient asks a host's control socket.
func controlClient(dir, path string, query url.Values, body []byte) (string, error) {
	client := socketClient(filepath.Join(dir, "control"))
	answer, err := client.Post("http://host"+path+"?"+query.Encode(), "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", strings.TrimSpace(string(text)))
	}
	return string(text), err
}
