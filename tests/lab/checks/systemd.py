"""A guest whose first process is systemd: boots, runs units, restarts and shuts down by Tools."""
import subprocess

from vim import Host, page

host = Host("esxi1").login()
vm = host.copy("tpl-systemd", "sys-01")
host.task(vm, "PowerOnVM_Task")
host.until(vm, "guest.guestOperationsReady", "true")


def guest(*words):
    return subprocess.run(["lab", "guest", "sys-01", "--", *words], capture_output=True, text=True)


def settled():
    host.until(vm, "guest.toolsRunningStatus", "guestToolsRunning")
    while True:
        state = guest("systemctl", "is-system-running", "--wait").stdout.strip()
        if state in ("running", "degraded"):
            return state


state = settled()
assert state == "running", guest("systemctl", "list-units", "--failed").stdout + guest("journalctl", "-b", "--no-pager", "-n", "60").stdout
host.address_guest(vm, "10.213.5.1")
host.until(vm, "guest.ipAddress", "10.213.5.1")
assert b"under systemd" in page("http://10.213.5.1/")
assert guest("systemctl", "is-active", "ssh", "web").stdout == "active\nactive\n"
assert host.run(vm, "/bin/sh", "-c 'test -d /run/systemd/system'") == 0
identity = guest("cat", "/etc/machine-id").stdout
assert len(identity.strip()) == 32
host.call(vm, "RebootGuest")
host.until(vm, "guest.toolsRunningStatus", "guestToolsNotRunning")
settled()
host.until(vm, "guest.ipAddress", "10.213.5.1")
assert guest("cat", "/etc/machine-id").stdout == identity
guest("poweroff")
host.until(vm, "runtime.powerState", "poweredOff")
host.task(vm, "PowerOnVM_Task")
host.until(vm, "guest.guestOperationsReady", "true")
settled()
host.call(vm, "ShutdownGuest")
host.until(vm, "runtime.powerState", "poweredOff")
host.task(vm, "Destroy_Task")
assert subprocess.run(["lab", "leftovers"]).returncode == 0
print("systemd: ok")
