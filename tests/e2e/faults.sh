#!/usr/bin/env bash
# lab: --esxi 2 --config guest.tools_seconds=3 --config guest.agent_seconds=6
# What goes wrong in the middle of a creation ends in a clear, logged error, and leaves nothing (VM-1, P3).
. "$(dirname "$0")/lib.sh"

number=0
# fails REASON TEXT TYPE IP [ARG...]: a creation on esxi1 that fails by this reason and text; afterwards all is as before.
fails() {
  local reason=$1 text=$2 type=$3 ip=$4
  shift 4
  number=$((number + 1))
  refused 1 "$text" drover vm create "broken-$number" --env test --type "$type" --ip "$ip" --hypervisor esxi1 "$@"
  drover operation list --of "vms/broken-$number" -o json | grep -q "\"reason\": \"$reason\"" || fail "broken-$number does not fail by $reason"
  drover log search --text "broken-$number" -o json | grep -q '"LOG_KIND_ERROR"' || fail "no error entry for broken-$number"
  checks=$((checks + 2))
  lab faults esxi1 clear >/dev/null
  nothing_left
}
network=(--netmask 255.255.0.0 --gateway 10.213.0.1)
faulty() { # METHOD FAULT REASON TEXT
  say "$1 $2"
  lab fault esxi1 "$1" "$2" >/dev/null || fail "no such fault: $1 $2"
  fails "$3" "$4" web "10.213.52.$((number + 1))" "${network[@]}"
}
faulty CopyVirtualDisk_Task NoDiskSpace NO_SPACE 'datastore is full'
faulty CopyVirtualDisk_Task FileLocked FILE_LOCKED 'in use'
faulty CreateVM_Task AlreadyExists VM_NAME_TAKEN 'exists already'
faulty PowerOnVM_Task InsufficientResourcesFault HOST_FULL 'not enough processor or memory'
faulty StartProgramInGuest GuestPermissionDenied GUEST_PERMISSION 'lacks rights'

say "a folder of the same name is on the datastore already"
folder=$(dirname "$(find "$DROVER_LAB/hosts/esxi1" -path '*/tpl-web/tpl-web.vmdk' -print -quit)")/../strange
mkdir "$folder" && echo precious >"$folder/strange.vmdk"
refused '[15]' 'exists|in the way' drover vm create strange --env test --type web --ip 10.213.52.60 --hypervisor esxi1 "${network[@]}"
[ "$(cat "$folder/strange.vmdk")" = precious ] || fail "somebody else's file was touched"
rm -r "$folder"
nothing_left

say "no room"
lab set esxi1 free 1000000 >/dev/null
refused 1 'GB free.*needs' drover vm create roomy --env test --type web --ip 10.213.52.61 --hypervisor esxi1 "${network[@]}"
lab set esxi1 free '' >/dev/null
nothing_left

say "the guest's password is another one"
printf '[[type]]\nname = "locked"\ntemplate = "tpl-web"\nguest_user = "root"\n' >"$DROVER_LAB/type.toml"
must "a type with a wrong password" drover type add -f "$DROVER_LAB/type.toml" --guest-password-stdin <<<"not-the-password"
fails GUEST_LOGIN_REFUSED 'password' locked 10.213.52.62 "${network[@]}"

say "VMware Tools never run"
lab set esxi1 tools off >/dev/null
fails TOOLS_NOT_RUNNING 'Tools' web 10.213.52.63 "${network[@]}"
lab set esxi1 tools on >/dev/null

say "the agent never connects: its network does not reach the controller"
fails AGENT_NOT_CONNECTED 'did not connect.*agent address' web 10.99.0.5 --netmask 255.255.255.0 --gateway 10.99.0.1

say "the address belongs to a stranger that answers ping"
ip addr add 10.213.52.64/16 dev br0
refused 5 '10\.213\.52\.64 answers.*none of the hypervisors' drover vm create stranger --env test --type web --ip 10.213.52.64 \
  --hypervisor esxi1 "${network[@]}"
ip addr del 10.213.52.64/16 dev br0
nothing_left

say "the same name and address work after a failure"
must "create" create broken-1 web 10.213.52.1 --hypervisor esxi1
must "delete" drover vm delete broken-1 --yes
nothing_left

for loss in "kill start" "cut heal"; do
  say "the host in the middle of a copy: $loss"
  lab set esxi1 copy-rate 100000 >/dev/null
  operation=$(drover vm create lost --env test --type web --ip 10.213.52.40 "${network[@]}" --hypervisor esxi1 --detach -q) || fail "create"
  copying() { drover operation show "$operation" -o json | grep -q 'copying disk'; }
  eventually "the copy runs" copying
  must "away" lab esxi esxi1 "${loss% *}"
  lost() { drover hypervisor show esxi1 -o json | grep -q STATE_UNREACHABLE; }
  eventually "the loss is seen" lost
  must "back" lab esxi esxi1 "${loss#* }"
  lab set esxi1 copy-rate 0 >/dev/null
  eventually "the operation came to an end" settled
  if [ -n "$(drover vm list -q)" ]; then
    eventually "the VM is whole" is lost agent_state connected
    must "delete" drover vm delete lost --yes
  fi
  nothing_left
done
passed
