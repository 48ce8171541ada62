#!/usr/bin/env bash
# lab: --esxi 1
# Owners are told: a service given up and its return, in their language; a host that is cut off is one mail, both sides know of the silence (MON-2, P9, P25).
. "$(dirname "$0")/lib.sh"

must "a type with two owners" owned_type ops@lab.example li@lab.example
must "one of them reads Chinese" drover user add li --role administrator --mail li@lab.example --language zh-CN --password-stdin <<<"a long password 4711"
must "create" create told-1 owned 10.213.55.1
must "create" create told-2 owned 10.213.55.2
eventually "agent" is told-1 agent_state connected
eventually "agent" is told-2 agent_state connected

say "the platform tells how it is, and whether mail arrives"
must "test mail" drover mail test ops@lab.example
must "it is there" mailed ops@lab.example "test mail"
drover doctor -o json >"$DROVER_LAB/doctor.json"
for check in store disk clock hypervisors agents mail sweep operations log; do
  grep -q "\"name\": \"$check\"" "$DROVER_LAB/doctor.json" || fail "no check of $check"
done
checks=$((checks + 1))

say "a service that cannot be started again"
must "its start is away" lab guest told-1 -- mv /etc/init.d/web /etc/init.d/web.away
must "kill" lab guest told-1 -- sh -c 'kill -9 $(cat /run/web.pid)'
eventually "told" mailed ops@lab.example "[Drover] given up: web on told-1 (10.213.55.1)"
eventually "told in Chinese" mailed li@lab.example "放弃重启"
must "its start is back" lab guest told-1 -- mv /etc/init.d/web.away /etc/init.d/web
must "start" drover service start told-1
eventually "its return is told" mailed ops@lab.example "[Drover] recovered: web on told-1"
[ "$(mails_to ops@lab.example | grep -c told-1)" = 2 ] || fail "not two mails about it: $(mails_to ops@lab.example)"
checks=$((checks + 1))

say "the network is cut both ways, silently"
must "cut" lab esxi esxi1 cut
began=$SECONDS
eventually "the controller knows" is told-1 agent_state contact-lost
eventually "of both" is told-2 agent_state contact-lost
unlinked() { ! lab guest told-1 -- sh -c "grep -qi ' 0100D50A:20FC 01 ' /proc/net/tcp"; }
eventually "the agent knows" unlinked
took=$((SECONDS - began))
# Half a minute, and time for looking on a busy machine; the network itself would need many minutes.
[ $took -le 45 ] || fail "both sides knew after $took s only"
eventually "the host is told" mailed ops@lab.example "[Drover] host down: esxi1"
must "heal" lab esxi esxi1 heal
eventually "they are back" is told-1 agent_state connected
eventually "both" is told-2 agent_state connected
eventually "the host's return is told" mailed ops@lab.example "[Drover] host back: esxi1"
if mails_to ops@lab.example | grep -q unreachable; then fail "VMs were told beside their host: $(mails_to ops@lab.example)"; fi
checks=$((checks + 1))

must "delete" drover vm delete told-1 told-2 --yes
nothing_left
passed
