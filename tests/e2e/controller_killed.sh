#!/usr/bin/env bash
# lab: --esxi 1
# kill -9 of the controller at every step of a creation, then a restart: the VM is whole, or nothing is left (P3, P8, OPS-1).
. "$(dirname "$0")/lib.sh"

settled() { [ -n "$(drover op list -q)" ] && ! drover op list -o json | grep -qE '"state": "STATE_(QUEUED|RUNNING|UNDOING)"'; }
# Index of the step that runs, of the newest operation.
step_of() {
  drover op show "$1" -o json | python3 -c '
import json, sys
operation = json.load(sys.stdin)
steps = operation.get("steps", [])
done = sum(step["state"] == "STATE_DONE" for step in steps)
print(done if operation["state"] in ("STATE_QUEUED", "STATE_RUNNING") else len(steps))'
}

must "a creation to count the steps of" create count web 10.213.53.1
steps=$(drover op list -o json | python3 -c 'import json,sys; print(max(len(o.get("steps", [])) for o in json.load(sys.stdin)["operations"]))')
must "delete" drover vm delete count --yes
nothing_left
[ "$steps" -ge 5 ] || fail "a creation has only $steps steps"

for ((kill_at = 0; kill_at < steps; kill_at++)); do
  vm=crash-$kill_at
  say "kill at step $kill_at of $steps"
  operation=$(drover vm create "$vm" --env test --type web --ip "10.213.53.$((kill_at + 10))" --netmask 255.255.0.0 \
    --gateway 10.213.0.1 --detach -q) || fail "create"
  while [ "$(step_of "$operation")" -lt "$kill_at" ]; do :; done
  must "kill" lab controller kill
  must "start" lab controller start
  eventually "the operation ended" settled
  if [ -n "$(drover vm list -q --search "$vm")" ]; then
    eventually "$vm is whole" is "$vm" agent_state connected
    [ "$(lab guest "$vm" -- hostname)" = "$vm" ] || fail "$vm does not run where it should"
    must "delete" drover vm delete "$vm" --yes
  else
    drover op show "$operation" -o json | grep -qE 'STATE_(FAILED|CANCELLED)' || fail "$vm is gone and its operation does not say so"
  fi
  nothing_left
done
must "the log is whole" drover log verify
passed
