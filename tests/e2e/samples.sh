#!/usr/bin/env bash
# lab: --esxi 1 --config agents.sample_seconds=1
# What VMs use: from their agents, from the host where there is none; kept through the death of the controller, gaps as gaps (MON-5, DASH-4).
. "$(dirname "$0")/lib.sh"

points() { drover vm samples used -o json "$@" | python3 -c 'import json,sys; print(len(json.load(sys.stdin).get("points", [])))'; }
value() { drover vm samples used -o json | python3 -c "import json,sys; print(json.load(sys.stdin).get('$1', ''))"; }
at_least() { [ "$(points)" -ge "$1" ]; }
source_is() { [ "$(value source)" = "$1" ]; }
gaps() { drover vm samples used --points 10000 -o json | python3 -c 'import json,sys; print(sum(p.get("afterGap", False) for p in json.load(sys.stdin)["points"]))'; }
has_gap() { [ "$(gaps)" -ge 1 ]; }

must "create" create used web 10.213.56.1
eventually "agent" is used agent_state connected

say "samples of the agent"
eventually "samples" at_least 2
source_is agent || fail "they come from $(value source)"
must "memory of the whole machine" test "$(value memoryTotalMb)" -gt 0
must "work to be seen" lab guest used -- sh -c 'timeout 8 sh -c "while :; do :; done" & exit 0'
busy() { [ "$(drover vm top --once -o json | python3 -c 'import json,sys; print(int(json.load(sys.stdin)["vms"][0].get("cpuPercent", 0) > 20))')" = 1 ]; }
eventually "top shows it" busy
must "as a table" sh -c "drover vm top --once | grep -q used"
refused '[^0]' "after" drover vm samples used --since 1h --until 2h

say "at most as many points as asked for"
eventually "some more" at_least 3
[ "$(points --points 2)" -le 2 ] || fail "$(points --points 2) points instead of 2"

say "kept through kill -9"
before=$(points)
must "kill" lab controller kill
must "start" lab controller start
at_least $((before - 2)) || fail "$before points before, $(points) after"

say "from the host where the agent is away"
# shellcheck disable=SC2016
must "an agent that does not come again" lab guest used -- sh -c 'mv /usr/local/sbin/drover-agent /usr/local/sbin/away; for exe in /proc/[0-9]*/exe; do case $(readlink $exe) in */away*) p=${exe%/exe}; kill -9 ${p#/proc/} ;; esac; done; exit 0'
eventually "contact is lost" is used agent_state contact-lost
eventually "samples of the host" source_is hypervisor

say "off is a gap"
must "off" drover vm power off used
off_at=$SECONDS
a_minute_later() { [ $SECONDS -ge $((off_at + 60)) ]; }
eventually "a minute without samples" a_minute_later
must "on" drover vm power on used
eventually "samples again, with a gap before them" has_gap
must "delete" drover vm delete used --yes
nothing_left
passed
