#!/usr/bin/env bash
# lab: --esxi 2
# What goes wrong in the middle of a creation ends in a clear, logged error, and leaves nothing (VM-1, P3).
. "$(dirname "$0")/lib.sh"

# fails FAULT-METHOD FAULT CODE TEXT: a creation under this fault.
number=0
fails() {
  local method=$1 fault=$2 code=$3 text=$4
  number=$((number + 1))
  say "$method $fault"
  lab fault esxi1 "$method" "$fault" >/dev/null || fail "no such fault: $method $fault"
  refused "$code" "$text" create "broken-$number" web "10.213.52.$number" --hypervisor esxi1
  lab faults esxi1 clear >/dev/null
  nothing_left
  drover log search --text "broken-$number" -o json | grep -q '"LOG_KIND_ERROR"' || fail "no error entry for broken-$number"
  checks=$((checks + 1))
}
fails CopyVirtualDisk_Task NoDiskSpace '[1-9]' 'space'
fails CreateVM_Task AlreadyExists '[1-9]' 'exists|taken'
fails CopyVirtualDisk_Task FileAlreadyExists '[1-9]' 'exists'
fails PowerOnVM_Task InsufficientResourcesFault '[1-9]' 'resources'
fails StartProgramInGuest InvalidGuestLogin '[1-9]' 'guest'

say "the same name and address work after each failure"
must "create" create broken-1 web 10.213.52.1 --hypervisor esxi1
must "delete" drover vm delete broken-1 --yes
nothing_left

say "the host dies in the middle"
drover vm create lost --env test --type web --ip 10.213.52.40 --netmask 255.255.0.0 --gateway 10.213.0.1 --hypervisor esxi1 --detach >/dev/null
eventually "the creation runs" sh -c "drover op list -o json | grep -q STATE_RUNNING"
must "kill esxi1" lab esxi esxi1 kill
eventually "the loss is seen" sh -c "drover event list -o json | grep -q hypervisor.lost"
must "start esxi1" lab esxi esxi1 start
settled() { ! drover op list -o json | grep -qE 'STATE_(QUEUED|RUNNING|UNDOING)"'; }
eventually "the operation came to an end" settled
if [ -n "$(drover vm list -q)" ]; then
  eventually "the VM is whole" is lost agent_state connected
  must "delete" drover vm delete lost --yes
fi
nothing_left
passed
