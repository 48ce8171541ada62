package main

// The objects a host has before any machine: datacenter, pool, host, network, datastore, managers.

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// fixed are the inventory references everything else refers to.
type fixedRefs struct {
	datacenter, vmFolder, pool, host, compute, datastore, network moref
}

var fixed fixedRefs

func postInner(service *simulator.Service, body string) (string, error) {
	recorder := httptest.NewRecorder()
	service.ServeSDK(recorder, httptest.NewRequest(http.MethodPost, "/sdk", bytes.NewReader([]byte(body))))
	for _, cookie := range recorder.Result().Cookies() {
		if cookie.Name == sessionCookie {
			return cookie.Value, nil
		}
	}
	return "", fmt.Errorf("inner login refused: %s", recorder.Body.String())
}

func (h *host) buildInventory() error {
	model := simulator.ESX()
	if !h.isESX() {
		model = simulator.VPX()
		model.Cluster, model.Host, model.Portgroup = 0, 1, 0
	}
	model.Machine, model.Datastore = 0, 0
	if err := model.Create(); err != nil {
		return err
	}
	if err := h.loginInner(model); err != nil {
		return err
	}
	dc := simulator.Map.Any("Datacenter").(*simulator.Datacenter)
	hs := simulator.Map.Any("HostSystem").(*simulator.HostSystem)
	pool := simulator.Map.Any("ResourcePool").(mo.Entity)
	cr := simulator.Map.Any("ComputeResource").(*mo.ComputeResource)
	fixed = fixedRefs{datacenter: dc.Self, vmFolder: dc.VmFolder, pool: pool.Reference(), host: hs.Self, compute: cr.Self}
	for _, e := range simulator.Map.All("Network") {
		fixed.network = e.Reference()
		if network, ok := e.(*mo.Network); ok {
			network.Name = "VM Network"
			network.Summary = &types.NetworkSummary{Network: &network.Self, Name: network.Name, Accessible: true}
		}
	}
	name, address := h.config.Name, h.config.Address
	if !h.isESX() {
		dc.Name, address = "dc1", h.config.Managed
		name = address
	}
	hs.Name, cr.Name = name, name
	hs.Summary.Config.Name = name
	certificate, err := hostCertificate(h.config.Dir, address)
	if err != nil {
		return err
	}
	hs.Summary.Config.SslThumbprint = thumbprint(certificate)
	hs.Runtime.ConnectionState = types.HostSystemConnectionStateConnected
	hs.Summary.Runtime = &hs.Runtime
	h.setAbout()
	h.describeHost(hs)
	h.addDatastore(dc, hs, cr)
	simulator.Map.Get(*h.content().LicenseManager).(*simulator.LicenseManager).Licenses =
		[]types.LicenseManagerLicenseInfo{h.licence()}
	h.setGuestManagers()
	return nil
}

// describeHost gives the host system the sizes and the product that go with this lab.
func (h *host) describeHost(hs *simulator.HostSystem) {
	product := h.content().About
	if !h.isESX() {
		product.Name, product.FullName, product.ApiType, product.ProductLineId = "VMware ESXi", "VMware ESXi 6.7.0 build-14320388", "HostAgent", "embeddedEsx"
	}
	hs.Summary.Config.Product = &product
	if hs.Config != nil {
		hs.Config.Product = product
	}
	if hardware := hs.Summary.Hardware; hardware != nil {
		hardware.CpuMhz, hardware.NumCpuCores, hardware.NumCpuThreads = hostMHz, 16, 32
		hardware.MemorySize = 128 << 30
	}
}

func (h *host) setAbout() {
	si := getObject(moref{Type: "ServiceInstance", Value: "ServiceInstance"}).(*simulator.ServiceInstance)
	about := &si.Content.About
	about.Version, about.ApiVersion, about.Build = "6.7.0", apiVersions[0], "14320388"
	if h.isESX() {
		about.FullName = "VMware ESXi 6.7.0 build-14320388"
		about.LicenseProductVersion = "6.0"
		si.Content.SessionManager = &moref{Type: "SessionManager", Value: "ha-sessionmgr"}
	} else {
		about.FullName = "VMware vCenter Server 6.7.0 build-14320388"
	}
}

func (h *host) addDatastore(dc *simulator.Datacenter, hs *simulator.HostSystem, cr *mo.ComputeResource) {
	h.datastore = &datastore{host: h, name: "datastore1", dir: filepath.Join(h.config.Dir, "datastore1")}
	value := "datastore-11"
	if h.isESX() {
		value = "5f8e1c2a-" + hashHex(h.config.Name)[:8] + "-0b1d-000c29" + hashHex(h.config.Name)[8:14]
	}
	ds := &simulator.Datastore{}
	ds.Self = moref{Type: "Datastore", Value: value}
	ds.Name = h.datastore.name
	ds.Browser = moref{Type: "HostDatastoreBrowser", Value: ds.Self.Value + "-browser"}
	url := "/vmfs/volumes/" + value
	maintenance, many, thin, rawDevice := "normal", false, true, true
	ds.Info = &types.VmfsDatastoreInfo{DatastoreInfo: types.DatastoreInfo{Name: ds.Name, Url: url, MaxFileSize: 1 << 46}}
	ds.Summary = types.DatastoreSummary{Datastore: &ds.Self, Name: ds.Name, Url: url, Accessible: true, Type: "VMFS",
		MaintenanceMode: maintenance, MultipleHostAccess: &many}
	ds.Capability = types.DatastoreCapability{DirectoryHierarchySupported: true, RawDiskMappingsSupported: rawDevice,
		PerFileThinProvisioningSupported: thin}
	ds.Host = []types.DatastoreHostMount{{Key: hs.Self, MountInfo: types.HostMountInfo{Path: url, AccessMode: "readWrite"}}}
	ds.Parent = &dc.DatastoreFolder
	fixed.datastore = ds.Self
	browser := &simulator.HostDatastoreBrowser{}
	browser.Self = ds.Browser
	browser.Datastore = []moref{ds.Self}
	folder := getObject(dc.DatastoreFolder).(*simulator.Folder)
	folder.ChildEntity = []moref{ds.Self}
	dc.Datastore, hs.Datastore, cr.Datastore = []moref{ds.Self}, []moref{ds.Self}, []moref{ds.Self}
	h.store.put(browser)
	h.store.put(ds)
	h.datastore.object = ds
	h.datastore.refresh()
}

func (h *host) setGuestManagers() {
	gom := getObject(*h.content().GuestOperationsManager).(*simulator.GuestOperationsManager)
	for kind, field := range map[string]**moref{"GuestAuthManager": &gom.AuthManager, "GuestFileManager": &gom.FileManager,
		"GuestProcessManager": &gom.ProcessManager} {
		value := "ha-" + kind
		if !h.isESX() {
			value = "guestOperations" + kind[len("Guest"):]
		}
		ref := moref{Type: kind, Value: value}
		*field = &ref
		switch kind {
		case "GuestAuthManager":
			h.store.put(&mo.GuestAuthManager{Self: ref})
		case "GuestFileManager":
			h.store.put(&mo.GuestFileManager{Self: ref})
		default:
			h.store.put(&mo.GuestProcessManager{Self: ref})
		}
	}
}
