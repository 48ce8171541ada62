"""Templates and clones on a vCenter, and files that reach guests by the ESXi host's own address."""
import subprocess

from vim import Fault, Host, ref, text


def faults(name, action):
    try:
        action()
    except Fault as fault:
        assert fault.name == name, f"{fault.name}, not {name}: {fault.text}"
        return fault
    raise AssertionError(f"no {name}")


host = Host("vcenter1").login()
assert host.api_type == "VirtualCenter"
folder, pool, datastore, dc = host.places()
template = host.machines()["tpl-web"]
assert host.value(template, "config.template") == "true" and host.value(template, "resourcePool") is None
faults("NotSupported", lambda: host.task(template, "PowerOnVM_Task"))


def clone(name, where, config="", power="true"):
    return host.task(template, "CloneVM_Task", f"<folder type='Folder'>{folder}</folder><name>{name}</name><spec><location>{where}</location>"
                     f"<template>false</template>{config}<powerOn>{power}</powerOn></spec>")


placed = f"<datastore type='Datastore'>{datastore}</datastore><pool type='ResourcePool'>{pool}</pool>"
faults("InvalidArgument", lambda: clone("web-01", ""))
vm = ref(clone("web-01", placed, "<config><numCPUs>2</numCPUs><memoryMB>1024</memoryMB></config>"))
assert host.value(vm, "config.hardware.memoryMB") == "1024" and host.value(vm, "runtime.powerState") == "poweredOn"
assert host.value(template, "config.hardware.device[2000].backing.fileName") == "[datastore1] tpl-web/tpl-web.vmdk"
faults("DuplicateName", lambda: clone("web-01", placed))
host.until(vm, "guest.guestOperationsReady", "true")
url = text(host.call(host.guest_manager("fileManager"), "InitiateFileTransferFromGuest",
                     f"<vm type='VirtualMachine'>{vm}</vm>{host.auth()}<guestFilePath>/etc/hosts</guestFilePath>")[0], "url")
assert url.startswith("https://10.213.0.3:443/"), url
assert host.transfer("GET", url, None)[0] == 200 and host.transfer("GET", url, None)[0] == 404, "a URL works once"
host.address_guest(vm, "10.213.5.1")
host.until(vm, "guest.ipAddress", "10.213.5.1")
disk = "<sourceName>[datastore1] tpl-web/tpl-web.vmdk</sourceName><destName>[datastore1] x.vmdk</destName>"
faults("NotImplemented", lambda: host.task(host.content["virtualDiskManager"], "CopyVirtualDisk_Task",
       disk + "<destSpec><diskType>thin</diskType><adapterType>lsiLogic</adapterType></destSpec>"))
faults("InvalidArgument", lambda: host.task(host.content["virtualDiskManager"], "CopyVirtualDisk_Task", disk))
host.task(vm, "PowerOffVM_Task")
host.task(vm, "Destroy_Task")
assert subprocess.run(["lab", "leftovers"]).returncode == 0
print("vcenter: ok")
