#!/usr/bin/env bash
# lab: --esxi 1
# A dead service comes back at once and is told of; one that cannot be started is given up, with one mail (MON-1, MON-2, P25).
. "$(dirname "$0")/lib.sh"

cat >"$DROVER_LAB/type.toml" <<'EOF'
[[type]]
name = "owned"
template = "tpl-web"
guest_user = "root"
owners = ["ops@lab"]
  [[type.service]]
  name = "web"
  pid_file = "/run/web.pid"
  command_line = "http\\.server 80"
  start_command = "/etc/init.d/web start"
  stop_command = "/etc/init.d/web stop"
EOF
must "a type with somebody to be told" drover type add -f "$DROVER_LAB/type.toml" --guest-password-stdin <<<template
must "create" create watched owned 10.213.54.1
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

say "an ordered power-off or restart is no outage, and nobody gets a mail"
mails() { lab mail | grep -c .; }
before=$(outages) mails_before=$(mails)
running_again() { is watched agent_state connected && state_is STATE_RUNNING; }
must "restart" drover vm power restart watched
eventually "it runs again" running_again
must "off" drover vm power off watched
must "on" drover vm power on watched
eventually "it runs again" running_again
# What the agent would have to tell of the time before comes ahead of this.
must "an order the agent answers" drover service restart watched --service "$service"
[ "$(outages)" = "$before" ] || fail "an ordered power-off was told as an outage: $(drover event list --vm watched -o json)"
[ "$(mails)" = "$mails_before" ] || fail "an ordered power-off was mailed: $(lab mail)"
checks=$((checks + 2))

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

say "deleting is no outage either"
before=$(outages) mails_before=$(mails)
must "delete" drover vm delete watched --yes
[ "$(outages)" = "$before" ] || fail "deleting was told as an outage"
[ "$(mails)" = "$mails_before" ] || fail "deleting was mailed"
checks=$((checks + 2))
nothing_left
passed
