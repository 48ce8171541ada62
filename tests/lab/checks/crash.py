"""Hosts that crash or lose their network, many guests at once, mails, and what Tools tell when they are off."""
import smtplib
import subprocess
import threading
import time

from vim import Host, Ref


def ping(address):
    return subprocess.run(["ping", "-q", "-c1", "-W1", address], stdout=subprocess.DEVNULL).returncode == 0


host = Host("esxi1").login()
vm = host.copy("tpl-web", "web-01")
host.task(vm, "PowerOnVM_Task")
host.until(vm, "guest.guestOperationsReady", "true")
host.address_guest(vm, "10.213.5.1")
subprocess.run(["lab", "esxi", "esxi1", "cut"], check=True)
assert not ping("10.213.5.1") and not ping(host.address)
subprocess.run(["lab", "esxi", "esxi1", "heal"], check=True)
assert any(ping("10.213.5.1") for _ in range(5)), "switches need a moment"
subprocess.run(["lab", "esxi", "esxi1", "kill"], check=True)
assert not ping("10.213.5.1") and not ping(host.address)
subprocess.run(["lab", "esxi", "esxi1", "start"], check=True)
again = Host("esxi1")
assert again.fingerprint == host.fingerprint
again.login()
assert again.machines()["web-01"] == vm and again.value(vm, "runtime.powerState") == "poweredOff"
again.task(vm, "PowerOnVM_Task")
again.until(vm, "guest.ipAddress", "10.213.5.1")
subprocess.run(["lab", "set", "esxi1", "tools", "web-01"], check=True)
again.until(vm, "guest.toolsRunningStatus", "guestToolsNotRunning")
assert again.value(vm, "guestHeartbeatStatus") == "gray"
subprocess.run(["lab", "set", "esxi1", "tools", "on"], check=True)
again.until(vm, "guestHeartbeatStatus", "green")
again.until(vm, "summary.quickStats.uptimeSeconds", lambda n: n and int(n) > 0)

# Memory, CPU and disk changes: refused while on, done while off, seen in the guest.
again.task(vm, "PowerOffVM_Task")
again.task(vm, "ReconfigVM_Task", """<spec><numCPUs>2</numCPUs><memoryMB>1024</memoryMB><deviceChange><operation>edit</operation>
<device xsi:type="VirtualDisk"><key>2000</key><controllerKey>1000</controllerKey><unitNumber>0</unitNumber><capacityInKB>8388608</capacityInKB></device></deviceChange></spec>""")
again.task(vm, "PowerOnVM_Task")
again.until(vm, "guest.guestOperationsReady", "true")
blocks = int(subprocess.check_output(["lab", "guest", "web-01", "--", "stat", "-f", "-c", "%b", "/"]))
assert blocks * 4096 > 7 << 30, blocks

# A crowd: started by four threads, every guest told apart by its own MAC.
COUNT = 40
began = time.time()


def make(numbers):
    mine = Host("esxi2").login()
    for number in numbers:
        made = mine.copy("tpl-base", f"crowd-{number}")
        mine.task(made, "PowerOnVM_Task")
        mine.until(made, "guest.guestOperationsReady", "true", 60)


threads = [threading.Thread(target=make, args=(range(i, COUNT, 4),)) for i in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
crowd = Host("esxi2").login()
members = {n: m for n, m in crowd.machines().items() if n.startswith("crowd-")}
assert len(members) == COUNT
assert len({crowd.value(m, "config.hardware.device[4000].macAddress") for m in members.values()}) == COUNT
print(f"{COUNT} guests with running Tools in {time.time() - began:.1f} s")

with smtplib.SMTP("10.213.0.1", 25) as smtp:
    smtp.sendmail("drover@lab", ["ops@lab"], "Subject: hello\r\n\r\n.dots\r\n")
mails = subprocess.check_output(["lab", "mail"], text=True).split()
with open(mails[0]) as mail:
    content = mail.read()
assert len(mails) == 1 and "X-Envelope-RCPT: <ops@lab>" in content and "\n.dots" in content, content
print("crash: ok")
