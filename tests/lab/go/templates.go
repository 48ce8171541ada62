package main

// Template machines: per role one disk image with the role's files, made once and copied to every host.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

const (
	templateBytes    = 4 << 30
	templatePassword = "template"
)

type template struct {
	role  string
	image string
}

// roles are the folders of tests/lab/roles except common, which is part of each.
func roles(source string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(source, "roles"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && entry.Name() != "common" {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// treeHash covers names, modes and contents.
func treeHash(dir string, extra ...string) (string, error) {
	sum := sha256.New()
	for _, text := range extra {
		fmt.Fprintln(sum, text)
	}
	err := filepath.WalkDir(dir, func(file string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(sum, strings.TrimPrefix(file, dir), info.Mode())
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			sum.Write(data)
		}
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil))[:12], err
}

// buildTemplates makes missing images; several labs may ask at the same time.
func buildTemplates(source, cache, layer, guest string) ([]template, error) {
	names, err := roles(source)
	if err != nil {
		return nil, err
	}
	hash, err := treeHash(filepath.Join(source, "roles"), layer, fmt.Sprint(templateBytes), templatePassword)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "templates-"+hash)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(cache, ".templates.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, err
	}
	var list []template
	for _, role := range names {
		image := filepath.Join(dir, role+".img")
		if _, err := os.Stat(image); err != nil {
			if err := buildTemplate(source, layer, guest, role, image); err != nil {
				return nil, fmt.Errorf("%s: %w", role, err)
			}
		}
		list = append(list, template{role, image})
	}
	return list, nil
}

func buildTemplate(source, layer, guest, role, image string) error {
	making := image + ".new"
	os.Remove(making)
	file, err := os.OpenFile(making, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = file.Truncate(templateBytes)
	file.Close()
	if err != nil {
		return err
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-E",
		"lazy_itable_init=1,nodiscard", "-L", "root", making).CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.ext4: %w: %s", err, out)
	}
	mounted := image + ".mnt"
	if err := os.MkdirAll(mounted, 0o755); err != nil {
		return err
	}
	defer os.Remove(mounted)
	device, number, err := attachLoop(making)
	if err != nil {
		return err
	}
	err = syscall.Mount(device.Name(), mounted, "ext4", 0, "")
	device.Close()
	if err != nil {
		return err
	}
	err = fillTemplate(source, layer, guest, role, mounted)
	if unmounted := syscall.Unmount(mounted, 0); err == nil {
		err = unmounted
	}
	waitLoopFree(number)
	if err != nil {
		return err
	}
	return os.Rename(making, image)
}

func fillTemplate(source, layer, guest, role, mounted string) error {
	up := filepath.Join(mounted, "up")
	for _, dir := range []string{up, filepath.Join(mounted, "wk")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	for _, part := range []string{"common", role} {
		tree := filepath.Join(source, "roles", part)
		if out, err := exec.Command("cp", "-a", "--no-preserve=ownership", tree+"/.", up).CombinedOutput(); err != nil {
			return fmt.Errorf("cp: %w: %s", err, out)
		}
	}
	if err := setTemplatePassword(layer, guest, up); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(mounted, "lower"), []byte("base\n"), 0o644)
}

// setTemplatePassword gives root of the template the known password, as a real hash in its shadow file.
func setTemplatePassword(layer, guest, up string) error {
	shadow, err := os.ReadFile(filepath.Join(layer, "etc/shadow"))
	if err != nil {
		return err
	}
	command := exec.Command(guest, "hashpw")
	command.Stdin = strings.NewReader(templatePassword + "\n")
	hash, err := command.Output()
	if err != nil {
		return fmt.Errorf("hashpw: %w", err)
	}
	lines := bytes.Split(shadow, []byte("\n"))
	for i, line := range lines {
		if bytes.HasPrefix(line, []byte("root:")) {
			fields := strings.Split(string(line), ":")
			fields[1] = strings.TrimSpace(string(hash))
			lines[i] = []byte(strings.Join(fields, ":"))
		}
	}
	if err := os.MkdirAll(filepath.Join(up, "etc"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(up, "etc/shadow"), bytes.Join(lines, []byte("\n")), 0o640)
}

// installTemplates puts the template machines on a new host: powered off on ESXi, marked as templates on a vCenter.
func installTemplates(config hostConfig, list []template) error {
	inventory := inventoryFile{}
	for _, t := range list {
		name := "tpl-" + t.role
		dir := filepath.Join(config.Dir, "datastore1", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		disk := filepath.Join(dir, name+".vmdk")
		if err := copySparse(context.Background(), t.image, flatOf(disk), 0, nil); err != nil {
			return err
		}
		if err := writeDescriptor(disk, templateBytes, "lsilogic", true); err != nil {
			return err
		}
		inventory.NextID++
		inventory.MACs++
		text := templateVMX(config, name, inventory.MACs)
		if err := os.WriteFile(filepath.Join(dir, name+".vmx"), []byte(text), 0o755); err != nil {
			return err
		}
		id := fmt.Sprint(inventory.NextID)
		if config.Kind == "vcenter" {
			id = fmt.Sprintf("vm-%d", inventory.NextID+20)
		}
		inventory.Machines = append(inventory.Machines, inventoryMachine{ID: id,
			Path: "[datastore1] " + name + "/" + name + ".vmx", Template: config.Kind == "vcenter"})
	}
	data, err := json.Marshal(inventory)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(config.Dir, "inventory.json"), data, 0o600)
}

func templateVMX(config hostConfig, name string, number int) string {
	mac := fmt.Sprintf("00:0c:29:%02x:00:%02x", hostNumber(config.Address), number)
	kind := "generated"
	if config.Kind == "vcenter" {
		mac, kind = fmt.Sprintf("00:50:56:%02x:00:%02x", hostNumber(config.Address)&0x3f, number), "vpx"
	}
	values := map[string]string{".encoding": "UTF-8", "config.version": "8", "virtualHW.version": "14", "displayName": name,
		"guestOS": "debian10-64", "memSize": "512", "numvcpus": "1", "cpuid.coresPerSocket": "1", "firmware": "bios",
		"uuid.bios": vmxUUID(newUUID()), "vc.uuid": vmxUUID(newUUID()), "nvram": name + ".nvram",
		"scsi0.present": "TRUE", "scsi0.virtualDev": "pvscsi", "scsi0:0.present": "TRUE", "scsi0:0.fileName": name + ".vmdk",
		"scsi0:0.deviceType": "scsi-hardDisk", "ethernet0.present": "TRUE", "ethernet0.virtualDev": "vmxnet3",
		"ethernet0.networkName": "VM Network", "ethernet0.addressType": kind, "ethernet0.generatedAddress": mac,
		"disk.EnableUUID": "TRUE"}
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	var b strings.Builder
	for _, key := range keys {
		fmt.Fprintf(&b, "%s = \"%s\"\n", key, vmxQuote(values[key]))
	}
	return b.String()
}

// templatesMain prints the template machines: role, name, account, password.
func templatesMain(args []string) error {
	names, err := roles(os.Getenv("DROVER_LAB_SOURCE"))
	for _, role := range names {
		fmt.Printf("%s tpl-%s root %s\n", role, role, templatePassword)
	}
	return err
}

// typesMain prints the data file of the lab's VM types.
func typesMain(args []string) error {
	file, err := os.Open(filepath.Join(os.Getenv("DROVER_LAB_SOURCE"), "types.toml"))
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(os.Stdout, file)
	return err
}
