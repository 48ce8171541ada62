package main

// vmkfstools: disks from the shell, with the words and exit codes of the real one.

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
)

func socketClient(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
}

type frames struct{ reader *bufio.Reader }

func newFrames(r io.Reader) *frames { return &frames{bufio.NewReader(r)} }

func (f *frames) next() (kind, text string, code int, err error) {
	line, err := f.reader.ReadString('\n')
	if err != nil {
		return "", "", 0, err
	}
	kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	if kind == "x" {
		code, err = strconv.Atoi(rest)
		return kind, "", code, err
	}
	return kind, text, 0, json.Unmarshal([]byte(rest), &text)
}

// numbers of the messages that end in "(NN)".
func vmkError(f *soapFault) string {
	switch f.detail.(type) {
	case *types.FileAlreadyExists:
		return "The file already exists (39)"
	case *types.FileNotFound:
		return "The system cannot find the file specified (25)"
	case *types.FileLocked:
		return "Failed to lock the file (16392)"
	case *types.NoDiskSpace:
		return "There is not enough space on the file system for the selected operation (13)"
	}
	return f.text
}

// shellPath is a datastore path for a file named in the shell.
func (h *host) shellPath(request shellRequest, name string) (string, bool) {
	if !strings.HasPrefix(name, "/") {
		name = filepath.Join(request.Directory, name)
	}
	file, ok := h.volumeFile(name)
	if !ok {
		return "", false
	}
	return h.datastore.path(file), true
}

type vmkOptions struct {
	values map[byte]string
	names  []string
}

// parseVmk reads the options with and without a value.
func parseVmk(args []string) (o vmkOptions, bad string) {
	o.values = map[byte]string{}
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case len(a) < 2 || a[0] != '-':
			o.names = append(o.names, a)
		case strings.ContainsRune("icdXWa", rune(a[1])):
			value := a[2:]
			if value == "" {
				if i++; i == len(args) {
					return o, a
				}
				value = args[i]
			}
			o.values[a[1]] = value
		case strings.ContainsRune("UEKq", rune(a[1])):
			o.values[a[1]] = "yes"
		default:
			return o, a
		}
	}
	return o, ""
}

var vmkFormats = map[string]struct {
	thin bool
	text string
}{"thin": {true, "VMFS thin-provisioned"}, "zeroedthick": {false, "VMFS zeroedthick"},
	"eagerzeroedthick": {false, "VMFS eagerzeroedthick"}}

func (h *host) vmkfstools(ctx context.Context, request shellRequest, output shellOutput) int {
	o, bad := parseVmk(request.Arguments)
	if bad != "" || len(o.names) == 0 {
		output.err("Usage: vmkfstools -i SRC -d FORMAT DST | -U DISK | -X SIZE DISK | -c SIZE -d FORMAT DISK | -E OLD NEW\n")
		return 1
	}
	name, ok := h.shellPath(request, o.names[len(o.names)-1])
	if !ok {
		output.err("Failed: %s is not on a datastore\n", o.names[len(o.names)-1])
		return 255
	}
	format, known := vmkFormats[o.values['d']]
	if o.values['d'] == "" {
		format, known = vmkFormats["zeroedthick"], true
	}
	if !known {
		output.err("Invalid disk format %s\n", o.values['d'])
		return 1
	}
	var f *soapFault
	what := "Failed to delete disk"
	switch {
	case o.values['i'] != "":
		return h.vmkClone(ctx, request, output, o.values['i'], name, format.thin, format.text)
	case o.values['c'] != "":
		what = "Failed to create virtual disk"
		f = h.datastore.createDisk(name, sizeOf(o.values['c']), format.thin, "lsilogic")
	case o.values['X'] != "":
		what = "Failed to extend disk"
		if f = h.datastore.growDisk(name, sizeOf(o.values['X'])); f == nil {
			output.out("Grow: 100%% done.\n")
		}
	case o.values['U'] != "":
		f = h.datastore.deleteDisk(name)
	case o.values['E'] != "" && len(o.names) == 2:
		what = "Failed to rename disk"
		f = h.vmkRename(request, o.names[0], name)
	default:
		output.err("vmkfstools: nothing to do\n")
		return 1
	}
	if f != nil {
		output.err("%s: %s.\n", what, vmkError(f))
		return 255
	}
	return 0
}

// vmkClone prints progress separated by carriage returns, as the real one does.
func (h *host) vmkClone(ctx context.Context, request shellRequest, output shellOutput, from, to string, thin bool, format string) int {
	source, ok := h.shellPath(request, from)
	if !ok {
		output.err("Failed to open '%s': The system cannot find the file specified (25).\n", from)
		return 255
	}
	output.out("Destination disk format: %s\nCloning disk '%s'...\n", format, from)
	output.out("Clone: 0%% done.\r")
	f := h.datastore.copyDisk(ctx, source, to, thin, "", func(percent int) { output.out("Clone: %d%% done.\r", percent) })
	if f != nil {
		output.err("\nFailed to clone disk: %s.\n", vmkError(f))
		return 255
	}
	output.out("Clone: 100%% done.\n")
	h.datastore.refresh()
	return 0
}

func (h *host) vmkRename(request shellRequest, from, to string) *soapFault {
	source, ok := h.shellPath(request, from)
	if !ok {
		return fault(&types.FileNotFound{})
	}
	if f := h.datastore.copyDisk(context.Background(), source, to, true, "", nil); f != nil {
		return f
	}
	return h.datastore.deleteDisk(source)
}

// sizeOf reads 10G, 512m, 100k or plain bytes; 0 when it is none.
func sizeOf(text string) int64 {
	unit := int64(1)
	switch strings.ToLower(text[len(text)-1:]) {
	case "k":
		unit = 1 << 10
	case "m":
		unit = 1 << 20
	case "g":
		unit = 1 << 30
	case "t":
		unit = 1 << 40
	case "s":
		unit = 512
	}
	if unit > 1 {
		text = text[:len(text)-1]
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n * unit
}

func pad(text string, width int) string { return fmt.Sprintf("%-*s", width, text) }
