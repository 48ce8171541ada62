"""One machine's life on a stand-alone host: copied, booted, worked with, restarted, removed."""
import subprocess

from vim import Fault, Host, page


def faults(name, action):
    try:
        action()
    except Fault as fault:
        assert fault.name == name, f"{fault.name}, not {name}: {fault.text}"
        return fault
    raise AssertionError(f"no {name}")


host = Host("esxi1").login()
assert subprocess.run(["lab", "leftovers"]).returncode == 0
vm = host.copy("tpl-web", "web-01")
faults("FileAlreadyExists", lambda: host.task(host.content["virtualDiskManager"], "CopyVirtualDisk_Task",
       "<sourceName>[datastore1] tpl-web/tpl-web.vmdk</sourceName><destName>[datastore1] web-01/web-01.vmdk</destName>"
       "<destSpec><diskType>thin</diskType><adapterType>lsiLogic</adapterType></destSpec>"))
faults("GuestOperationsUnavailable" if host.value(vm, "runtime.powerState") == "poweredOn" else "InvalidPowerState",
       lambda: host.start(vm, "/bin/true"))
host.task(vm, "PowerOnVM_Task")
faults("InvalidPowerState", lambda: host.task(vm, "PowerOnVM_Task"))
faults("GuestOperationsUnavailable", lambda: host.start(vm, "/bin/true"))
faults("InvalidPowerState", lambda: host.task(vm, "Destroy_Task"))
faults("FileLocked", lambda: host.task(host.content["virtualDiskManager"], "CopyVirtualDisk_Task",
       "<sourceName>[datastore1] web-01/web-01.vmdk</sourceName><destName>[datastore1] web-01/x.vmdk</destName>"
       "<destSpec><diskType>thin</diskType><adapterType>lsiLogic</adapterType></destSpec>"))
host.until(vm, "guest.guestOperationsReady", "true")
assert host.value(vm, "guest.ipAddress") is None, "a fresh copy must have no address"
assert host.run(vm, "/bin/sh", "-c 'exit 3'") == 3
assert host.run(vm, "/bin/true") == 0
faults("FileNotFound", lambda: host.start(vm, "/no/such"))
faults("InvalidGuestLogin", lambda: host.start(vm, "/bin/true", password="wrong"))
faults("FileAlreadyExists", lambda: host.put(vm, "/etc/passwd", b"x", overwrite="false"))

# What is written inside is there after a restart, and in a copy of the disk.
host.address_guest(vm, "10.213.5.1")
host.until(vm, "guest.ipAddress", "10.213.5.1")
subprocess.run(["ping", "-q", "-c1", "-W1", "10.213.5.1"], check=True, stdout=subprocess.DEVNULL)
body = page("http://10.213.5.1/")
assert b"It works" in body, body
host.start(vm, "/bin/sh", "-c 'echo web-01 >/etc/hostname; echo root:second | chpasswd'")
while True:  # until the new password holds, as its change is not waited for by anybody
    try:
        host.start(vm, "/bin/true", password="second")
        break
    except Fault as fault:
        assert fault.name == "InvalidGuestLogin", fault
faults("InvalidGuestLogin", lambda: host.start(vm, "/bin/true"))
assert host.put(vm, "/root/note", b"kept", password="second") == 200
assert host.fetch(vm, "/root/note", password="second") == b"kept"
subprocess.run(["lab", "guest", "web-01", "--", "reboot"], check=True)
host.until(vm, "guest.toolsRunningStatus", "guestToolsNotRunning")
host.until(vm, "guest.hostName", "web-01")
host.until(vm, "guest.ipAddress", "10.213.5.1")
assert host.value(vm, "runtime.powerState") == "poweredOn"
assert subprocess.run(["lab", "guest", "web-01", "--", "sh", "-c", "exit 7"]).returncode == 7
host.call(vm, "ShutdownGuest")
host.until(vm, "runtime.powerState", "poweredOff")
second = host.copy("web-01", "web-02")
for name in ("config.uuid", "config.instanceUuid"):
    assert host.value(vm, name) != host.value(second, name), name
host.task(second, "PowerOnVM_Task")
host.until(second, "guest.guestOperationsReady", "true")
assert host.fetch(second, "/root/note", password="second") == b"kept"
host.task(second, "ResetVM_Task")
host.until(second, "guest.guestOperationsReady", "true")
host.task(second, "PowerOffVM_Task")
for machine in (vm, second):
    host.task(machine, "Destroy_Task")
faults("ManagedObjectNotFound", lambda: host.value(vm, "name"))
assert subprocess.run(["lab", "leftovers"]).returncode == 0
print("life: ok")
