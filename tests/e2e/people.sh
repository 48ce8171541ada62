#!/usr/bin/env bash
# lab: --esxi 1
# Two roles, refusals that are logged, a log that shows tampering, and no secret anywhere (USER-1..3, LOG-1..3, P22, P23).
. "$(dirname "$0")/lib.sh"

canary='Canary-7f3a9c51'
say "an administrator may look and operate, not create"
must "add user" sh -c "echo '$canary' | drover user add mei --role administrator --password-stdin"
# mei's own home; the lab's administrator stays signed in elsewhere.
administrator=$XDG_CONFIG_HOME
export XDG_CONFIG_HOME=$DROVER_LAB/mei
must "sign in" sh -c "echo '$canary' | drover login $DROVER_SERVER --user mei --password-stdin --trust-new-certificate"
refused 4 'password' drover vm list
must "change the password" sh -c "printf '%s\n%s\n' '$canary' '$canary-2' | drover user passwd --password-stdin"
must "look" drover vm list
refused 4 'system administrator' drover env add another
refused 4 'system administrator' create nope web 10.213.57.1
refused 4 'system administrator' drover user list
export XDG_CONFIG_HOME=$administrator
drover log search --user mei -o json | grep -q PERMISSION_DENIED || fail "refused calls are not in the log"
checks=$((checks + 1))

say "the last system administrator stays"
refused 5 'last' drover user delete admin --yes
refused 5 'last' drover user set-role admin --role administrator

say "wrong passwords are slowed down and logged"
slowed() { echo nonsense-password | XDG_CONFIG_HOME=$DROVER_LAB/wrong drover login "$DROVER_SERVER" --user mei --password-stdin --trust-new-certificate 2>&1 | grep -qiE 'slow|later|wait'; }
eventually "slowed down" slowed
drover log search --kind login -o json | grep -q UNAUTHENTICATED || fail "failed sign-ins are not in the log"
checks=$((checks + 1))

say "the log"
must "intact" drover log verify
before=$(date -u +%Y-%m-%dT%H:%M:%SZ)
must "back up" drover log backup
must "delete what the backup holds" drover log delete --before "$before" --confirm "delete log entries"
must "intact after the deletion" drover log verify

say "no secret anywhere"
must "a VM with a password" sh -c "echo '$canary-guest' | drover vm create keeper --env test --type web --ip 10.213.57.9 --netmask 255.255.0.0 --gateway 10.213.0.1 --guest-password-stdin"
grep -rl "$canary" "$DROVER_LAB" --exclude-dir=proc 2>/dev/null | grep -v -E '/(guests|datastore)' && fail "a password stands in a file"
grep -l "$canary" /proc/[0-9]*/cmdline 2>/dev/null && fail "a password stands on a command line"
checks=$((checks + 2))
must "delete" drover vm delete keeper --yes
nothing_left
passed
