package main

// The datastore: a folder of real files, addressed as "[name] dir/file", with a capacity.

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

type datastore struct {
	host   *host
	name   string
	dir    string
	object *simulator.Datastore
}

func hashHex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// split takes "[ds] a/b" apart; the path may be empty for the root.
func splitDatastorePath(p string) (store, file string, ok bool) {
	if !strings.HasPrefix(p, "[") {
		return "", "", false
	}
	end := strings.IndexByte(p, ']')
	if end < 0 {
		return "", "", false
	}
	return p[1:end], strings.Trim(strings.TrimSpace(p[end+1:]), "/"), true
}

// resolve turns a datastore path into a file of ours; nothing outside the folder can be named.
func (d *datastore) resolve(p string) (string, *soapFault) {
	store, file, ok := splitDatastorePath(p)
	if !ok {
		return "", fault(&types.InvalidDatastorePath{InvalidDatastore: types.InvalidDatastore{Name: p}, DatastorePath: p})
	}
	if store != d.name {
		return "", fault(&types.InvalidDatastore{Name: store})
	}
	clean := path.Clean("/" + file)
	return filepath.Join(d.dir, clean), nil
}

// path is the datastore path of one of our files.
func (d *datastore) path(file string) string {
	rel, err := filepath.Rel(d.dir, file)
	if err != nil || rel == "." {
		return "[" + d.name + "]"
	}
	return "[" + d.name + "] " + rel
}

// allocated is what a tree really takes on disk.
func allocated(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		if info, err := entry.Info(); err == nil {
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return sum
}

func (d *datastore) capacity() int64 { return int64(d.host.settings.number("capacity")) }

// free is what is left now, or what the switch pretends.
func (d *datastore) free() int64 {
	if pretended := d.host.settings.get("free"); pretended != "" {
		n, _ := strconv.ParseInt(pretended, 10, 64)
		return n
	}
	if left := d.capacity() - allocated(d.dir); left > 0 {
		return left
	}
	return 0
}

func (d *datastore) refresh() {
	free := d.free()
	d.host.store.update(d.object.Self, func() {
		d.object.Summary.Capacity, d.object.Summary.FreeSpace = d.capacity(), free
		d.object.Info.GetDatastoreInfo().FreeSpace = free
	})
}

func (h *host) refreshDatastore(c *call) (interface{}, *soapFault) {
	h.datastore.refresh()
	return nil, nil
}

// fileFault names the reason of a failed file operation the way hosts do.
func fileFault(err error, name string) *soapFault {
	about := types.FileFault{File: name}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fault(&types.FileNotFound{FileFault: about})
	case errors.Is(err, os.ErrExist), errors.Is(err, syscall.ENOTEMPTY):
		return fault(&types.FileAlreadyExists{FileFault: about})
	case errors.Is(err, syscall.ENOSPC):
		return fault(&types.NoDiskSpace{FileFault: about, Datastore: "datastore1"})
	}
	return fault(&types.CannotAccessFile{FileFault: about})
}

// checkDatacenter wants the datacenter argument where a vCenter does.
func (h *host) checkDatacenter(ref *moref, name string) *soapFault {
	if ref == nil {
		if h.isESX() {
			return nil
		}
		return fault(&types.InvalidArgument{InvalidProperty: name})
	}
	if *ref != fixed.datacenter {
		return notFound(*ref)
	}
	return nil
}

func (h *host) makeDirectory(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.MakeDirectory)
	if f := h.checkDatacenter(req.Datacenter, "datacenter"); f != nil {
		return nil, f
	}
	dir, f := h.datastore.resolve(req.Name)
	if f != nil {
		return nil, f
	}
	if req.CreateParentDirectories != nil && *req.CreateParentDirectories {
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return nil, fileFault(err, req.Name)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fileFault(err, req.Name)
	}
	return nil, nil
}

func (h *host) fileTask(c *call, description string, work taskWork) moref {
	return h.startTask(taskSpec{method: c.method, description: description, entity: c.this, entityName: h.config.Name,
		user: c.session.info.UserName}, work)
}

func (h *host) deleteDatastoreFile(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.DeleteDatastoreFile_Task)
	if f := h.checkDatacenter(req.Datacenter, "datacenter"); f != nil {
		return nil, f
	}
	return h.fileTask(c, "FileManager.deleteFile", func(*task) (interface{}, *soapFault) {
		file, f := h.datastore.resolve(req.Name)
		if f != nil {
			return nil, f
		}
		if file == h.datastore.dir {
			return nil, fault(&types.CannotDeleteFile{FileFault: types.FileFault{File: req.Name}})
		}
		if _, err := os.Stat(file); err != nil {
			return nil, fileFault(err, req.Name)
		}
		if h.vms.usesFile(file) {
			return nil, fault(&types.FileLocked{FileFault: types.FileFault{File: req.Name}})
		}
		if err := os.RemoveAll(file); err != nil {
			return nil, fileFault(err, req.Name)
		}
		return nil, nil
	}), nil
}

func (h *host) moveDatastoreFile(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.MoveDatastoreFile_Task)
	return h.fileTask(c, "FileManager.move", func(*task) (interface{}, *soapFault) {
		return nil, h.transferFile(req.SourceName, req.DestinationName, req.Force, os.Rename)
	}), nil
}

func (h *host) copyDatastoreFile(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.CopyDatastoreFile_Task)
	return h.fileTask(c, "FileManager.copy", func(t *task) (interface{}, *soapFault) {
		return nil, h.transferFile(req.SourceName, req.DestinationName, req.Force, func(from, to string) error {
			return copySparse(t.ctx, from, to, 0, nil)
		})
	}), nil
}

func (h *host) transferFile(from, to string, force *bool, how func(from, to string) error) *soapFault {
	source, f := h.datastore.resolve(from)
	if f != nil {
		return f
	}
	target, f := h.datastore.resolve(to)
	if f != nil {
		return f
	}
	if _, err := os.Stat(source); err != nil {
		return fileFault(err, from)
	}
	if h.vms.usesFile(source) {
		return fault(&types.FileLocked{FileFault: types.FileFault{File: from}})
	}
	if _, err := os.Stat(target); err == nil && (force == nil || !*force) {
		return fault(&types.FileAlreadyExists{FileFault: types.FileFault{File: to}})
	}
	if err := how(source, target); err != nil {
		return fileFault(err, to)
	}
	return nil
}
