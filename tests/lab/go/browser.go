package main

// Looking into the datastore: the browser's searches, and plain HTTP under /folder.

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
)

func (h *host) searchTask(c *call, where string, spec *types.HostDatastoreBrowserSearchSpec, deep bool) (interface{}, *soapFault) {
	if spec == nil {
		spec = &types.HostDatastoreBrowserSearchSpec{}
	}
	return h.startTask(taskSpec{method: c.method, description: "HostDatastoreBrowser.search", entity: c.this,
		entityName: h.datastore.name, user: c.session.info.UserName, cancelable: true}, func(*task) (interface{}, *soapFault) {
		root, f := h.datastore.resolve(where)
		if f != nil {
			return nil, f
		}
		info, err := os.Stat(root)
		if err != nil || !info.IsDir() {
			return nil, fileFault(os.ErrNotExist, where)
		}
		results := []types.HostDatastoreBrowserSearchResults{}
		err = filepath.WalkDir(root, func(name string, entry os.DirEntry, err error) error {
			if err != nil || !entry.IsDir() {
				return err
			}
			if name != root && !deep {
				return filepath.SkipDir
			}
			found := h.searchFolder(name, spec)
			if name == root || len(found.File) > 0 {
				results = append(results, found)
			}
			return nil
		})
		if err != nil {
			return nil, fileFault(err, where)
		}
		if deep {
			return results, nil
		}
		return results[0], nil
	}), nil
}

func (h *host) searchDatastore(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.SearchDatastore_Task)
	return h.searchTask(c, req.DatastorePath, req.SearchSpec, false)
}

func (h *host) searchSubFolders(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.SearchDatastoreSubFolders_Task)
	return h.searchTask(c, req.DatastorePath, req.SearchSpec, true)
}

func (h *host) searchFolder(dir string, spec *types.HostDatastoreBrowserSearchSpec) types.HostDatastoreBrowserSearchResults {
	folder := h.datastore.path(dir)
	if !strings.Contains(folder, " ") {
		folder += " "
	} else {
		folder += "/"
	}
	result := types.HostDatastoreBrowserSearchResults{Datastore: &fixed.datastore, FolderPath: folder}
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		info, err := entry.Info()
		// A disk shows as its descriptor; the image behind it is hidden, as on VMFS.
		if err != nil || strings.HasSuffix(entry.Name(), "-flat.vmdk") || !matches(entry.Name(), spec) {
			continue
		}
		if file := h.describeFile(dir, info, spec); file != nil {
			result.File = append(result.File, file)
		}
	}
	if spec.SortFoldersFirst != nil && *spec.SortFoldersFirst {
		sort.SliceStable(result.File, func(i, j int) bool {
			_, a := result.File[i].(*types.FolderFileInfo)
			_, b := result.File[j].(*types.FolderFileInfo)
			return a && !b
		})
	}
	return result
}

func matches(name string, spec *types.HostDatastoreBrowserSearchSpec) bool {
	if len(spec.MatchPattern) == 0 {
		return true
	}
	for _, pattern := range spec.MatchPattern {
		if spec.SearchCaseInsensitive != nil && *spec.SearchCaseInsensitive {
			pattern, name = strings.ToLower(pattern), strings.ToLower(name)
		}
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

func (h *host) describeFile(dir string, info os.FileInfo, spec *types.HostDatastoreBrowserSearchSpec) types.BaseFileInfo {
	base := types.FileInfo{Path: info.Name()}
	details := spec.Details
	if details == nil {
		details = &types.FileQueryFlags{}
	}
	size := info.Size()
	disk, err := readDescriptor(filepath.Join(dir, info.Name()))
	isDisk := err == nil && strings.HasSuffix(info.Name(), ".vmdk")
	if isDisk {
		size = allocated(flatOf(filepath.Join(dir, info.Name())))
	}
	if details.FileSize {
		base.FileSize = size
	}
	if details.Modification {
		modified := info.ModTime()
		base.Modification = &modified
	}
	if details.FileOwner != nil && *details.FileOwner {
		base.Owner = "root"
	}
	var file types.BaseFileInfo = &base
	switch {
	case info.IsDir():
		file = &types.FolderFileInfo{FileInfo: base}
	case isDisk:
		thin := disk.thin
		file = &types.VmDiskFileInfo{FileInfo: base, CapacityKb: disk.bytes / 1024, Thin: &thin, HardwareVersion: newestHardware,
			ControllerType: "VirtualLsiLogicController", DiskType: "VirtualDiskFlatVer2BackingInfo"}
	case strings.HasSuffix(info.Name(), ".vmx"):
		file = &types.VmConfigFileInfo{FileInfo: base}
	case strings.HasSuffix(info.Name(), ".nvram"):
		file = &types.VmNvramFileInfo{FileInfo: base}
	case strings.HasSuffix(info.Name(), ".log"):
		file = &types.VmLogFileInfo{FileInfo: base}
	case strings.HasSuffix(info.Name(), ".iso"):
		file = &types.IsoImageFileInfo{FileInfo: base}
	}
	if !wanted(file, spec.Query) {
		return nil
	}
	if !details.FileType && !info.IsDir() && len(spec.Query) == 0 {
		return &base
	}
	return file
}

func wanted(file types.BaseFileInfo, queries []types.BaseFileQuery) bool {
	if len(queries) == 0 {
		return true
	}
	kind := strings.TrimSuffix(typeName(file), "Info")
	for _, query := range queries {
		if name := strings.TrimSuffix(typeName(query), "Query"); name == kind || name == "File" {
			return true
		}
	}
	return false
}

// serveFolder is /folder/DIR/FILE?dcPath=..&dsName=..
func (h *host) serveFolder(w http.ResponseWriter, r *http.Request) {
	h.rules.count(r.Method + " /folder")
	if h.currentSession(r) == nil && !h.basicAuth(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="VMware HTTP server"`)
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	if r.URL.Query().Get("dsName") != h.datastore.name {
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	file := filepath.Join(h.datastore.dir, path.Clean("/"+strings.TrimPrefix(r.URL.Path, "/folder")))
	if h.config.Free && r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "Current license prohibits this operation", http.StatusForbidden)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.sendDatastoreFile(w, r, file)
	case http.MethodPut:
		h.receiveDatastoreFile(w, r, file)
	case http.MethodDelete:
		if err := os.Remove(file); err != nil {
			http.Error(w, "Not Found", http.StatusNotFound)
		}
	default:
		http.Error(w, "", http.StatusMethodNotAllowed)
	}
}

func (h *host) basicAuth(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	if !ok {
		return false
	}
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	return h.checkPassword(user, password)
}

func (h *host) sendDatastoreFile(w http.ResponseWriter, r *http.Request, file string) {
	info, err := os.Stat(file)
	if err != nil {
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	if info.IsDir() {
		entries, _ := os.ReadDir(file)
		for _, entry := range entries {
			fmt.Fprintf(w, "<a href=\"%s\">%s</a>\n", entry.Name(), entry.Name())
		}
		return
	}
	if h.vms.usesFile(file) {
		http.Error(w, "file is locked", http.StatusInternalServerError)
		return
	}
	counter := &countingWriter{ResponseWriter: w}
	http.ServeFile(counter, r, file)
	h.rules.addBytes("folder-get", counter.n)
}

type countingWriter struct {
	http.ResponseWriter
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n += int64(n)
	return n, err
}

func (h *host) receiveDatastoreFile(w http.ResponseWriter, r *http.Request, file string) {
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() || r.ContentLength < 0 {
		http.Error(w, "", http.StatusMethodNotAllowed)
		return
	}
	target, err := os.Create(file)
	if err != nil {
		http.Error(w, "", http.StatusMethodNotAllowed)
		return
	}
	defer target.Close()
	n, err := io.Copy(target, r.Body)
	h.rules.addBytes("folder-put", n)
	if err != nil {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
}
