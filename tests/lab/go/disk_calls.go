package main

// VirtualDiskManager: the calls that make, copy, delete and grow disks.

import (
	"github.com/vmware/govmomi/vim25/types"
)

func (h *host) diskTask(c *call, description string, cancelable bool, work taskWork) moref {
	return h.startTask(taskSpec{method: c.method, description: "VirtualDiskManager." + description, entity: c.this,
		entityName: h.config.Name, user: c.session.info.UserName, cancelable: cancelable}, work)
}

var diskTypes = map[string]bool{"thin": true, "preallocated": false, "thick": false, "eagerZeroedThick": false}
var adapterTypes = map[string]bool{"ide": true, "busLogic": true, "lsiLogic": true}

// diskSpec reads a VirtualDiskSpec; absent means the documented default, preallocated and busLogic.
func diskSpec(spec types.BaseVirtualDiskSpec, name string) (thin bool, adapter string, f *soapFault) {
	if spec == nil {
		return false, "busLogic", nil
	}
	s := spec.GetVirtualDiskSpec()
	thin, known := diskTypes[s.DiskType]
	if !known {
		return false, "", fault(&types.InvalidArgument{InvalidProperty: name + ".diskType"})
	}
	if !adapterTypes[s.AdapterType] {
		return false, "", fault(&types.InvalidArgument{InvalidProperty: name + ".adapterType"})
	}
	return thin, s.AdapterType, nil
}

func (h *host) copyVirtualDisk(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.CopyVirtualDisk_Task)
	if !h.isESX() && req.DestSpec != nil {
		return nil, fault(&types.NotImplemented{})
	}
	if f := h.checkDatacenter(req.SourceDatacenter, "sourceDatacenter"); f != nil {
		return nil, f
	}
	if req.DestDatacenter == nil {
		req.DestDatacenter = req.SourceDatacenter
	}
	if f := h.checkDatacenter(req.DestDatacenter, "destDatacenter"); f != nil {
		return nil, f
	}
	thin, adapter, f := diskSpec(req.DestSpec, "destSpec")
	if f != nil {
		return nil, f
	}
	return h.diskTask(c, "copyVirtualDisk", true, func(t *task) (interface{}, *soapFault) {
		if f := h.datastore.copyDisk(t.ctx, req.SourceName, req.DestName, thin, adapter, t.progress); f != nil {
			return nil, f
		}
		h.datastore.refresh()
		return req.DestName, nil
	}), nil
}

func (h *host) createVirtualDisk(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.CreateVirtualDisk_Task)
	if f := h.checkDatacenter(req.Datacenter, "datacenter"); f != nil {
		return nil, f
	}
	file, ok := req.Spec.(*types.FileBackedVirtualDiskSpec)
	if !ok {
		return nil, fault(&types.InvalidArgument{InvalidProperty: "spec"})
	}
	thin, adapter, f := diskSpec(req.Spec, "spec")
	if f != nil {
		return nil, f
	}
	return h.diskTask(c, "createVirtualDisk", false, func(*task) (interface{}, *soapFault) {
		return req.Name, h.datastore.createDisk(req.Name, file.CapacityKb*1024, thin, adapter)
	}), nil
}

func (h *host) deleteVirtualDisk(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.DeleteVirtualDisk_Task)
	if f := h.checkDatacenter(req.Datacenter, "datacenter"); f != nil {
		return nil, f
	}
	return h.diskTask(c, "deleteVirtualDisk", false, func(*task) (interface{}, *soapFault) {
		f := h.datastore.deleteDisk(req.Name)
		h.datastore.refresh()
		return nil, f
	}), nil
}

func (h *host) extendVirtualDisk(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.ExtendVirtualDisk_Task)
	if f := h.checkDatacenter(req.Datacenter, "datacenter"); f != nil {
		return nil, f
	}
	return h.diskTask(c, "extendVirtualDisk", false, func(*task) (interface{}, *soapFault) {
		return nil, h.datastore.growDisk(req.Name, req.NewCapacityKb*1024)
	}), nil
}
