#!/usr/bin/env bash
# lab: --esxi 1
# A copy never impersonates its template, nor harms it, even when the template holds an enrolled agent's key (P4).
. "$(dirname "$0")/lib.sh"

must "create" create origin web 10.213.56.1
# A copy's boot is slow: it brings up the address of its template in the midst of Drover setting the copy's own.
lab guest origin -- sh -c 'rm -f /etc/network/interfaces.before-drover; cat >/usr/local/bin/cp; chmod 755 /usr/local/bin/cp' <<'END'
#!/bin/sh
case "$*" in */etc/network/interfaces.before-drover) ifup -a ;; esac
exec /bin/cp "$@"
END
must "off" drover vm power off origin
printf '[[type]]\nname = "infected"\ntemplate = "origin"\nguest_user = "root"\n' >"$DROVER_LAB/type.toml"
must "a type whose template is a VM with an enrolled agent" drover type add -f "$DROVER_LAB/type.toml" --guest-password-stdin <<<template
say "a VM of Drover's own is no template that is taken unasked"
refused 5 'hypervisor is named' create copy-0 infected 10.213.56.10

vms=origin
for i in 1 2 3 4 5; do
  must "copy $i" create "copy-$i" infected "10.213.56.$((10 + i))" --hypervisor esxi1
  vms="$vms copy-$i"
done
must "origin on" drover vm power on origin
for vm in $vms; do eventually "$vm is connected" is "$vm" agent_state connected; done
certificates=$(for vm in $vms; do lab guest "$vm" -- sha256sum /var/lib/drover-agent/identity.pem | cut -d' ' -f1; done | sort -u | wc -l)
[ "$certificates" = 6 ] || fail "six VMs have $certificates certificates"
for i in 1 2 3 4 5; do
  addresses=$(lab guest "copy-$i" -- ip -4 -o addr show scope global | awk '{print $4}')
  [ "$addresses" = "10.213.56.$((10 + i))/16" ] || fail "copy-$i has the addresses $addresses"
  lab guest "copy-$i" -- test -e /etc/network/interfaces.before-drover || fail "the boot of copy-$i did not come between"
done
for vm in $vms; do [ "$(lab guest "$vm" -- hostname)" = "$vm" ] || fail "$vm has another's name"; done

say "an identity that is carried to another machine is quarantined, and its VM stays"
must "another machine" create thief web 10.213.56.30
quarantines() { drover event list --kind agent.quarantined --vm origin -q | grep -c .; }
before=$(quarantines)
lab guest origin -- tar -C / -cf - var/lib/drover-agent >"$DROVER_LAB/carried.tar" || fail "the identity cannot be read"
lab guest thief -- sh -c 'kill -9 $(pidof drover-agent); rm -rf /var/lib/drover-agent; tar -C / -xf -; exec /usr/local/sbin/drover-agent setup --config /etc/drover/agent.toml' \
  <"$DROVER_LAB/carried.tar"
quarantined() { [ "$(quarantines)" = $((before + 1)) ]; }
eventually "the quarantine is told, once" quarantined
drover log search --vm origin -o json | grep -q 'quarantine agent' || fail "the quarantine is not in the log"
eventually "the thief's own VM has lost its agent" is thief agent_state contact-lost
must "origin still obeys" drover service restart origin --service web
is origin agent_state connected || fail "origin has lost its agent"

must "delete" drover vm delete thief $vms --yes
nothing_left
passed
