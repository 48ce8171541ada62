#!/usr/bin/env bash
# lab: --esxi 1
# A copy never impersonates its template, even when the template holds an enrolled agent's key (P4).
. "$(dirname "$0")/lib.sh"

must "create" create origin web 10.213.56.1
eventually "agent" is origin agent_state connected
must "off" drover vm power off origin
printf '[[type]]\nname = "infected"\ntemplate = "origin"\nguest_user = "root"\n' >"$DROVER_LAB/type.toml"
must "a type whose template is a VM with an enrolled agent" drover type add -f "$DROVER_LAB/type.toml" --guest-password-stdin <<<template
names=""
for i in 1 2 3 4 5; do
  must "copy $i" create "copy-$i" infected "10.213.56.$((10 + i))"
  names="$names copy-$i"
done
for vm in $names; do eventually "$vm" is "$vm" agent_state connected; done
must "origin on" drover vm power on origin
eventually "origin is itself" is origin agent_state connected
for vm in $names; do is "$vm" agent_state connected || fail "$vm lost its identity"; done
keys=$(for vm in origin $names; do lab guest "$vm" -- sha256sum /var/lib/drover-agent/key.pem | cut -d' ' -f1; done | sort -u | wc -l)
[ "$keys" = 6 ] || fail "six VMs have $keys keys"

say "an identity that is carried to another machine is quarantined"
lab guest origin -- tar -C / -cf - var/lib/drover-agent etc/drover | lab guest copy-1 -- sh -c 'pkill -9 drover-agent; rm -rf /var/lib/drover-agent /etc/drover; tar -C / -xf -'
lab guest copy-1 -- sh -c 'drover-agent setup --config /etc/drover/agent.toml || /usr/local/sbin/drover-agent setup --config /etc/drover/agent.toml'
eventually "the quarantine is told" sh -c "drover event list -o json | grep -q agent.quarantined"

must "delete" drover vm delete origin 'copy-*' --yes
nothing_left
passed
