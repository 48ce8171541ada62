package main

// Which calls the lab answers itself. Everything else of the schema goes to the simulator package.

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

var handlers map[handlerKey]handler

func on(kind, method string, f func(*host, *call) (interface{}, *soapFault)) {
	handlers[handlerKey{kind, method}] = func(c *call) (interface{}, *soapFault) { return f(c.host, c) }
}

func init() {
	handlers = map[handlerKey]handler{}
	on("ServiceInstance", "CurrentTime", (*host).now)
	on("ServiceInstance", "RetrieveServiceContent", func(h *host, c *call) (interface{}, *soapFault) { return h.content(), nil })
	on("SessionManager", "Login", (*host).login)
	on("SessionManager", "Logout", (*host).logout)
	on("SessionManager", "SessionIsActive", (*host).sessionIsActive)
	on("SessionManager", "TerminateSession", (*host).terminateSession)
	on("PropertyCollector", "RetrieveProperties", (*host).retrieveProperties)
	on("PropertyCollector", "RetrievePropertiesEx", (*host).retrievePropertiesEx)
	on("PropertyCollector", "ContinueRetrievePropertiesEx", (*host).continueRetrieve)
	on("PropertyCollector", "CancelRetrievePropertiesEx", (*host).cancelRetrieve)
	on("PropertyCollector", "CreatePropertyCollector", (*host).createPropertyCollector)
	on("PropertyCollector", "DestroyPropertyCollector", (*host).destroyPropertyCollector)
	on("PropertyCollector", "CreateFilter", (*host).createFilter)
	on("PropertyCollector", "WaitForUpdatesEx", (*host).waitForUpdatesEx)
	on("PropertyCollector", "CancelWaitForUpdates", (*host).cancelWaitForUpdates)
	on("PropertyFilter", "DestroyPropertyFilter", (*host).destroyPropertyFilter)
	on("ViewManager", "CreateContainerView", (*host).createContainerView)
	on("ViewManager", "CreateListView", (*host).createListView)
	on("ContainerView", "DestroyView", (*host).destroyView)
	on("ListView", "DestroyView", (*host).destroyView)
	on("Task", "CancelTask", (*host).cancelTask)
	machineHandlers()
	storageHandlers()
	on("GuestAuthManager", "ValidateCredentialsInGuest", (*host).validateCredentials)
	on("GuestFileManager", "InitiateFileTransferToGuest", (*host).fileToGuest)
	on("GuestFileManager", "InitiateFileTransferFromGuest", (*host).fileFromGuest)
	on("GuestFileManager", "MakeDirectoryInGuest", (*host).makeDirectoryInGuest)
	on("GuestFileManager", "DeleteFileInGuest", (*host).deleteFileInGuest)
	on("GuestProcessManager", "StartProgramInGuest", (*host).startProgram)
	on("GuestProcessManager", "ListProcessesInGuest", (*host).listProcesses)
	on("GuestProcessManager", "TerminateProcessInGuest", (*host).terminateProcess)
	on("PerformanceManager", "QueryPerf", (*host).queryPerf)
	on("PerformanceManager", "QueryPerfCounter", (*host).queryPerfCounter)
	on("PerformanceManager", "QueryPerfProviderSummary", (*host).queryPerfProvider)
	on("PerformanceManager", "QueryAvailablePerfMetric", (*host).queryAvailablePerf)
	on("SearchIndex", "FindByUuid", (*host).findByUUID)
	on("SearchIndex", "FindByInventoryPath", (*host).findByPath)
	on("SearchIndex", "FindByDatastorePath", (*host).findByDatastorePath)
}

func machineHandlers() {
	on("Folder", "CreateVM_Task", (*host).createVM)
	on("Folder", "RegisterVM_Task", (*host).registerVM)
	for method, f := range map[string]func(*host, *call) (interface{}, *soapFault){
		"ReconfigVM_Task": (*host).reconfigVM, "Rename_Task": (*host).renameTask, "Destroy_Task": (*host).destroyTask,
		"UnregisterVM": (*host).unregisterVM, "PowerOnVM_Task": (*host).powerOnVM, "PowerOffVM_Task": (*host).powerOffVM,
		"ResetVM_Task": (*host).resetVM, "SuspendVM_Task": (*host).suspendVM, "CloneVM_Task": (*host).cloneVM,
		"CreateSnapshot_Task": (*host).createSnapshot, "AnswerVM": (*host).answerVM} {
		on("VirtualMachine", method, f)
	}
	on("VirtualMachine", "ShutdownGuest", func(h *host, c *call) (interface{}, *soapFault) { return h.guestSignal(c, false) })
	on("VirtualMachine", "RebootGuest", func(h *host, c *call) (interface{}, *soapFault) { return h.guestSignal(c, true) })
	on("VirtualMachine", "MarkAsTemplate", func(h *host, c *call) (interface{}, *soapFault) { return h.setTemplate(c, true) })
	on("VirtualMachine", "MarkAsVirtualMachine", func(h *host, c *call) (interface{}, *soapFault) { return h.setTemplate(c, false) })
}

func storageHandlers() {
	on("FileManager", "MakeDirectory", (*host).makeDirectory)
	on("FileManager", "DeleteDatastoreFile_Task", (*host).deleteDatastoreFile)
	on("FileManager", "MoveDatastoreFile_Task", (*host).moveDatastoreFile)
	on("FileManager", "CopyDatastoreFile_Task", (*host).copyDatastoreFile)
	on("VirtualDiskManager", "CopyVirtualDisk_Task", (*host).copyVirtualDisk)
	on("VirtualDiskManager", "CreateVirtualDisk_Task", (*host).createVirtualDisk)
	on("VirtualDiskManager", "DeleteVirtualDisk_Task", (*host).deleteVirtualDisk)
	on("VirtualDiskManager", "ExtendVirtualDisk_Task", (*host).extendVirtualDisk)
	on("HostDatastoreBrowser", "SearchDatastore_Task", (*host).searchDatastore)
	on("HostDatastoreBrowser", "SearchDatastoreSubFolders_Task", (*host).searchSubFolders)
	on("Datastore", "RefreshDatastore", (*host).refreshDatastore)
}

func (h *host) findByUUID(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.FindByUuid)
	h.store.mu.RLock()
	defer h.store.mu.RUnlock()
	for _, vm := range h.vms.all() {
		uuid := vm.Config.Uuid
		if req.InstanceUuid != nil && *req.InstanceUuid {
			uuid = vm.Config.InstanceUuid
		}
		if req.VmSearch && uuid == req.Uuid {
			return vm.Self, nil
		}
	}
	return nil, nil
}

func (h *host) findByPath(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.FindByInventoryPath)
	h.store.mu.RLock()
	defer h.store.mu.RUnlock()
	dc := getObject(fixed.datacenter).(*simulator.Datacenter).Name
	for _, vm := range h.vms.all() {
		if req.InventoryPath == dc+"/vm/"+vm.Name || req.InventoryPath == "/"+dc+"/vm/"+vm.Name {
			return vm.Self, nil
		}
	}
	switch req.InventoryPath {
	case dc, "/" + dc:
		return fixed.datacenter, nil
	case dc + "/vm", "/" + dc + "/vm":
		return fixed.vmFolder, nil
	}
	return nil, nil
}

func (h *host) findByDatastorePath(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.FindByDatastorePath)
	h.store.mu.RLock()
	defer h.store.mu.RUnlock()
	for _, vm := range h.vms.all() {
		if vm.Config.Files.VmPathName == req.Path {
			return vm.Self, nil
		}
	}
	return nil, nil
}
