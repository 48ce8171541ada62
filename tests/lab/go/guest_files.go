package main

// Files to and from guests: the SOAP calls hand out one-time URLs, the transfer itself is HTTP.

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

type transfer struct {
	guest     *guest
	user      string
	path      string
	put       bool
	size      int64
	mode      int64
	uid, gid  int64
	overwrite bool
	made      time.Time
}

type transfers struct {
	mu    sync.Mutex
	byKey map[string]*transfer
}

func newTransfers() *transfers { return &transfers{byKey: map[string]*transfer{}} }

// Like hostd: unused URLs die after a while.
const transferLife = 10 * time.Minute

// offer makes a URL for one transfer. The host part is "*" on ESXi and the ESXi host's address on a vCenter.
func (h *host) offer(t *transfer) string {
	id, token := randomHex(4), "52"+randomHex(15)
	t.made = time.Now()
	h.transfers.mu.Lock()
	defer h.transfers.mu.Unlock()
	for key, old := range h.transfers.byKey {
		if time.Since(old.made) > transferLife {
			delete(h.transfers.byKey, key)
		}
	}
	h.transfers.byKey[id+token] = t
	at := "*"
	if !h.isESX() {
		at = h.config.Managed
	}
	return fmt.Sprintf("https://%s:443/guestFile?id=%s&token=%s", at, id, token)
}

func (h *host) fileToGuest(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.InitiateFileTransferToGuest)
	r, user, f := h.guestFor(req.Vm, req.Auth)
	if f != nil {
		return nil, f
	}
	if !strings.HasPrefix(req.GuestFilePath, "/") {
		return nil, badArgument("guestFilePath")
	}
	if req.FileSize < 0 || req.FileSize > 2<<30 {
		return nil, badArgument("fileSize")
	}
	t := &transfer{guest: r, user: user, path: req.GuestFilePath, put: true, size: req.FileSize, overwrite: req.Overwrite,
		mode: -1, uid: -1, gid: -1}
	if posix, ok := req.FileAttributes.(*types.GuestPosixFileAttributes); ok {
		if posix.Permissions != 0 {
			t.mode = posix.Permissions & 0o7777
		}
		if posix.OwnerId != nil {
			t.uid = int64(*posix.OwnerId)
		}
		if posix.GroupId != nil {
			t.gid = int64(*posix.GroupId)
		}
	}
	parent := req.GuestFilePath[:strings.LastIndexByte(req.GuestFilePath, '/')+1]
	if _, code := h.fileHelper(r, user, nil, "stat", parent); code != 0 {
		return nil, guestFileFault(code, req.GuestFilePath)
	}
	out, code := h.fileHelper(r, user, nil, "stat", req.GuestFilePath)
	if code == 0 && (!req.Overwrite || strings.HasSuffix(strings.TrimSpace(out), "directory")) {
		return nil, fault(&types.FileAlreadyExists{FileFault: types.FileFault{File: req.GuestFilePath}})
	}
	return h.offer(t), nil
}

func (h *host) fileFromGuest(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.InitiateFileTransferFromGuest)
	r, user, f := h.guestFor(req.Vm, req.Auth)
	if f != nil {
		return nil, f
	}
	out, code := h.fileHelper(r, user, nil, "stat", req.GuestFilePath)
	if code != 0 {
		return nil, guestFileFault(code, req.GuestFilePath)
	}
	var size, mtime int64
	var mode, uid, gid int32
	var kind string
	if _, err := fmt.Sscan(out, &size, &mode, &uid, &gid, &mtime, &kind); err != nil || kind != "file" {
		return nil, fault(&types.CannotAccessFile{FileFault: types.FileFault{File: req.GuestFilePath}})
	}
	modified := time.Unix(mtime, 0)
	attributes := &types.GuestPosixFileAttributes{OwnerId: &uid, GroupId: &gid, Permissions: int64(mode)}
	attributes.ModificationTime = &modified
	url := h.offer(&transfer{guest: r, user: user, path: req.GuestFilePath})
	return types.FileTransferInformation{Attributes: attributes, Size: size, Url: url}, nil
}

func (h *host) makeDirectoryInGuest(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.MakeDirectoryInGuest)
	r, user, f := h.guestFor(req.Vm, req.Auth)
	if f != nil {
		return nil, f
	}
	parents := "0"
	if req.CreateParentDirectories {
		parents = "1"
	}
	if _, code := h.fileHelper(r, user, nil, "mkdir", req.DirectoryPath, parents); code != 0 {
		return nil, guestFileFault(code, req.DirectoryPath)
	}
	return nil, nil
}

func (h *host) deleteFileInGuest(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.DeleteFileInGuest)
	r, user, f := h.guestFor(req.Vm, req.Auth)
	if f != nil {
		return nil, f
	}
	if _, code := h.fileHelper(r, user, nil, "rm", req.FilePath); code != 0 {
		return nil, guestFileFault(code, req.FilePath)
	}
	return nil, nil
}

// serveGuestFile carries one transfer; its URL works once.
func (h *host) serveGuestFile(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Query().Get("id") + r.URL.Query().Get("token")
	h.transfers.mu.Lock()
	t := h.transfers.byKey[key]
	delete(h.transfers.byKey, key)
	h.transfers.mu.Unlock()
	if t == nil || t.put != (r.Method == http.MethodPut) || (!t.put && r.Method != http.MethodGet) {
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	h.rules.count(r.Method + " /guestFile")
	if rule := h.rules.take(r.Method+" /guestFile", false); rule != nil {
		if f, handled := rule.apply(w, r); handled {
			return
		} else if f != nil {
			http.Error(w, f.text, http.StatusInternalServerError)
			return
		}
	}
	if t.put {
		h.receiveFile(w, r, t)
	} else {
		h.sendFile(w, t)
	}
}

func (h *host) receiveFile(w http.ResponseWriter, r *http.Request, t *transfer) {
	if r.ContentLength != t.size {
		http.Error(w, fmt.Sprintf("Content-Length is %d, the transfer was announced with %d", r.ContentLength, t.size), http.StatusBadRequest)
		return
	}
	overwrite := "0"
	if t.overwrite {
		overwrite = "1"
	}
	counted := &countingReader{reader: r.Body}
	_, code := h.fileHelper(t.guest, t.user, counted, "put", t.path, strconv.FormatInt(t.mode, 10),
		strconv.FormatInt(t.uid, 10), strconv.FormatInt(t.gid, 10), overwrite)
	h.rules.addBytes("guest-put", counted.n)
	if code != 0 || counted.n != t.size {
		http.Error(w, guestFileFault(code, t.path).text, http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusOK)
}

type countingReader struct {
	reader io.Reader
	n      int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.reader.Read(p)
	c.n += int64(n)
	return n, err
}

func (h *host) sendFile(w http.ResponseWriter, t *transfer) {
	out, code := h.fileHelper(t.guest, t.user, nil, "get", t.path)
	if code != 0 {
		http.Error(w, guestFileFault(code, t.path).text, http.StatusInternalServerError)
		return
	}
	h.rules.addBytes("guest-get", int64(len(out)))
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	_, _ = io.WriteString(w, out)
}
