"""The server's manners: strict requests, sessions in both shapes of expiry, pages, pushes, faults on demand."""
import subprocess
import time

from vim import Fault, Host, Ref, plain, child, ref, text


def faults(name, action):
    try:
        action()
    except Fault as fault:
        assert fault.name == name, f"{fault.name}, not {name}: {fault.text}"
        return fault
    raise AssertionError(f"no {name}")


def lab(*words):
    return subprocess.check_output(["lab", *words], text=True)


host = Host("esxi1").login()
assert '="' in host.set_cookie and "Secure" in host.set_cookie and "HttpOnly" in host.set_cookie and "Path=/" in host.set_cookie
folder, pool, datastore, dc = host.places()
machines = host.machines()
template = machines["tpl-web"]
collector = host.content["propertyCollector"]

# Strict reading of requests.
spec = "<specSet><propSet><type>VirtualMachine</type><pathSet>name</pathSet></propSet><objectSet><obj type='VirtualMachine'>1</obj></objectSet></specSet>"
fault = faults("InvalidRequest", lambda: host.call(collector, "RetrievePropertiesEx", spec))
assert "Missing parameter options" in fault.text, fault.text
fault = faults("InvalidRequest", lambda: host.call(collector, "RetrievePropertiesEx", "<options/>" + spec))
assert "specSet" in fault.text, fault.text
faults("InvalidRequest", lambda: host.call(collector, "RetrievePropertiesEx", spec.replace("<pathSet>", "<bogus/><pathSet>") + "<options/>"))
fault = faults("InvalidRequest", lambda: host.call(collector, "RetrievePropertiesEx",
               spec.replace("<obj type='VirtualMachine'>1</obj>", "<skip>false</skip>") + "<options/>"))
assert "Required property obj is missing from data object of type ObjectSpec" in fault.text, fault.text
faults("InvalidRequest", lambda: host.call(collector, "RetrievePropertiesEx", spec.replace(" type='VirtualMachine'", "") + "<options/>"))
faults("InvalidRequest", lambda: host.call(template, "ReconfigVM_Task", "<spec><memoryMB>64</memoryMB><numCPUs>1</numCPUs></spec>"))
faults("InvalidRequest", lambda: host.call(template, "ReconfigVM_Task", "<spec><numCPUs>many</numCPUs></spec>"))
faults("InvalidRequest", lambda: host.call(template, "ReconfigVM_Task",
       "<spec><deviceChange><operation>add</operation><device><key>-1</key><busNumber>0</busNumber></device></deviceChange></spec>"))
faults("InvalidRequest", lambda: host.call(collector, "RetrievePropertiesEx", spec + "<options/>", action=None))
faults("InvalidRequest", lambda: host.call(collector, "RetrievePropertiesEx", spec + "<options/>", action='""'))
faults("InvalidRequest", lambda: host.call(collector, "RetrievePropertiesEx", spec + "<options/>", action='"urn:vim25/9.9.9.9"'))
faults("InvalidProperty", lambda: host.get(template, "name", "no.such"))
faults("MethodNotFound", lambda: host.call(template, "AcquireTicket", "<ticketType>mks</ticketType>"))
faults("NotSupported", lambda: host.call(template, "CloneVM_Task", f"<folder type='Folder'>{folder}</folder><name>x</name>"
       "<spec><location/><template>false</template><powerOn>false</powerOn></spec>"))
faults("NotSupported", lambda: host.call(template, "MarkAsTemplate"))
faults("ManagedObjectNotFound", lambda: host.task(Ref("VirtualMachine", "999"), "PowerOnVM_Task"))
assert host.value(template, "config.hardware.device[4000].macAddress").startswith("00:0c:29")

# What CreateVM refuses leaves nothing.
for change, name in (("<guestId>noGuest</guestId>", "InvalidArgument"), ("<version>vmx-21</version>", "VirtualHardwareVersionNotSupported")):
    config = f"<name>bad</name>{change}<files><vmPathName>[datastore1]</vmPathName></files>"
    faults(name, lambda: host.task(folder, "CreateVM_Task", f"<config>{config}</config><pool type='ResourcePool'>{pool}</pool>"))
faults("InvalidDatastore", lambda: host.task(folder, "CreateVM_Task",
       f"<config><name>bad</name><files><vmPathName>[nowhere]</vmPathName></files></config><pool type='ResourcePool'>{pool}</pool>"))
faults("InvalidDeviceBacking", lambda: host.task(folder, "CreateVM_Task", f"""<config><name>bad</name><files><vmPathName>[datastore1]</vmPathName></files>
<deviceChange><operation>add</operation><device xsi:type="VirtualVmxnet3"><key>-1</key><backing xsi:type="VirtualEthernetCardNetworkBackingInfo"><deviceName>No Net</deviceName></backing></device></deviceChange>
</config><pool type='ResourcePool'>{pool}</pool>"""))
faults("DuplicateName", lambda: host.task(folder, "CreateVM_Task",
       f"<config><name>tpl-web</name><files><vmPathName>[datastore1]</vmPathName></files></config><pool type='ResourcePool'>{pool}</pool>"))
assert subprocess.run(["lab", "leftovers", "esxi1"]).returncode == 0

# Pages: a token works once.
subprocess.run(["lab", "set", "esxi1", "page-size", "2"], check=True)
assert len(host.machines()) == len(machines)
everything = ("<specSet><propSet><type>VirtualMachine</type><pathSet>name</pathSet></propSet><objectSet>"
              f"<obj type='Folder'>{folder}</obj><skip>true</skip><selectSet xsi:type='TraversalSpec'><name>f</name><type>Folder</type>"
              "<path>childEntity</path><skip>false</skip></selectSet></objectSet></specSet>")
token = text(host.call(collector, "RetrievePropertiesEx", everything + "<options><maxObjects>1</maxObjects></options>")[0], "token")
host.call(collector, "ContinueRetrievePropertiesEx", f"<token>{token}</token>")
faults("InvalidArgument", lambda: host.call(collector, "ContinueRetrievePropertiesEx", f"<token>{token}</token>"))

# Pushes: enter, truncated answers, modify, leave, wrong versions.
waiter = ref(host.call(collector, "CreatePropertyCollector")[0])
host.call(waiter, "CreateFilter", everything.replace("specSet>", "spec>").replace("<pathSet>name", "<pathSet>runtime.powerState</pathSet><pathSet>name")
          + "<partialUpdates>false</partialUpdates>")
subprocess.run(["lab", "set", "esxi1", "update-limit", "4"], check=True)


def wait(version, seconds=10):
    returned = host.call(waiter, "WaitForUpdatesEx", f"<version>{version}</version><options><maxWaitSeconds>{seconds}</maxWaitSeconds></options>")
    if not returned:
        return version, [], False
    updates = [(text(u, "kind"), child(u, "obj").text, [text(c, "name") for c in u if plain(c) == "changeSet"])
               for s in returned[0] if plain(s) == "filterSet" for u in s if plain(u) == "objectSet"]
    return text(returned[0], "version"), updates, text(returned[0], "truncated") == "true"


version, first, truncated = wait("")
assert truncated and len(first) == 4 and first[0][0] == "enter", first
version, rest, truncated = wait(version)
assert not truncated and len(first + rest) == len(machines)
assert wait(version, 0) == (version, [], False)
vm = host.copy("tpl-base", "pushed")
seen = []
while not any(u[0] == "enter" for u in seen):
    version, updates, _ = wait(version)
    seen += updates
host.task(vm, "PowerOnVM_Task")
version, updates, _ = wait(version)
assert updates == [("modify", vm, ["runtime.powerState"])], updates
faults("InvalidCollectorVersion", lambda: wait("77"))
host.task(vm, "PowerOffVM_Task")
host.task(vm, "Destroy_Task")
while not any(u[:2] == ("leave", vm) for u in seen):
    version, updates, _ = wait(version)
    seen += updates

# A filter over named objects: one that goes leaves, the others stay.
first, second = host.copy("tpl-base", "one"), host.copy("tpl-base", "two")
pair = ref(host.call(collector, "CreatePropertyCollector")[0])
host.call(pair, "CreateFilter", "<spec><propSet><type>VirtualMachine</type><pathSet>name</pathSet></propSet>" + "".join(
    f"<objectSet><obj type='VirtualMachine'>{m}</obj></objectSet>" for m in (first, second)) + "</spec><partialUpdates>false</partialUpdates>")
kept, waiter = waiter, pair
version, updates, _ = wait("")
assert len(updates) == 2
host.task(first, "Destroy_Task")
version, updates, _ = wait(version)
assert updates == [("leave", first, [])], updates
host.task(second, "Rename_Task", "<newName>second</newName>")
version, updates, _ = wait(version)
assert updates == [("modify", second, ["name"])], updates
host.task(second, "Destroy_Task")
waiter = kept

# Tasks: progress, cancelling, failing on demand.
subprocess.run(["lab", "set", "esxi1", "copy-rate", "2000000"], check=True)
made = ref(host.call(host.content["virtualDiskManager"], "CopyVirtualDisk_Task",
           "<sourceName>[datastore1] tpl-web/tpl-web.vmdk</sourceName><destName>[datastore1] tpl-web/copy.vmdk</destName>"
           "<destSpec><diskType>thin</diskType><adapterType>lsiLogic</adapterType></destSpec>")[0])
host.until(made, "info.progress", lambda p: p and int(p) > 0)
host.call(made, "CancelTask")
host.until(made, "info.state", "error")
assert child(host.get(made, "info.error")["info.error"], "fault").get("{http://www.w3.org/2001/XMLSchema-instance}type") == "RequestCanceled"
faults("InvalidState", lambda: host.call(made, "CancelTask"))
subprocess.run(["lab", "set", "esxi1", "copy-rate", "0"], check=True)
assert subprocess.run(["lab", "leftovers", "esxi1"]).returncode == 0
subprocess.run(["lab", "set", "esxi1", "free", "1000"], check=True)
faults("NoDiskSpace", lambda: host.task(host.content["virtualDiskManager"], "CopyVirtualDisk_Task",
       "<sourceName>[datastore1] tpl-web/tpl-web.vmdk</sourceName><destName>[datastore1] tpl-web/copy.vmdk</destName>"
       "<destSpec><diskType>thin</diskType><adapterType>lsiLogic</adapterType></destSpec>"))
subprocess.run(["lab", "set", "esxi1", "free", ""], check=True)
subprocess.run(["lab", "fault", "esxi1", "PowerOnVM_Task", "InsufficientResourcesFault", "--task"], check=True)
faults("InsufficientResourcesFault", lambda: host.task(template, "PowerOnVM_Task"))
subprocess.run(["lab", "fault", "esxi1", "CurrentTime", "NoPermission", "--times", "2", "--skip", "1"], check=True)
host.call(Ref("ServiceInstance", "ServiceInstance"), "CurrentTime")
for _ in range(2):
    faults("NoPermission", lambda: host.call(Ref("ServiceInstance", "ServiceInstance"), "CurrentTime"))
subprocess.run(["lab", "fault", "esxi1", "CurrentTime", "drop"], check=True)
try:
    host.call(Ref("ServiceInstance", "ServiceInstance"), "CurrentTime")
    raise AssertionError("the connection was not dropped")
except OSError:
    pass
subprocess.run(["lab", "fault", "esxi1", "CurrentTime", "--delay", "0.4"], check=True)
began = time.time()
host.call(Ref("ServiceInstance", "ServiceInstance"), "CurrentTime")
assert time.time() - began >= 0.4
assert subprocess.run(["lab", "fault", "esxi1", "X", "NoSuchFault"], capture_output=True).returncode == 1
assert "CurrentTime " in lab("calls", "esxi1", "--reset") and "CurrentTime" not in lab("calls", "esxi1")

# Sessions: a second login, expiry in both shapes, a locked account.
faults("InvalidLogin", lambda: host.login())
host.call(collector, "CreateFilter", everything.replace("specSet>", "spec>") + "<partialUpdates>false</partialUpdates>")
subprocess.run(["lab", "expire", "esxi1"], check=True, stdout=subprocess.DEVNULL)
faults("NotAuthenticated", lambda: host.call(Ref("ServiceInstance", "ServiceInstance"), "CurrentTime"))
content = next(c for c in host.call(collector, "RetrievePropertiesEx", spec + "<options/>")[0] if plain(c) == "objects")
assert child(child(child(content, "missingSet"), "fault"), "fault") is not None and child(content, "propSet") is None
host.cookie = None
host.login()
faults("ManagedObjectNotFound", lambda: host.call(waiter, "WaitForUpdatesEx", "<version>1</version>"))
subprocess.run(["lab", "set", "esxi1", "lock-time", "1"], check=True)
host.call(host.content["sessionManager"], "Logout")
host.cookie = None
for _ in range(5):
    faults("InvalidLogin", lambda: host.login(password="wrong"))
faults("InvalidLogin", lambda: host.login())
time.sleep(1)
host.login()
print("protocol: ok")
