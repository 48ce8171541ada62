#!/usr/bin/env bash
# lab: --esxi 1 --config guest.tools_seconds=20
# A VM's network is changed with a way back: by its agent, through VMware Tools where that is silent; whatever dies in the window (VM-5, P10, P11).
. "$(dirname "$0")/lib.sh"

guest_ip() { lab guest net -- ip -4 -o addr show dev eth0 scope global | sed -n 's/.* inet \([0-9.]*\)\/.*/\1/p'; }
guest_has() { [ "$(guest_ip)" = "$1" ]; }
file_says() { lab guest net -- cat /etc/network/interfaces | grep -q "address $1\$"; }
agent_is() { is net agent_state "$1"; }
# Everything is as it was: guest, files, inventory, and nobody else holds anything.
as_before() { guest_has "$1" && file_says "$1" && is net network.ip "$1" && agent_is connected; }
change() { drover vm set-network net --ip "$1" --netmask 255.255.0.0 --gateway "${2-10.213.0.1}" --dns1 10.213.0.1 "${@:3}"; }
# The agent and its keeper, which would start it again.
kill_agent() {
  # shellcheck disable=SC2016
  lab guest net -- sh -c 'again=yes; while [ $again = yes ]; do again=no; for exe in /proc/[0-9]*/exe; do
    case $(readlink "$exe") in *drover-agent*) p=${exe%/exe}; kill -9 "${p#/proc/}"; again=yes ;; esac; done; done'
}

must "create" create net web 10.213.55.1
eventually "agent" agent_is connected

say "a good change confirms itself"
must "change" change 10.213.55.2 10.213.0.1 --deadline 60s
as_before 10.213.55.2 || fail "after the change: guest $(guest_ip), inventory $(field net network.ip)"
must "name server" lab guest net -- grep -qx "nameserver 10.213.0.1" /etc/resolv.conf
refused 1 "." ping -c1 -W1 10.213.55.1
must "the old address is free" create second web 10.213.55.1
must "it goes" drover vm delete second --yes

say "what cannot be good is refused before anything happens"
refused '[^0]' "not in the network" change 10.213.55.3 10.99.0.1
must "a stranger" ip addr add 10.213.55.99/16 dev br0
refused '[^0]' "answers pings" change 10.213.55.99
as_before 10.213.55.2 || fail "a refused change has changed something"

say "an address that somebody has who answers no ping: the agent asks the network"
echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all
refused '[^0]' "another machine" change 10.213.55.99
echo 0 >/proc/sys/net/ipv4/icmp_echo_ignore_all
as_before 10.213.55.2 || fail "a duplicate address has changed something"

say "a gateway that is not there comes back, though the controller is in the same network"
refused '[^0]' "gateway 10.213.99.99 does not answer" change 10.213.55.4 10.213.99.99 --deadline 10s
eventually "as before" as_before 10.213.55.2
must "it is told" sh -c "drover event list --vm net -o json | grep -q network.put_back"

say "a netmask that cuts the controller off comes back"
refused '[^0]' "could not be reached" drover vm set-network net --ip 10.213.55.5 --netmask 255.255.255.252 --deadline 10s
eventually "as before" as_before 10.213.55.2

say "the agent is killed in the window: it comes back all the same"
must "order" drover vm set-network net --ip 10.213.55.5 --netmask 255.255.255.252 --deadline 20s --detach
eventually "the new address" guest_has 10.213.55.5
must "kill the agent" kill_agent
must "an agent" lab guest net -- sh -c '/usr/local/sbin/drover-agent setup --config /etc/drover/agent.toml'
eventually "as before" as_before 10.213.55.2
eventually "the operation has ended" settled

say "the machine restarts in the window: it comes back all the same"
must "order" drover vm set-network net --ip 10.213.55.5 --netmask 255.255.255.252 --deadline 30s --detach
eventually "the new address" guest_has 10.213.55.5
must "restart" lab guest net -- sh -c 'reboot >/dev/null 2>&1 &'
eventually "as before" as_before 10.213.55.2
eventually "the operation has ended" settled

say "the controller is killed in the middle of a good change"
must "order" change 10.213.55.6 10.213.0.1 --detach
must "kill" lab controller kill
must "start" lab controller start
eventually "the operation has ended" settled
eventually "it is so, whole" sh -c "drover vm list -q >/dev/null"
now=$(guest_ip)
eventually "guest and inventory say the same" as_before "$now"

say "the host's cable is pulled while it waits"
must "order" change 10.213.55.7 10.213.0.1 --deadline 15s --detach
must "cut" lab esxi esxi1 cut
eventually "back by itself, with nobody to talk to" guest_has "$now"
must "heal" lab esxi esxi1 heal
eventually "the operation has ended" settled
eventually "one of the two, whole" sh -c "drover vm list --search net -o csv --no-headers --columns agent_state | grep -q connected"
now=$(guest_ip)
eventually "guest and inventory say the same" as_before "$now"

say "a silent agent: the same change through VMware Tools"
must "kill the agent" kill_agent
eventually "contact is lost" agent_is contact-lost
must "change" change 10.213.55.8
guest_has 10.213.55.8 || fail "VMware Tools did not change it: $(guest_ip)"
must "it is in the log" sh -c "drover log search -o json | grep -q 'change network through VMware Tools'"
refused '[^0]' "does not answer pings" drover vm set-network net --ip 10.213.55.9 --netmask 255.255.255.252 --deadline 10s
guest_has 10.213.55.8 || fail "VMware Tools did not put it back: $(guest_ip)"

say "repair: the agent is started again, and the network set where it is another"
must "a wrong address, by hand" lab guest net -- sh -c 'ip addr flush dev eth0; ip addr add 10.77.0.1/24 dev eth0'
must "repair" drover vm repair net
eventually "as before" as_before 10.213.55.8
refused '[^0]' "nothing to repair" drover vm repair net
must "an agent installed again" drover vm repair net --reinstall-agent
eventually "agent" agent_is connected

say "without VMware Tools there is a clear reason"
must "kill the agent" kill_agent
eventually "contact is lost" agent_is contact-lost
must "no Tools" lab set esxi1 tools net
refused '[^0]' "neither by its agent nor by them" drover vm repair net
must "Tools" lab set esxi1 tools on
must "repair" drover vm repair net

say "passwords: by the agent, by VMware Tools, and never anywhere else"
must "by the agent" drover vm set-password net --password-stdin <<<canary-agent-1
shadow() { lab guest net -- grep ^root: /etc/shadow; }
first=$(shadow)
must "kill the agent" kill_agent
eventually "contact is lost" agent_is contact-lost
must "by VMware Tools, with the one the agent has set" drover vm set-password net --password-stdin <<<canary-tools-2
[ "$(shadow)" != "$first" ] || fail "the password is as before"
must "and with that one" drover vm repair net
must "nowhere in the open" sh -c "! grep -rlE 'canary-(agent-1|tools-2)' '$DROVER_LAB' --include=* 2>/dev/null | grep -v '\.vmdk' | grep ."
must "delete" drover vm delete net --yes
nothing_left
passed
