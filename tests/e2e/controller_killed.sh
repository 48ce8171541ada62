#!/usr/bin/env bash
# lab: --esxi 1
# kill -9 of the controller again and again while VMs are created and deleted: each VM is whole, or nothing of it is left (P3, P8, P24, OPS-1).
. "$(dirname "$0")/lib.sh"

vms=8
kills=10
# Prints how many operations are at which step, e.g. "3 copy the template, 1 power on"; ends 1 when none is open.
open_steps() {
  drover operation list -o json --state queued --state running --state undoing | python3 -c '
import collections, json, sys
steps = collections.Counter()
for operation in json.load(sys.stdin)["operations"]:
    todo = [step["title"] for step in operation.get("steps", []) if step["state"] not in ("STATE_DONE", "STATE_SKIPPED")]
    steps[todo[0] if todo else "end"] += 1
print(", ".join(f"{count} {title}" for title, count in steps.items()))
sys.exit(not steps)'
}
# killed WHAT: the controller dies and comes back until nothing is open, at least once.
killed() {
  local what=$1 times=0 steps
  while steps=$(open_steps) && [ $times -lt $kills ]; do
    times=$((times + 1))
    say "$what: kill $times at: $steps"
    must "kill" lab controller kill
    must "start" lab controller start
    # It comes a little further each time before it dies again.
    sleep "0.$times"
  done
  [ $times -gt 0 ] || fail "$what was over before the first kill"
  eventually "$what: all operations have ended" settled
}

# Copies take a second, two at a time, and Tools come late: the creations are at different steps all the time.
lab set esxi1 copy-rate 2500000 >/dev/null
lab set esxi1 tools-delay 1 >/dev/null
cat >"$DROVER_LAB/crash.toml" <<EOF
environment = "crash"
address_pool = ["10.213.53.10-10.213.53.99"]
[network]
netmask = "255.255.0.0"
gateway = "10.213.0.1"
[[group]]
type = "web"
count = $vms
EOF
creation=$(drover apply -f "$DROVER_LAB/crash.toml" --yes --detach -q) || fail "apply"
killed "creation"
outcomes=$(drover operation show "$creation" -o json | python3 -c '
import json, sys
for target in json.load(sys.stdin)["targets"]:
    print(target["vm"].removeprefix("vms/"), target["state"])')
[ "$(wc -l <<<"$outcomes")" = "$vms" ] || fail "the creation does not tell of each VM: $outcomes"
whole=0
while read -r vm state; do
  if [ -n "$(drover vm list -q --search "$vm")" ]; then
    [ "$state" = STATE_SUCCEEDED ] || fail "$vm is there and its operation says $state"
    eventually "$vm is whole" is "$vm" agent_state connected
    [ "$(lab guest "$vm" -- hostname </dev/null)" = "$vm" ] || fail "$vm does not run where it should"
    whole=$((whole + 1))
  else
    [ "$state" = STATE_FAILED ] || fail "$vm is gone and its operation says $state"
  fi
done <<<"$outcomes"
[ $whole -gt 0 ] || fail "not one VM came through"

say "deletion"
lab fault esxi1 Destroy_Task delay --times 0 --delay 0.5 --task >/dev/null
drover env delete crash --confirm crash --detach -q >/dev/null || fail "delete"
killed "deletion"
lab faults esxi1 clear >/dev/null
nothing_left
must "the log is whole" drover log verify

say "dead controllers leave no sessions on the host"
sessions=$(lab sessions esxi1 | grep -c .)
[ "$sessions" -le 2 ] || fail "$sessions sessions are open on esxi1"
passed
