#!/usr/bin/env bash
# lab: --esxi 1
# A dead service comes back at once and is told of; one that cannot be started is given up, with one mail (MON-1, MON-2, P25).
. "$(dirname "$0")/lib.sh"

must "create" create watched web 10.213.54.1
eventually "agent" is watched agent_state connected
pid() { drover service list watched -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["vms"][0]["services"][0].get("pid", 0))'; }
state() { drover service list watched -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["vms"][0]["services"][0]["state"])'; }
state_is() { [ "$(state)" = "$1" ]; }
eventually "running" state_is STATE_RUNNING
service=$(drover service list watched -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["vms"][0]["services"][0]["name"])')

say "kill -9"
old=$(pid)
must "kill" lab guest watched -- kill -9 "$old"
came_back() { state_is STATE_RUNNING && [ "$(pid)" != "$old" ]; }
eventually "it came back" came_back
eventually "the recovery is told" sh -c "drover event list --vm watched -o json | grep -q service.recovered"

say "a stop that was ordered is no outage"
outages() { drover event list --vm watched -o json | grep -c service.died; }
before=$(outages)
must "stop" drover service stop watched --service "$service"
eventually "stopped" state_is STATE_STOPPED
must "start" drover service start watched --service "$service"
eventually "running" state_is STATE_RUNNING
[ "$(outages)" = "$before" ] || fail "an ordered stop was told as an outage"

say "supervision goes on without the controller, and is told later, once"
old=$(pid)
must "kill the controller" lab controller kill
must "kill the service" lab guest watched -- kill -9 "$old"
successor() { lab guest watched -- sh -c "ls /proc/$old >/dev/null 2>&1 && exit 1; true"; }
eventually "the dead one is gone" successor
must "start the controller" lab controller start
eventually "it came back" came_back
told() { [ "$(outages)" = $((before + 1)) ]; }
eventually "the outage is told once" told

must "delete" drover vm delete watched --yes
nothing_left
passed
