package main

// Virtual disks: a descriptor NAME.vmdk and a sparse ext4 image NAME-flat.vmdk that a guest really runs on.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

func flatOf(descriptor string) string { return strings.TrimSuffix(descriptor, ".vmdk") + "-flat.vmdk" }

// writeDescriptor makes the small text file that stands for a disk.
func writeDescriptor(file string, bytes int64, adapter string, thin bool) error {
	if adapter == "" {
		adapter = "lsilogic"
	}
	text := fmt.Sprintf("# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=%s\nparentCID=ffffffff\n"+
		"createType=\"vmfs\"\n\n# Extent description\nRW %d VMFS \"%s\"\n\n# The Disk Data Base\n#DDB\n\n"+
		"ddb.adapterType = \"%s\"\nddb.geometry.cylinders = \"%d\"\nddb.geometry.heads = \"255\"\nddb.geometry.sectors = \"63\"\n"+
		"ddb.uuid = \"60 00 C2 9%s\"\nddb.virtualHWVersion = \"14\"\n",
		randomHex(4), bytes/512, filepath.Base(flatOf(file)), strings.ToLower(adapter), bytes/512/255/63, randomHex(4))
	if thin {
		text += "ddb.thinProvisioned = \"1\"\n"
	}
	handle, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = handle.WriteString(text)
	if closing := handle.Close(); err == nil {
		err = closing
	}
	return err
}

// diskInfo reads what a descriptor says.
type diskInfo struct {
	bytes   int64
	thin    bool
	adapter string
}

func readDescriptor(file string) (diskInfo, error) {
	info := diskInfo{}
	data, err := os.ReadFile(file)
	if err != nil {
		return info, err
	}
	if len(data) > 1<<16 || !strings.HasPrefix(string(data), "# Disk DescriptorFile") {
		return info, fmt.Errorf("%s is not a disk descriptor", filepath.Base(file))
	}
	for _, line := range strings.Split(string(data), "\n") {
		var sectors int64
		if n, _ := fmt.Sscanf(line, "RW %d VMFS", &sectors); n == 1 {
			info.bytes = sectors * 512
		}
		info.thin = info.thin || strings.HasPrefix(line, `ddb.thinProvisioned = "1"`)
		if strings.HasPrefix(line, "ddb.adapterType") {
			info.adapter = strings.Trim(line[strings.IndexByte(line, '=')+1:], ` "`)
		}
	}
	return info, nil
}

// copySparse copies a file with its holes; rate limits bytes per second, report hears 0..100.
func copySparse(ctx context.Context, from, to string, rate float64, report func(int)) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = copyExtents(ctx, source, target, info.Size(), rate, report)
	if closing := target.Close(); err == nil {
		err = closing
	}
	if err != nil {
		os.Remove(to)
	}
	return err
}

const (
	seekData = 3
	seekHole = 4
)

func copyExtents(ctx context.Context, source, target *os.File, size int64, rate float64, report func(int)) error {
	if err := target.Truncate(size); err != nil {
		return err
	}
	buffer := make([]byte, 1<<20)
	reported := -1
	for at := int64(0); at < size; {
		start, err := source.Seek(at, seekData)
		if errors.Is(err, syscall.ENXIO) {
			break
		}
		if err != nil {
			return err
		}
		end, err := source.Seek(start, seekHole)
		if err != nil {
			return err
		}
		for start < end {
			if err := ctx.Err(); err != nil {
				return err
			}
			piece := buffer
			if left := end - start; left < int64(len(piece)) {
				piece = piece[:left]
			}
			n, err := source.ReadAt(piece, start)
			if err != nil && err != io.EOF {
				return err
			}
			if _, err := target.WriteAt(piece[:n], start); err != nil {
				return err
			}
			start += int64(n)
			if rate > 0 {
				time.Sleep(time.Duration(float64(n) / rate * float64(time.Second)))
			}
			if percent := int(start * 99 / size); report != nil && percent/5 != reported/5 {
				reported = percent
				report(percent)
			}
		}
		at = end
	}
	return nil
}

// createDisk makes an empty disk. It holds no file system: a machine that boots from it finds no system.
func (d *datastore) createDisk(name string, bytes int64, thin bool, adapter string) *soapFault {
	file, f := d.resolve(name)
	if f != nil {
		return f
	}
	if !strings.HasSuffix(file, ".vmdk") || bytes <= 0 {
		return fault(&types.InvalidArgument{InvalidProperty: "spec.capacityKb"})
	}
	need := int64(1 << 20)
	if !thin {
		need = bytes
	}
	if d.free() < need {
		return fault(&types.NoDiskSpace{FileFault: types.FileFault{File: name}, Datastore: d.name})
	}
	if _, err := os.Stat(flatOf(file)); err == nil {
		return fault(&types.FileAlreadyExists{FileFault: types.FileFault{File: name}})
	}
	if err := writeDescriptor(file, bytes, adapter, thin); err != nil {
		return fileFault(err, name)
	}
	flat, err := os.OpenFile(flatOf(file), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		os.Remove(file)
		return fileFault(err, name)
	}
	defer flat.Close()
	if err := flat.Truncate(bytes); err != nil {
		return fileFault(err, name)
	}
	return nil
}

// copyDisk is what CopyVirtualDisk, CloneVM and vmkfstools -i do.
func (d *datastore) copyDisk(ctx context.Context, from, to string, thin bool, adapter string, report func(int)) *soapFault {
	source, f := d.resolve(from)
	if f != nil {
		return f
	}
	target, f := d.resolve(to)
	if f != nil {
		return f
	}
	info, err := readDescriptor(source)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			return faultf(&types.InvalidDiskFormat{InvalidFormat: types.InvalidFormat{}}, "The disk format of %s is not supported: %v", from, err)
		}
		return fileFault(err, from)
	}
	if d.host.vms.usesFile(source) {
		return fault(&types.FileLocked{FileFault: types.FileFault{File: from}})
	}
	if _, err := os.Stat(filepath.Dir(target)); err != nil {
		return fileFault(err, to)
	}
	for _, name := range []string{target, flatOf(target)} {
		if _, err := os.Stat(name); err == nil {
			return fault(&types.FileAlreadyExists{FileFault: types.FileFault{File: to}})
		}
	}
	need := info.bytes
	if status, err := os.Stat(flatOf(source)); err == nil && thin {
		need = status.Sys().(*syscall.Stat_t).Blocks * 512
	}
	if d.free() < need {
		return fault(&types.NoDiskSpace{FileFault: types.FileFault{File: to}, Datastore: d.name})
	}
	if adapter == "" {
		adapter = info.adapter
	}
	if err := copySparse(ctx, flatOf(source), flatOf(target), d.host.settings.number("copy-rate"), report); err != nil {
		if errors.Is(err, context.Canceled) {
			return fault(&types.RequestCanceled{})
		}
		return fileFault(err, to)
	}
	if err := writeDescriptor(target, info.bytes, adapter, thin); err != nil {
		os.Remove(flatOf(target))
		return fileFault(err, to)
	}
	return nil
}

func (d *datastore) deleteDisk(name string) *soapFault {
	file, f := d.resolve(name)
	if f != nil {
		return f
	}
	if _, err := os.Stat(file); err != nil {
		return fileFault(err, name)
	}
	if d.host.vms.usesFile(file) {
		return fault(&types.FileLocked{FileFault: types.FileFault{File: name}})
	}
	for _, part := range []string{file, flatOf(file)} {
		if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fileFault(err, name)
		}
	}
	return nil
}

// growDisk changes the size of a disk; its file system follows when a machine boots from it.
func (d *datastore) growDisk(name string, bytes int64) *soapFault {
	file, f := d.resolve(name)
	if f != nil {
		return f
	}
	info, err := readDescriptor(file)
	if err != nil {
		return fileFault(err, name)
	}
	if bytes < info.bytes {
		return fault(&types.InvalidArgument{InvalidProperty: "newCapacityKb"})
	}
	if err := os.Truncate(flatOf(file), bytes); err != nil {
		return fileFault(err, name)
	}
	if err := os.Remove(file); err != nil {
		return fileFault(err, name)
	}
	if err := writeDescriptor(file, bytes, info.adapter, info.thin); err != nil {
		return fileFault(err, name)
	}
	return nil
}
