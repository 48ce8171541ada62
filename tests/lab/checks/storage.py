"""Datastores, registering, questions, look-ups, performance, and plain HTTP on /folder."""
import base64
import http.client
import subprocess

from vim import INSECURE, XSI, Fault, Host, Ref, child, plain, ref, text


def faults(name, action):
    try:
        action()
    except Fault as fault:
        assert fault.name == name, f"{fault.name}, not {name}: {fault.text}"
        return fault
    raise AssertionError(f"no {name}")


host = Host("esxi1").login()
folder, pool, datastore, dc = host.places()
files, disks = host.content["fileManager"], host.content["virtualDiskManager"]
browser = Ref("HostDatastoreBrowser", host.value(datastore, "browser"))

# Folders and files.
host.call(files, "MakeDirectory", "<name>[datastore1] a/b</name><createParentDirectories>true</createParentDirectories>")
faults("FileAlreadyExists", lambda: host.call(files, "MakeDirectory", "<name>[datastore1] a/b</name>"))
faults("FileNotFound", lambda: host.call(files, "MakeDirectory", "<name>[datastore1] x/y</name>"))
faults("InvalidDatastorePath", lambda: host.call(files, "MakeDirectory", "<name>datastore1/x</name>"))
host.task(disks, "CreateVirtualDisk_Task", "<name>[datastore1] a/b/d.vmdk</name><spec xsi:type='FileBackedVirtualDiskSpec'>"
          "<diskType>thin</diskType><adapterType>lsiLogic</adapterType><capacityKb>10240</capacityKb></spec>")
faults("FileAlreadyExists", lambda: host.task(disks, "CreateVirtualDisk_Task", "<name>[datastore1] a/b/d.vmdk</name><spec xsi:type='FileBackedVirtualDiskSpec'>"
       "<diskType>thin</diskType><adapterType>lsiLogic</adapterType><capacityKb>10240</capacityKb></spec>"))
host.task(disks, "ExtendVirtualDisk_Task", "<name>[datastore1] a/b/d.vmdk</name><newCapacityKb>20480</newCapacityKb>")
found = host.task(browser, "SearchDatastoreSubFolders_Task", "<datastorePath>[datastore1] a</datastorePath><searchSpec><query xsi:type='VmDiskFileQuery'>"
                  "<details><diskType>true</diskType><capacityKb>true</capacityKb><hardwareVersion>false</hardwareVersion></details></query>"
                  "<details><fileType>true</fileType><fileSize>true</fileSize><modification>true</modification></details></searchSpec>")
disk = [f for r in found for f in r if plain(f) == "file"]
assert len(disk) == 1 and text(disk[0], "path") == "d.vmdk" and text(disk[0], "capacityKb") == "20480" and disk[0].get(XSI) == "VmDiskFileInfo"
faults("FileNotFound", lambda: host.task(browser, "SearchDatastore_Task", "<datastorePath>[datastore1] nowhere</datastorePath>"))
host.task(disks, "DeleteVirtualDisk_Task", "<name>[datastore1] a/b/d.vmdk</name>")
faults("CannotDeleteFile", lambda: host.task(files, "DeleteDatastoreFile_Task", "<name>[datastore1]</name>"))
host.task(files, "DeleteDatastoreFile_Task", "<name>[datastore1] a</name>")
free = int(host.value(datastore, "summary.freeSpace"))
subprocess.run(["lab", "set", "esxi1", "capacity", "2000000000"], check=True)
assert int(host.value(datastore, "summary.freeSpace")) < 2000000000 < free
subprocess.run(["lab", "set", "esxi1", "capacity", "1099511627776"], check=True)

# Plain HTTP: a login or a password is needed, a running machine's disk is locked.
vm = host.copy("tpl-base", "stored")


def folder_http(verb, path, headers, body=None):
    connection = http.client.HTTPSConnection(host.address, context=INSECURE)
    connection.request(verb, f"/folder/{path}?dcPath=ha-datacenter&dsName=datastore1", body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


cookie = {"Cookie": host.cookie}
assert folder_http("GET", "stored/stored.vmx", {})[0] == 401
status, vmx = folder_http("GET", "stored/stored.vmx", cookie)
assert status == 200 and b'displayName = "stored"' in vmx
basic = base64.b64encode(f"{host.user}:{host.password}".encode()).decode()
assert folder_http("GET", "stored/stored.vmx", {"Authorization": "Basic " + basic})[0] == 200
assert folder_http("GET", "nowhere/x", cookie)[0] == 404
assert folder_http("PUT", "nowhere/x", cookie, b"x")[0] == 405
assert folder_http("PUT", "stored/note.txt", cookie, b"hello")[0] == 201 and folder_http("GET", "stored/note.txt", cookie)[1] == b"hello"
assert folder_http("DELETE", "stored/note.txt", cookie)[0] == 200
moved = int(dict(line.split() for line in subprocess.check_output(["lab", "bytes", "esxi1"], text=True).splitlines())["disk"])
assert moved == 2 * len(vmx) + 2 * len(b"hello"), moved
host.task(vm, "PowerOnVM_Task")
assert folder_http("GET", "stored/stored-flat.vmdk", cookie)[0] == 500

# Looking machines up, and what they use.
uuid = host.value(vm, "config.uuid")
index = host.content["searchIndex"]
assert host.call(index, "FindByUuid", f"<uuid>{uuid}</uuid><vmSearch>true</vmSearch>")[0].text == vm
assert host.call(index, "FindByUuid", f"<uuid>{uuid[::-1]}</uuid><vmSearch>true</vmSearch>") == []
assert host.call(index, "FindByInventoryPath", "<inventoryPath>ha-datacenter/vm/stored</inventoryPath>")[0].text == vm
counters = {}
for counter in host.get(host.content["perfManager"], "perfCounter")["perfCounter"]:
    counters[f"{text(counter, 'groupInfo', 'key')}.{text(counter, 'nameInfo', 'key')}.{text(counter, 'rollupType')}"] = text(counter, "key")
host.until(vm, "guest.guestOperationsReady", "true")
host.start(vm, "/bin/sh", "-c 'while :; do :; done'")
host.until(vm, "summary.quickStats.overallCpuUsage", lambda mhz: mhz and int(mhz) > 100)
host.until(vm, "summary.quickStats.guestMemoryUsage", lambda mb: mb is not None)


def perf(form):
    return host.call(host.content["perfManager"], "QueryPerf", f"<querySpec><entity type='VirtualMachine'>{vm}</entity><maxSample>3</maxSample>"
                     f"<metricId><counterId>{counters['cpu.usage.average']}</counterId><instance></instance></metricId>"
                     f"<metricId><counterId>{counters['mem.usage.average']}</counterId><instance></instance></metricId><intervalId>20</intervalId><format>{form}</format></querySpec>")[0]


normal = perf("normal")
assert normal.get(XSI) == "PerfEntityMetric" and len([v for v in normal if plain(v) == "value"]) == 2
csv = perf("csv")
assert csv.get(XSI) == "PerfEntityMetricCSV" and text(csv, "sampleInfoCSV").startswith("20,"), text(csv, "sampleInfoCSV")

# Leaving the inventory and coming back with files, uuid and MAC kept.
faults("InvalidPowerState", lambda: host.call(vm, "UnregisterVM"))
host.task(vm, "PowerOffVM_Task")
mac = host.value(vm, "config.hardware.device[4000].macAddress")
host.call(vm, "UnregisterVM")
faults("FileNotFound", lambda: host.task(folder, "RegisterVM_Task", f"<path>[datastore1] no/no.vmx</path><asTemplate>false</asTemplate><pool type='ResourcePool'>{pool}</pool>"))
back = ref(host.task(folder, "RegisterVM_Task", f"<path>[datastore1] stored/stored.vmx</path><asTemplate>false</asTemplate><pool type='ResourcePool'>{pool}</pool>"))
assert back != vm and host.value(back, "config.uuid") == uuid and host.value(back, "config.hardware.device[4000].macAddress") == mac
faults("AlreadyExists", lambda: host.task(folder, "RegisterVM_Task", f"<path>[datastore1] stored/stored.vmx</path><asTemplate>false</asTemplate><pool type='ResourcePool'>{pool}</pool>"))

# A question holds a power-on until it is answered.
subprocess.run(["lab", "set", "esxi1", "question", "on"], check=True)
starting = ref(host.call(back, "PowerOnVM_Task")[0])
question = Ref("", host.until(back, "runtime.question.id", lambda q: q))
assert host.value(starting, "info.state") == "running"
faults("TaskInProgress", lambda: host.call(back, "PowerOffVM_Task"))
faults("InvalidArgument", lambda: host.call(back, "AnswerVM", f"<questionId>{question}</questionId><answerChoice>9</answerChoice>"))
host.call(back, "AnswerVM", f"<questionId>{question}</questionId><answerChoice>2</answerChoice>")
host.until(starting, "info.state", "success")
assert host.value(back, "config.uuid") != uuid and host.value(back, "runtime.question.id") is None
host.task(back, "PowerOffVM_Task")
host.task(back, "Rename_Task", "<newName>renamed</newName>")
assert host.value(back, "name") == "renamed" and host.value(back, "config.files.vmPathName") == "[datastore1] stored/stored.vmx"
host.task(back, "Destroy_Task")
assert subprocess.run(["lab", "leftovers"]).returncode == 0
print("storage: ok")
