"""A small SOAP client for the lab's own checks: writes requests by hand, as the controller does, and reads answers as trees."""
import http.client
import re
import ssl
import subprocess
import time
import urllib.parse
import urllib.request
import xml.etree.ElementTree as tree
from xml.sax.saxutils import escape

ENVELOPE = ('<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">'
            '<s:Body>%s</s:Body></s:Envelope>')
XSI = "{http://www.w3.org/2001/XMLSchema-instance}type"
INSECURE = ssl.create_default_context()
INSECURE.check_hostname = False
INSECURE.verify_mode = ssl.CERT_NONE


class Fault(Exception):
    def __init__(self, name, text):
        super().__init__(f"{name}: {text}")
        self.name, self.text = name, text


class Ref(str):
    """A reference: its value, with the managed type beside it."""

    def __new__(cls, kind, value):
        made = super().__new__(cls, value)
        made.kind = kind
        return made


def page(url, seconds=20):
    """What a web server in a guest says, once it is up."""
    end = time.time() + seconds
    while True:
        try:
            return urllib.request.urlopen(url, timeout=5).read()
        except OSError:
            if time.time() > end:
                raise
            time.sleep(0.1)


def plain(element):
    return re.sub(r"\{.*\}", "", element.tag)


def child(element, name):
    return next((c for c in element if plain(c) == name), None)


def text(element, *path):
    for name in path:
        element = None if element is None else child(element, name)
    return None if element is None else element.text


def ref(element):
    return Ref(element.get("type"), element.text)


class Host:
    """One host of the lab by name, with one session."""

    def __init__(self, name, version="6.7"):
        lines = [line.split() for line in subprocess.check_output(["lab", "hosts"], text=True).splitlines()]
        self.name, self.kind, url, self.user, password, self.fingerprint, self.ssh = next(x for x in lines if x[0] == name)
        self.address = urllib.parse.urlparse(url).hostname
        with open(password) as file:
            self.password = file.read().strip()
        self.version, self.cookie, self.connection = version, None, None
        content = self.call(Ref("ServiceInstance", "ServiceInstance"), "RetrieveServiceContent")[0]
        self.content = {plain(c): ref(c) for c in content if c.get("type")}
        self.api_type = text(content, "about", "apiType")

    def post(self, body, action="default"):
        if self.connection is None:
            self.connection = http.client.HTTPSConnection(self.address, context=INSECURE)
        headers = {"Content-Type": "text/xml; charset=utf-8"}
        if action is not None:
            headers["SOAPAction"] = f'"urn:vim25/{self.version}"' if action == "default" else action
        if self.cookie:
            headers["Cookie"] = self.cookie
        try:
            self.connection.request("POST", "/sdk", ENVELOPE % body, headers)
            answer = self.connection.getresponse()
            data = answer.read()
        except (http.client.HTTPException, OSError):
            self.connection = None
            raise
        cookie = answer.getheader("Set-Cookie")
        if cookie:
            self.set_cookie = cookie
            self.cookie = cookie.split(";")[0]
        return answer.status, data

    def call(self, this, method, inner="", action="default"):
        status, data = self.post(f'<{method} xmlns="urn:vim25"><_this type="{this.kind}">{escape(this)}</_this>{inner}</{method}>', action)
        if status not in (200, 500):
            raise Fault(f"HTTP {status}", data.decode(errors="replace"))
        body = child(tree.fromstring(data), "Body")
        if status == 500:
            fault = body[0]
            detail = child(fault, "detail")
            name = detail[0].get(XSI) if detail is not None else "?"
            raise Fault(name, text(fault, "faultstring"))
        return list(body[0])

    def login(self, user=None, password=None):
        self.call(self.content["sessionManager"], "Login",
                  f"<userName>{escape(user or self.user)}</userName><password>{escape(password or self.password)}</password>")
        return self

    def get(self, this, *paths):
        """Properties of one object, as elements by path."""
        spec = "".join(f"<pathSet>{p}</pathSet>" for p in paths)
        returned = self.call(self.content["propertyCollector"], "RetrievePropertiesEx",
                             f'<specSet><propSet><type>{this.kind}</type>{spec}</propSet><objectSet><obj type="{this.kind}">{escape(this)}'
                             '</obj></objectSet></specSet><options/>')
        content = next(c for c in returned[0] if plain(c) == "objects")
        return {text(c, "name"): child(c, "val") for c in content if plain(c) == "propSet"}

    def value(self, this, path):
        found = self.get(this, path).get(path)
        return None if found is None else found.text

    def task(self, this, method, inner=""):
        """Runs a task to its end and returns its result element; a failed one is a Fault."""
        made = ref(self.call(this, method, inner)[0])
        while True:
            got = self.get(made, "info.state", "info.error", "info.result")
            state = got["info.state"].text
            if state == "success":
                return got.get("info.result")
            if state == "error":
                error = got["info.error"]
                raise Fault(child(error, "fault").get(XSI), text(error, "localizedMessage"))
            time.sleep(0.02)

    def until(self, this, path, wanted, seconds=30):
        end = time.time() + seconds
        while time.time() < end:
            got = self.value(this, path)
            if (wanted(got) if callable(wanted) else got == wanted):
                return got
            time.sleep(0.05)
        raise AssertionError(f"{path} of {this} is {self.value(this, path)!r}")

    def machines(self):
        view = ref(self.call(self.content["viewManager"], "CreateContainerView",
                             f'<container type="Folder">{self.content["rootFolder"]}</container><type>VirtualMachine</type><recursive>true</recursive>')[0])
        returned = self.call(self.content["propertyCollector"], "RetrievePropertiesEx",
                             '<specSet><propSet><type>VirtualMachine</type><pathSet>name</pathSet></propSet><objectSet>'
                             f'<obj type="ContainerView">{view}</obj><skip>true</skip><selectSet xsi:type="TraversalSpec"><name>v</name>'
                             '<type>ContainerView</type><path>view</path><skip>false</skip></selectSet></objectSet></specSet><options/>')
        found = {}
        while returned:
            token = text(returned[0], "token")
            for content in returned[0]:
                if plain(content) == "objects":
                    found[text(child(content, "propSet"), "val")] = ref(child(content, "obj"))
            returned = token and self.call(self.content["propertyCollector"], "ContinueRetrievePropertiesEx", f"<token>{token}</token>")
        self.call(view, "DestroyView")
        return found

    def places(self):
        """vmFolder, pool, datastore and datacenter of the host."""
        datacenter = "ha-datacenter"
        if self.api_type == "VirtualCenter":
            datacenter = next(c.text for c in self.get(self.content["rootFolder"], "childEntity")["childEntity"])
        dc = Ref("Datacenter", datacenter)
        got = self.get(dc, "vmFolder", "hostFolder", "datastore")
        hosts = self.get(Ref("Folder", got["hostFolder"].text), "childEntity")["childEntity"]
        pool = self.value(ref(hosts[0]), "resourcePool")
        return Ref("Folder", got["vmFolder"].text), Ref("ResourcePool", pool), ref(got["datastore"][0]), dc

    def copy(self, template, name):
        """A machine like a template, by the three calls of a stand-alone host."""
        folder, pool, _, _ = self.places()
        source = self.machines()[template]
        made = ref(self.task(folder, "CreateVM_Task", f"""<config><name>{name}</name><version>vmx-14</version><guestId>debian10_64Guest</guestId>
<files><vmPathName>[datastore1]</vmPathName></files><numCPUs>1</numCPUs><numCoresPerSocket>1</numCoresPerSocket><memoryMB>512</memoryMB>
<deviceChange><operation>add</operation><device xsi:type="ParaVirtualSCSIController"><key>-101</key><busNumber>0</busNumber><sharedBus>noSharing</sharedBus></device></deviceChange>
<deviceChange><operation>add</operation><device xsi:type="VirtualVmxnet3"><key>-102</key><backing xsi:type="VirtualEthernetCardNetworkBackingInfo"><deviceName>VM Network</deviceName></backing><connectable><startConnected>true</startConnected><allowGuestControl>true</allowGuestControl><connected>true</connected></connectable><addressType>generated</addressType></device></deviceChange>
<firmware>bios</firmware></config><pool type="ResourcePool">{pool}</pool>"""))
        vmx = self.value(made, "config.files.vmPathName")
        disk = vmx[:-4] + ".vmdk"
        old = next(d for d in self.get(source, "config.hardware.device")["config.hardware.device"] if d.get(XSI) == "VirtualDisk")
        self.task(self.content["virtualDiskManager"], "CopyVirtualDisk_Task",
                  f"<sourceName>{text(old, 'backing', 'fileName')}</sourceName><destName>{disk}</destName>"
                  "<destSpec><diskType>thin</diskType><adapterType>lsiLogic</adapterType></destSpec><force>false</force>")
        self.task(made, "ReconfigVM_Task", f"""<spec><deviceChange><operation>add</operation><device xsi:type="VirtualDisk"><key>-1</key>
<backing xsi:type="VirtualDiskFlatVer2BackingInfo"><fileName>{disk}</fileName><diskMode>persistent</diskMode></backing>
<controllerKey>1000</controllerKey><unitNumber>0</unitNumber><capacityInKB>0</capacityInKB></device></deviceChange></spec>""")
        return made

    def auth(self, password="template", user="root"):
        return (f'<auth xsi:type="NamePasswordAuthentication"><interactiveSession>false</interactiveSession><username>{user}</username>'
                f"<password>{escape(password)}</password></auth>")

    def guest_manager(self, which):
        kind = "Guest" + which[0].upper() + which[1:]
        return Ref(kind, self.value(self.content["guestOperationsManager"], which))

    def put(self, vm, path, data, mode=0o644, password="template", overwrite="true"):
        url = self.call(self.guest_manager("fileManager"), "InitiateFileTransferToGuest",
                        f'<vm type="VirtualMachine">{vm}</vm>{self.auth(password)}<guestFilePath>{path}</guestFilePath>'
                        f'<fileAttributes xsi:type="GuestPosixFileAttributes"><permissions>{mode}</permissions></fileAttributes>'
                        f"<fileSize>{len(data)}</fileSize><overwrite>{overwrite}</overwrite>")[0].text
        return self.transfer("PUT", url, data)[0]

    def fetch(self, vm, path, password="template"):
        information = self.call(self.guest_manager("fileManager"), "InitiateFileTransferFromGuest",
                                f'<vm type="VirtualMachine">{vm}</vm>{self.auth(password)}<guestFilePath>{path}</guestFilePath>')[0]
        return self.transfer("GET", text(information, "url"), None)[1]

    def transfer(self, verb, url, data):
        where = urllib.parse.urlparse(url)
        at = self.address if where.hostname == "*" else where.hostname
        connection = http.client.HTTPSConnection(at, where.port, context=INSECURE)
        connection.request(verb, f"{where.path}?{where.query}", data)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def start(self, vm, program, arguments="", password="template"):
        return self.call(self.guest_manager("processManager"), "StartProgramInGuest",
                         f'<vm type="VirtualMachine">{vm}</vm>{self.auth(password)}<spec><programPath>{escape(program)}</programPath>'
                         f"<arguments>{escape(arguments)}</arguments></spec>")[0].text

    def run(self, vm, program, arguments="", password="template"):
        """Runs a program in the guest to its end; its exit code."""
        pid = self.start(vm, program, arguments, password)
        while True:
            info = self.call(self.guest_manager("processManager"), "ListProcessesInGuest",
                             f'<vm type="VirtualMachine">{vm}</vm>{self.auth(password)}<pids>{pid}</pids>')[0]
            if text(info, "endTime"):
                return int(text(info, "exitCode"))
            time.sleep(0.02)

    def address_guest(self, vm, address, password="template"):
        """Gives a guest a static address through Tools, as the controller would."""
        lines = f"auto eth0\niface eth0 inet static\n  address {address}/16\n  gateway 10.213.0.1\n"
        assert self.put(vm, "/etc/network/interfaces.d/eth0", lines.encode(), password=password) == 200
        assert self.run(vm, "/usr/sbin/ifup", "eth0 2>/run/ifup.err", password) == 0
