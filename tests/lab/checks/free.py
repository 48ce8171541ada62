"""A host with a free licence: SOAP reads and guest operations work, SOAP writes do not, the shell does."""
import os
import re
import subprocess
import tempfile

from vim import Fault, Host, Ref, tree


def faults(name, action):
    try:
        action()
    except Fault as fault:
        assert fault.name == name, f"{fault.name}, not {name}: {fault.text}"
        return fault
    raise AssertionError(f"no {name}")


host = Host("free1").login()
with tempfile.TemporaryDirectory() as scratch:
    ask = os.path.join(scratch, "ask")
    with open(ask, "w") as script:
        script.write(f"#!/bin/sh\necho {host.password}\n")
    os.chmod(ask, 0o700)
    known = os.path.join(scratch, "known")
    with open(known, "w") as file:
        file.write(subprocess.check_output(["ssh-keyscan", "-t", "ecdsa", host.address], text=True, stderr=subprocess.DEVNULL))
    assert host.ssh in subprocess.check_output(["ssh-keygen", "-lf", known], text=True)

    def shell(command, method="password", check=True):
        done = subprocess.run(["ssh", "-o", "UserKnownHostsFile=" + known, "-o", "PreferredAuthentications=" + method, f"root@{host.address}", command],
                              env={**os.environ, "SSH_ASKPASS": ask, "SSH_ASKPASS_REQUIRE": "force"}, capture_output=True, check=check)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        return done

    licence = tree.tostring(host.get(host.content["licenseManager"], "licenses")["licenses"]).decode()
    assert "esx.hypervisor.cpuPackage" in licence
    folder, pool, _, _ = host.places()
    faults("RestrictedVersion", lambda: host.task(host.machines()["tpl-web"], "PowerOnVM_Task"))
    faults("RestrictedVersion", lambda: host.call(host.content["fileManager"], "MakeDirectory", "<name>[datastore1] x</name>"))
    faults("RestrictedVersion", lambda: host.task(folder, "CreateVM_Task",
           f"<config><name>x</name><files><vmPathName>[datastore1]</vmPathName></files></config><pool type='ResourcePool'>{pool}</pool>"))

    assert shell("true", "keyboard-interactive").returncode == 0
    listed = shell("vim-cmd vmsvc/getallvms").stdout
    assert re.search(r"^\d+ +tpl-web +\[datastore1\] tpl-web/tpl-web.vmx", listed, re.M), listed
    clone = "vmkfstools -i /vmfs/volumes/datastore1/tpl-web/tpl-web.vmdk -d thin /vmfs/volumes/datastore1/web-01/web-01.vmdk"
    assert shell(clone, check=False).returncode == 255
    copied = shell("mkdir /vmfs/volumes/datastore1/web-01 && " + clone)
    assert copied.stdout.startswith("Destination disk format: VMFS thin-provisioned\n") and copied.stdout.endswith("Clone: 100% done.\n")
    assert "\r" in copied.stdout
    again = shell(clone, check=False)
    assert again.returncode == 255 and "The file already exists (39)" in again.stderr
    shell("""cd /vmfs/volumes/datastore1/web-01 && sed -e 's/tpl-web/web-01/g' -e '/^uuid\\|^vc.uuid\\|generatedAddress/d' \
../tpl-web/tpl-web.vmx > web-01.vmx && echo 'uuid.action = "create"' >> web-01.vmx""")
    number = shell("vim-cmd solo/registervm /vmfs/volumes/datastore1/web-01/web-01.vmx").stdout.strip()
    vm = Ref("VirtualMachine", number)
    assert host.machines()["web-01"] == vm
    assert shell("vim-cmd vmsvc/power.on " + number).stdout == "Powering on VM:\n"
    assert shell("vim-cmd vmsvc/power.getstate " + number).stdout == "Retrieved runtime info\nPowered on\n"
    host.until(vm, "guest.guestOperationsReady", "true")
    host.address_guest(vm, "10.213.5.1")
    host.until(vm, "guest.ipAddress", "10.213.5.1")
    assert 'ipAddress = "10.213.5.1"' in shell("vim-cmd vmsvc/get.guest " + number).stdout
    assert host.value(vm, "config.uuid") != host.value(host.machines()["tpl-web"], "config.uuid")
    shell("vim-cmd vmsvc/power.shutdown " + number)
    host.until(vm, "runtime.powerState", "poweredOff")
    shell("vim-cmd vmsvc/destroy " + number)
assert subprocess.run(["lab", "leftovers"]).returncode == 0
print("free: ok")
