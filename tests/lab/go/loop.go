package main

// Loop devices: a disk image becomes a mountable device that frees itself when the guest lets go.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	loopControlGetFree = 0x4C82
	loopConfigure      = 0x4C0A
	loopAutoclear      = 4
)

// loopConfig is struct loop_config of linux/loop.h.
type loopConfig struct {
	fd, blockSize uint32
	device, inode uint64
	rdevice       uint64
	offset, limit uint64
	number        uint32
	encryptType   uint32
	keySize       uint32
	flags         uint32
	fileName      [64]byte
	cryptName     [64]byte
	key           [32]byte
	init          [2]uint64
	reserved      [8]uint64
}

func ioctl(fd uintptr, request, argument uintptr) (int, error) {
	n, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, argument)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// attachLoop returns the open device (close it after mounting) and its number.
func attachLoop(file string) (*os.File, int, error) {
	waitImageFree(file)
	image, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return nil, 0, err
	}
	defer image.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, 0, err
	}
	defer control.Close()
	for attempt := 0; attempt < 200; attempt++ {
		number, err := ioctl(control.Fd(), loopControlGetFree, 0)
		if err != nil {
			return nil, 0, fmt.Errorf("no free loop device: %w", err)
		}
		name := fmt.Sprintf("/dev/loop%d", number)
		if _, err := os.Stat(name); os.IsNotExist(err) {
			_ = syscall.Mknod(name, syscall.S_IFBLK|0o600, 7<<8|number&0xff|(number&^0xff)<<12)
		}
		device, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return nil, 0, err
		}
		config := loopConfig{fd: uint32(image.Fd()), flags: loopAutoclear}
		copy(config.fileName[:63], file)
		_, err = ioctl(device.Fd(), loopConfigure, uintptr(unsafe.Pointer(&config)))
		if err == nil {
			return device, number, nil
		}
		device.Close()
		if !errors.Is(err, syscall.EBUSY) {
			return nil, 0, fmt.Errorf("loop device %s: %w", name, err)
		}
	}
	return nil, 0, errors.New("no free loop device")
}

// waitLoopFree returns once a device has let go of its file, so that the image on disk is whole.
func waitLoopFree(number int) {
	backing := fmt.Sprintf("/sys/block/loop%d/loop/backing_file", number)
	for i := 0; i < 500; i++ {
		if _, err := os.Stat(backing); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// waitImageFree lets a device of a guest that has just died go first; two at once would spoil the image.
func waitImageFree(file string) {
	if at := strings.Index(file, "drover-lab."); at > 0 {
		file = file[at:]
	}
	devices, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, device := range devices {
		backing, _ := os.ReadFile(device)
		if strings.HasSuffix(strings.TrimSpace(string(backing)), file) {
			number, _ := strconv.Atoi(strings.TrimPrefix(strings.Split(device, "/")[3], "loop"))
			waitLoopFree(number)
		}
	}
}

var errNoSystem = errors.New("the disk holds no operating system")

// checkImage wants an ext4 file system and lets it follow a disk that has grown.
func checkImage(file string) error {
	image, err := os.Open(file)
	if err != nil {
		return err
	}
	defer image.Close()
	info, err := image.Stat()
	if err != nil {
		return err
	}
	super := make([]byte, 1024)
	if n, _ := image.ReadAt(super, 1024); n < len(super) || !bytes.Equal(super[0x38:0x3a], []byte{0x53, 0xef}) {
		return errNoSystem
	}
	blocks := int64(binary.LittleEndian.Uint32(super[4:]))
	size := blocks * (1024 << binary.LittleEndian.Uint32(super[24:]))
	if info.Size()-size < 1<<20 {
		return nil
	}
	if out, err := exec.Command("resize2fs", "-f", file).CombinedOutput(); err != nil {
		return fmt.Errorf("resize2fs: %w: %s", err, out)
	}
	return nil
}
