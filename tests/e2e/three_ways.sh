#!/usr/bin/env bash
# lab: --esxi 1 --vcenter --free-esxi
# The same request on a licensed ESXi, a vCenter and a free ESXi gives the same VM record, and no disk data passes through the
# controller (VM-2, P1).
. "$(dirname "$0")/lib.sh"

for host in esxi1 vcenter1 free1; do lab bytes $host --reset >/dev/null; done
address=10
for host in esxi1 vcenter1 free1; do
  say "create on $host"
  must "create on $host" create "way-$host" web "10.213.50.$((address++))" --hypervisor $host --remark "same"
done

# The records, without what must differ: identity, place, address and times.
record() {
  drover vm show "$1" -o json | python3 -c '
import json, sys
vm = json.load(sys.stdin)
for key in ("name", "uid", "hypervisor", "datastore", "hypervisorObject", "biosUuid", "instanceUuid", "createTime", "agentLastSeen",
            "cpuPercent", "memoryUsedMb", "diskUsedMb", "reportedIp"):
    vm.pop(key, None)
vm["network"]["ip"] = ""
for service in vm["services"]:
    for key in ("pid", "since"):
        service.pop(key, None)
print(json.dumps(vm, indent=1, sort_keys=True))'
}
for host in esxi1 vcenter1 free1; do
  eventually "the agent on $host" is "way-$host" agent_state connected
  eventually "way-$host answers" is "way-$host" reachability up
  eventually "the service of way-$host" sh -c "drover service list way-$host -o json | grep -q STATE_RUNNING"
done
reference=$(record way-esxi1)
for host in vcenter1 free1; do
  [ "$(record "way-$host")" = "$reference" ] || {
    diff <(echo "$reference") <(record "way-$host")
    fail "the record of way-$host differs from way-esxi1's"
  }
  checks=$((checks + 1))
done

say "disk data through the controller"
for host in esxi1 vcenter1 free1; do
  bytes=$(lab bytes $host | sed -n 's/^disk //p')
  echo "$host: $bytes bytes"
  [ "$bytes" -lt 1000000 ] || fail "$bytes bytes of disk data crossed for $host"
  checks=$((checks + 1))
done

must "delete" drover vm delete 'way-*' --yes
nothing_left
passed
