#!/usr/bin/env bash
# lab: --esxi 2 --vcenter
# Power, hardware, import and forget, loss of a host, and an estate that leaves its hosts' sessions alone (ENV-2, VM-4, VM-6..8, P24).
. "$(dirname "$0")/lib.sh"

must "create" create box web 10.213.55.1 --hypervisor esxi1
eventually "agent" is box agent_state connected

say "power"
must "off" drover vm power off box
eventually "off" is box power off
eventually "unreachable" is box reachability down
must "off again changes nothing" drover vm power off box

say "hardware"
must "set hardware" drover vm set-hardware box --cpus 2 --memory 1024
[ "$(drover vm show box -o json | python3 -c 'import json,sys; vm=json.load(sys.stdin); print(vm["cpus"], vm["memoryMb"])')" = "2 1024" ] ||
  fail "the hardware is not as asked"
must "restart of an environment starts what is off" drover env power restart test
eventually "agent back" is box agent_state connected
eventually "reachable" is box reachability up

say "changes made elsewhere are seen"
must "power off inside the guest" lab guest box -- poweroff
eventually "seen as off" is box power off
must "on" drover vm power on box
eventually "agent back" is box agent_state connected

say "forget and import"
must "forget" drover vm forget box --yes
[ -z "$(drover vm list -q)" ] || fail "forgotten, and still there"
object=$(drover vm unmanaged --hypervisor esxi1 -o json | python3 -c 'import json,sys; print(next(v["hypervisorObject"] for v in json.load(sys.stdin)["vms"] if v["displayName"] == "box"))')
must "import" drover vm import box --hypervisor esxi1 --object "$object" --env test --type web
eventually "power known" is box power on

say "a host is cut off and healed"
must "cut" lab esxi esxi1 cut
eventually "the loss is told" sh -c "drover event list -o json | grep -q hypervisor.lost"
must "heal" lab esxi esxi1 heal
eventually "it is back" sh -c "drover hypervisor show esxi1 -o json | grep -q STATE_CONNECTED"

must "delete" drover vm delete box --yes
nothing_left
say "sessions"
for host in esxi1 esxi2 vcenter1; do
  sessions=$(lab sessions $host | grep -c .)
  [ "$sessions" -le 2 ] || fail "$sessions sessions are open on $host"
  checks=$((checks + 1))
done
passed
