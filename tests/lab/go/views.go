package main

// Container views: a list of inventory objects under a folder, worked out whenever somebody looks.

import (
	"reflect"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

type containerView struct {
	mo.ContainerView
	explicit []moref
}

// children are the inventory objects directly below one; the caller holds the store's lock.
func children(ref moref) []moref {
	object := getObject(ref)
	if object == nil {
		return nil
	}
	switch e := managedObject(object).Addr().Interface().(type) {
	case *mo.Folder:
		return e.ChildEntity
	case *mo.Datacenter:
		return []moref{e.VmFolder, e.HostFolder, e.DatastoreFolder, e.NetworkFolder}
	case *mo.ComputeResource:
		list := append([]moref{}, e.Host...)
		if e.ResourcePool != nil {
			list = append(list, *e.ResourcePool)
		}
		return list
	case *mo.ResourcePool:
		return append(append([]moref{}, e.ResourcePool...), e.Vm...)
	}
	return nil
}

// isKind tells whether an object is of a managed type or one derived from it.
func isKind(ref moref, kind string) bool {
	if ref.Type == kind || kind == "ManagedEntity" {
		return true
	}
	object := getObject(ref)
	if object == nil {
		return false
	}
	field, ok := managedObject(object).Type().FieldByName(kind)
	return ok && field.Anonymous
}

// list works out the view's content; the caller holds the store's lock.
func (v *containerView) list() []moref {
	if v.explicit != nil {
		return v.explicit
	}
	var found []moref
	seen := map[moref]bool{}
	var walk func(ref moref, depth int)
	walk = func(ref moref, depth int) {
		for _, child := range children(ref) {
			if seen[child] {
				continue
			}
			seen[child] = true
			for _, kind := range v.Type {
				if isKind(child, kind) {
					found = append(found, child)
					break
				}
			}
			if len(v.Type) == 0 {
				found = append(found, child)
			}
			if v.Recursive {
				walk(child, depth+1)
			}
		}
	}
	walk(v.Container, 0)
	return found
}

func (h *host) addView(c *call, v *containerView) moref {
	v.Self.Value = "session[" + c.session.info.Key + "]" + newUUID()
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	c.session.views[v.Self.Value] = v
	return v.Self
}

func (h *host) createContainerView(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.CreateContainerView)
	h.store.mu.RLock()
	defer h.store.mu.RUnlock()
	container := getObject(req.Container)
	if container == nil {
		return nil, notFound(req.Container)
	}
	switch req.Container.Type {
	case "Folder", "Datacenter", "ComputeResource", "ResourcePool", "HostSystem":
	default:
		return nil, fault(&types.InvalidArgument{InvalidProperty: "container"})
	}
	for _, kind := range req.Type {
		if t, ok := moType(kind); !ok || !isEntityType(t) {
			return nil, fault(&types.InvalidArgument{InvalidProperty: "type"})
		}
	}
	v := &containerView{}
	v.Self.Type = "ContainerView"
	v.Container, v.Type, v.Recursive = req.Container, req.Type, req.Recursive
	return h.addView(c, v), nil
}

func (h *host) createListView(c *call) (interface{}, *soapFault) {
	v := &containerView{explicit: append([]moref{}, c.body.(*types.CreateListView).Obj...)}
	v.Self.Type = "ListView"
	return h.addView(c, v), nil
}

func (h *host) destroyView(c *call) (interface{}, *soapFault) {
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	if c.session.views[c.this.Value] == nil {
		return nil, notFound(c.this)
	}
	delete(c.session.views, c.this.Value)
	return nil, nil
}

// moType finds a managed object type of the schema by name.
func moType(name string) (reflect.Type, bool) {
	for _, sample := range []interface{}{mo.ManagedEntity{}, mo.Folder{}, mo.Datacenter{}, mo.ComputeResource{},
		mo.ClusterComputeResource{}, mo.HostSystem{}, mo.ResourcePool{}, mo.VirtualApp{}, mo.VirtualMachine{},
		mo.Datastore{}, mo.Network{}, mo.DistributedVirtualPortgroup{}, mo.DistributedVirtualSwitch{},
		mo.StoragePod{}, mo.Task{}, mo.ContainerView{}, mo.ListView{}, mo.LicenseManager{}, mo.PerformanceManager{},
		mo.GuestOperationsManager{}, mo.SessionManager{}, mo.ServiceInstance{}, mo.EventManager{},
		mo.TaskManager{}, mo.HostDatastoreBrowser{}, mo.OptionManager{}, mo.VirtualMachineSnapshot{},
		mo.OpaqueNetwork{}, mo.ViewManager{}, mo.PropertyCollector{}, mo.HostDatastoreSystem{}} {
		if t := reflect.TypeOf(sample); t.Name() == name {
			return t, true
		}
	}
	return nil, false
}

func isEntityType(t reflect.Type) bool {
	_, ok := t.FieldByName("OverallStatus")
	return ok || t.Name() == "ManagedEntity" || t.Name() == "Network" || t.Name() == "Datastore"
}

// sessionObject finds what a reference means for this caller: its own views first, then the inventory.
func (h *host) sessionObject(s *session, ref moref) (reflect.Value, bool) {
	if s != nil && (ref.Type == "ContainerView" || ref.Type == "ListView") {
		h.sessions.mu.Lock()
		v := s.views[ref.Value]
		h.sessions.mu.Unlock()
		if v == nil {
			return reflect.Value{}, false
		}
		copied := v.ContainerView
		copied.View = v.list()
		return reflect.ValueOf(&copied).Elem(), true
	}
	if s != nil && ref.Type == "SessionManager" {
		sm := *simulator.Map.SessionManager()
		h.sessions.mu.Lock()
		info := s.info
		sm.SessionList = nil
		for _, one := range h.sessions.byCookie {
			sm.SessionList = append(sm.SessionList, one.info)
		}
		h.sessions.mu.Unlock()
		sm.CurrentSession = &info
		return reflect.ValueOf(&sm.SessionManager).Elem(), true
	}
	object := getObject(ref)
	if object == nil {
		return reflect.Value{}, false
	}
	return managedObject(object), true
}
