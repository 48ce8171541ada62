#!/usr/bin/env bash
# lab: --esxi 1 --free-esxi
# Requests that cannot work are refused with the reason, before anything is written (VM-1, P2, P3).
. "$(dirname "$0")/lib.sh"

must "a VM to collide with" create taken web 10.213.51.1 --hypervisor esxi1
kept=$(lab leftovers)
lab calls esxi1 --reset >/dev/null

say "names and addresses"
refused 5 'taken' create taken web 10.213.51.2 --hypervisor esxi1
refused 5 '10\.213\.51\.1.*taken|taken.*10\.213\.51\.1' create other web 10.213.51.1 --hypervisor esxi1
# The host itself answers a ping and is no VM of ours.
refused 5 '10\.213\.0\.2.*(answers|in use)' create stranger web 10.213.0.2 --hypervisor esxi1
refused 2 'ip' create odd web 10.213.51.999 --hypervisor esxi1
refused 2 'lower-case' create 'Bad_Name' web 10.213.51.3 --hypervisor esxi1
refused 2 'netmask' drover vm create odd --env test --type web --ip 10.213.51.3 --netmask 255.0.255.0 --gateway 10.213.0.1

say "things that are not there"
refused 3 'type' create other nosuchtype 10.213.51.3 --hypervisor esxi1
refused 3 'hypervisor' create other web 10.213.51.3 --hypervisor nosuchhost
refused 3 'environment' drover vm create other --env nosuch --type web --ip 10.213.51.3 --netmask 255.255.0.0 --gateway 10.213.0.1
add_type() { printf '[[type]]\nname = "%s"\ntemplate = "%s"\nguest_user = "root"\n' "$1" "$2" >"$DROVER_LAB/type.toml" && drover type add -f "$DROVER_LAB/type.toml" --guest-password-stdin; }
must "a type without its template" add_type ghost tpl-nowhere <<<"x"
refused 5 'tpl-nowhere' create other ghost 10.213.51.3 --hypervisor esxi1

say "no write reached the host"
lab calls esxi1 | grep -E 'CreateVM|Copy|Reconfig|PowerOn|Destroy_Task|MakeDirectory|StartProgram' && fail "a refused request wrote to the host"
checks=$((checks + 1))

say "a wrong host password is tried once"
lab calls esxi1 --reset >/dev/null
url=$(lab hosts | awk '$1 == "esxi1" { print $3 }') fingerprint=$(lab hosts | awk '$1 == "esxi1" { print $6 }')
refused 5 'refused|password' sh -c "echo wrong | drover hypervisor test --url $url --user root --password-stdin --fingerprint $fingerprint"
[ "$(lab calls esxi1 | awk '$1 == "Login" { print $2 }')" = 1 ] || fail "the wrong password was tried more than once"
checks=$((checks + 1))

say "a certificate nobody confirmed gets no password"
lab calls esxi1 --reset >/dev/null
refused 5 'certificate' sh -c "echo secret | drover hypervisor test --url $url --user root --password-stdin \
  --fingerprint 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF"
lab calls esxi1 | grep -q '^Login' && fail "the password went to a host with another certificate"
checks=$((checks + 1))

[ "$(lab leftovers)" = "$kept" ] || fail "a refused request left something: $(lab leftovers)"
must "delete" drover vm delete taken --yes
nothing_left
passed
