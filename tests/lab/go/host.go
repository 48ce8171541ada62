package main

// One simulated ESXi host or vCenter: its objects, its web server, its control socket.

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// hostConfig is written by the lab for every host and outlives the host's crashes.
type hostConfig struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"` // esxi or vcenter
	Free     bool   `json:"free"`
	Address  string `json:"address"`
	Managed  string `json:"managed"` // vCenter: address of the ESXi host below it
	User     string `json:"user"`
	Password string `json:"password"`
	SSH      bool   `json:"ssh"`
	Dir      string `json:"dir"` // state: certificate, datastore, inventory
	Guest    string `json:"guest"`
	Layers   string `json:"layers"`
	Cgroup   string `json:"cgroup"`
}

type host struct {
	config      hostConfig
	store       *store
	sessions    *sessions
	settings    *settings
	rules       *faultRules
	inner       *simulator.Service
	innerCookie string
	datastore   *datastore
	vms         *machines
	guests      *guests
	tasks       *taskList
	transfers   *transfers
	logMu       sync.Mutex
}

func (h *host) isESX() bool { return h.config.Kind == "esxi" }

func (h *host) logf(format string, args ...interface{}) {
	h.logMu.Lock()
	defer h.logMu.Unlock()
	fmt.Fprintf(os.Stderr, "%s %s: %s\n", time.Now().UTC().Format("15:04:05.000"), h.config.Name, fmt.Sprintf(format, args...))
}

func newHost(config hostConfig) (*host, error) {
	log.SetOutput(discard{})
	h := &host{config: config, store: newStore(), sessions: newSessions(), settings: newSettings(), rules: newFaultRules()}
	h.tasks = newTaskList()
	h.transfers = newTransfers()
	if err := h.buildInventory(); err != nil {
		return nil, err
	}
	h.vms = newMachines(h)
	h.guests = newGuests(h)
	return h, h.vms.load()
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// hostMain is the process of one host; it ends when it is killed.
func hostMain(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: host DIR")
	}
	data, err := os.ReadFile(filepath.Join(args[0], "config.json"))
	if err != nil {
		return err
	}
	var config hostConfig
	if err := json.Unmarshal(data, &config); err != nil {
		return err
	}
	if err := joinNetwork(config); err != nil {
		return err
	}
	if err := ownProc(); err != nil {
		return err
	}
	h, err := newHost(config)
	if err != nil {
		return err
	}
	if err := h.serveControl(); err != nil {
		return err
	}
	if config.SSH {
		if err := h.startShell(); err != nil {
			return err
		}
	}
	addresses := []string{config.Address}
	if config.Managed != "" {
		addresses = append(addresses, config.Managed)
	}
	failed := make(chan error)
	for i, address := range addresses {
		certificate, err := hostCertificate(config.Dir, address)
		if err != nil {
			return err
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(address, "443"))
		if err != nil {
			return err
		}
		server := &http.Server{Handler: h.routes(i == 0), ErrorLog: log.New(discard{}, "", 0),
			TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
		secure := tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
		go func() { failed <- server.Serve(secure) }()
	}
	go h.watchGuests()
	h.logf("ready")
	if err := os.WriteFile(filepath.Join(config.Dir, "ready"), []byte("ready\n"), 0o644); err != nil {
		return err
	}
	return <-failed
}

// ownProc shows this host its own processes only; its mounts stay its own too.
func ownProc() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	return syscall.Mount("proc", "/proc", "proc", 0, "")
}

func (h *host) routes(api bool) http.Handler {
	mux := http.NewServeMux()
	if api {
		mux.HandleFunc("/sdk", h.serveSDK)
		mux.HandleFunc("/sdk/vimServiceVersions.xml", h.serveVersions)
	}
	mux.HandleFunc("/guestFile", h.serveGuestFile)
	mux.HandleFunc("/folder", h.serveFolder)
	mux.HandleFunc("/folder/", h.serveFolder)
	return mux
}

func (h *host) serveVersions(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8" ?><namespaces version="1.0"><namespace><name>urn:vim25</name>`+
		`<version>%s</version><priorVersions>`, apiVersions[0])
	for _, version := range apiVersions[1:] {
		fmt.Fprintf(w, "<version>%s</version>", version)
	}
	fmt.Fprint(w, "</priorVersions></namespace></namespaces>")
}

// loginInner opens the simulator package's own session, used for the calls that are left to it.
func (h *host) loginInner(model *simulator.Model) error {
	h.inner = model.Service
	h.inner.RegisterSDK(simulator.Map)
	h.inner.Listen = &url.URL{Scheme: "https", Host: h.config.Address, User: url.UserPassword("inner", "inner")}
	body := `<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><Login xmlns="urn:vim25"><_this type="SessionManager">` +
		simulator.Map.SessionManager().Self.Value + `</_this><userName>inner</userName><password>inner</password></Login></Body></Envelope>`
	cookie, err := postInner(h.inner, body)
	h.innerCookie = cookie
	return err
}

func (h *host) propertyCollectorRef() *moref {
	ref := h.content().PropertyCollector
	return &ref
}

func (h *host) content() types.ServiceContent {
	return getObject(moref{Type: "ServiceInstance", Value: "ServiceInstance"}).(*simulator.ServiceInstance).Content
}
