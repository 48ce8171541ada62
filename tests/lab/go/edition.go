package main

// What a licence or a kind of server refuses.

import (
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// Only a vCenter has these; a stand-alone host answers NotSupported.
var vcenterOnly = map[string]bool{"CloneVM_Task": true, "MarkAsTemplate": true, "MarkAsVirtualMachine": true,
	"RelocateVM_Task": true, "CustomizeVM_Task": true, "CreateFolder": true, "CreateDatacenter": true,
	"MigrateVM_Task": true, "InstantClone_Task": true, "MoveIntoFolder_Task": true}

// A free licence leaves reading, sessions, collectors and views. Guest operations stay allowed too: they are what
// Drover needs on a free host besides the shell, and no report of their refusal is known.
var freeAllowed = map[string]bool{"Login": true, "Logout": true, "CurrentTime": true, "SessionIsActive": true,
	"CreateContainerView": true, "CreateListView": true, "DestroyView": true, "CreateFilter": true,
	"DestroyPropertyFilter": true, "CreatePropertyCollector": true, "DestroyPropertyCollector": true,
	"WaitForUpdatesEx": true, "CancelWaitForUpdates": true, "SearchDatastore_Task": true,
	"SearchDatastoreSubFolders_Task": true, "RefreshDatastore": true, "CancelTask": true,
	"InitiateFileTransferToGuest": true, "InitiateFileTransferFromGuest": true, "StartProgramInGuest": true,
	"TerminateProcessInGuest": true, "ListProcessesInGuest": true, "MakeDirectoryInGuest": true,
	"DeleteFileInGuest": true, "ValidateCredentialsInGuest": true, "TerminateSession": true,
	"CreateCollectorForEvents": true, "AcquireCredentialsInGuest": true, "CreateTemporaryFileInGuest": true,
	"ListFilesInGuest": true, "ReadEnvironmentVariableInGuest": true}

func isRead(method string) bool {
	for _, prefix := range []string{"Retrieve", "Query", "Find", "Continue", "Cancel", "Read", "List"} {
		if strings.HasPrefix(method, prefix) {
			return true
		}
	}
	return freeAllowed[method]
}

// isChange tells the calls that do something from those that look, sign in or wait.
func isChange(method string) bool {
	return !isRead(method) || strings.Contains(method, "InGuest") && !strings.HasPrefix(method, "List") ||
		strings.HasPrefix(method, "InitiateFileTransferTo") || strings.HasPrefix(method, "PUT ") || strings.HasPrefix(method, "shell ")
}

func (h *host) checkEdition(c *call) *soapFault {
	if h.isESX() && vcenterOnly[c.method] {
		return fault(&types.NotSupported{})
	}
	if h.config.Free && !isRead(c.method) {
		return fault(&types.RestrictedVersion{})
	}
	return nil
}

func feature(key, value string) types.KeyAnyValue {
	return types.KeyAnyValue{Key: "feature", Value: types.KeyValue{Key: key, Value: value}}
}

// licence is what LicenseManager.licenses shows: the free edition of ESXi 6.7, or a running evaluation.
func (h *host) licence() types.LicenseManagerLicenseInfo {
	if h.config.Free {
		return types.LicenseManagerLicenseInfo{LicenseKey: "0A23H-XXXXX-XXXXX-XXXXX-2GX4N",
			EditionKey: "esx.hypervisor.cpuPackage", Name: "VMware vSphere 6 Hypervisor", CostUnit: "cpuPackage",
			Properties: []types.KeyAnyValue{{Key: "ProductName", Value: "VMware ESX Server"},
				{Key: "ProductVersion", Value: "6.0"}, feature("vsmp:8", "Up to 8-way virtual SMP")}}
	}
	left := 59 * 24 * time.Hour
	return types.LicenseManagerLicenseInfo{LicenseKey: "00000-00000-00000-00000-00000", EditionKey: "eval",
		Name: "Evaluation Mode", Properties: []types.KeyAnyValue{
			{Key: "expirationHours", Value: int64(left / time.Hour)},
			{Key: "expirationMinutes", Value: int64(left / time.Minute)},
			{Key: "expirationDate", Value: time.Now().Add(left)},
			feature("vsmp:32", "Up to 32-way virtual SMP"), feature("vstorage", "Storage APIs")}}
}
