#!/usr/bin/env bash
# lab: --esxi 1
# Code is upgraded in waves from a real svnserve, goes back by itself when it is bad, and is told of by commits (UPG-1..4, P8, P12, P15, P19, P20).
. "$(dirname "$0")/lib.sh"

svn=$DROVER_LAB/svn
url=svn://10.213.0.1/repo/trunk
password="pw-$RANDOM-canary"
must "a repository" code_repository "$svn"
printf '[general]\nanon-access = none\nauth-access = write\npassword-db = passwd\n' >"$svn/repo/conf/svnserve.conf"
printf '[users]\ndeployer = %s\n' "$password" >"$svn/repo/conf/passwd"

# commit FILE TEXT: the new revision.
commit() {
  printf '%b' "$2" >"$svn/committer/$1"
  svn -q add --force "$svn/committer/$1" && svn -q commit -m "change $1" "$svn/committer" && svn -q update "$svn/committer" &&
    svn info --show-item revision "$svn/committer"
}
good='#!/bin/sh\nexec sleep 100000\n'
first=$(commit run.sh "$good")
svn -q propset svn:executable yes "$svn/committer/run.sh"
first=$(commit settings.py 'DEBUG = False\n')

install -m 600 /dev/null "$DROVER_LAB/svn.password"
printf '%s\n' "$password" >"$DROVER_LAB/svn.password"
cat >"$DROVER_LAB/app.toml" <<EOF
[[type]]
name = "app"
template = "tpl-base"
guest_user = "root"
  [[type.service]]
  name = "app"
  command_line = "sleep 100000"
  start_command = "exec sh /srv/app/run.sh"
  stop_command = "pkill -f 'slee[p] 100000'"
  attempts = 1
  [[type.working_copy]]
  id = "app"
  path = "/srv/app"
  url = "$url"
  user = "deployer"
  password_file = "svn.password"
  restart_services = ["app"]
EOF
must "the type" drover type add -f "$DROVER_LAB/app.toml" --guest-password-stdin <<<template
vms="app-1 app-2 app-3 app-4"
n=0
for vm in $vms; do
  n=$((n + 1))
  must "create $vm" create "$vm" app "10.213.60.$n" --detach
done
for vm in $vms; do
  eventually "agent of $vm" is "$vm" agent_state connected
  must "checkout on $vm" sh -c "printf '%s' '$password' | lab guest $vm -- svn -q checkout --non-interactive --no-auth-cache --username deployer --password-from-stdin -r $first $url /srv/app"
  must "start on $vm" drover service start "$vm"
done

revision() { lab guest "$1" -- svn info --show-item revision /srv/app 2>/dev/null; }
at() { [ "$(revision "$1")" = "$2" ]; }
all_at() { for vm in $vms; do at "$vm" "$1" || return 1; done; }
rollout_state() { drover upgrade show "$1" -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["operation"]["state"])'; }
state_is() { [ "$(rollout_state "$1")" = "$2" ]; }
# A list's row, once somebody has read it.
listed() { drover upgrade list "$1" -o json | python3 -c "import json,sys; sys.exit(0 if json.load(sys.stdin)['workingCopies'][0].get('revision') == '$2' else 1)"; }

say "list and plan"
for vm in $vms; do eventually "$vm is listed" listed "$vm" "$first"; done
second=$(commit settings.py 'DEBUG = False\nSIZE = 2\n')
plan=$(drover upgrade plan --env test --type app --head --canaries 1 --wave 2 -o json) || fail "plan"
python3 - "$second" "$plan" <<'PY' || fail "the plan is not what it should be: $plan"
import json, sys
plan = json.loads(sys.argv[2])
assert plan["targetRevision"] == sys.argv[1], plan
assert [len(wave["vms"]) for wave in plan["waves"]] == [1, 2, 1], plan
assert any("change settings.py" in message["message"] for message in plan["log"]), plan
PY
checks=$((checks + 1))
must "nothing has changed" all_at "$first"

say "in waves"
must "upgrade" drover upgrade start --env test --type app --head --canaries 1 --wave 2 --health 2s
must "all are there" all_at "$second"
must "the list knows" listed app-4 "$second"

say "a revision whose service does not stay up goes back by itself"
commit run.sh '#!/bin/sh\nexit 1\n' >/dev/null
refused 1 'HEALTH_GATE|did not stay up|does not come up|not started|SERVICE_NOT_STARTED|app' drover upgrade start --env test --type app --head --canaries 1 --wave 2 --health 2s
must "all are where they were" all_at "$second"
app_runs() { lab guest app-1 -- pgrep -f 'slee[p] 100000' >/dev/null; }
eventually "the canary's service runs again" app_runs
third=$(commit run.sh "$good")

say "local edits are refused, then saved"
must "edit" lab guest app-2 -- sh -c 'echo "MINE = 1" >>/srv/app/settings.py'
refused 8 'local edits' drover upgrade start app-1 app-2 --revision "$third" --wave 2 --max-failures 2 --health 1s
must "app-2 is untouched" at app-2 "$second"
must "app-1 is upgraded" at app-1 "$third"
must "save and revert" drover upgrade start app-2 --revision "$third" --local-edits save-and-revert --health 1s
must "the edit is kept aside" lab guest app-2 -- sh -c 'grep -rq "MINE = 1" /var/lib/drover-agent/saved-edits'
must "and gone" lab guest app-2 -- sh -c '! grep -q MINE /srv/app/settings.py'
must "the others" drover upgrade start app-3 app-4 --revision "$third" --health 1s
must "all are there" all_at "$third"

say "a wrong password and an unknown revision: refused before anything is touched"
newer=$(commit settings.py 'DEBUG = False\nSIZE = 3\n')
printf '[users]\ndeployer = another\n' >"$svn/repo/conf/passwd"
refused '[1-9]' 'E170001|Authentication|SVN_LOGIN_REFUSED' drover upgrade start --env test --type app --revision "$newer" --wave 2 --health 1s
printf '[users]\ndeployer = %s\n' "$password" >"$svn/repo/conf/passwd"
refused '[1-9]' 'No such revision|REVISION_UNKNOWN' drover upgrade start --env test --type app --revision 4711 --wave 2 --health 1s
must "nothing has changed" all_at "$third"

say "the agent is killed in the middle of svn update"
many=3000
mkdir "$svn/committer/many"
seq $many | (cd "$svn/committer/many" && xargs touch)
must "a large commit" sh -c "svn -q add '$svn/committer/many' && svn -q commit -m 'many files' '$svn/committer' && svn -q update '$svn/committer'"
large=$(svn info --show-item revision "$svn/committer")
rollout=$(drover upgrade start app-1 --revision "$large" --health 1s --detach | head -n 1)
# The agent, not the keeper that starts it again; only while svn works.
# shellcheck disable=SC2016
killed_in_the_middle() { lab guest app-1 -- sh -c '[ -e /srv/app/many ] && pgrep -x svn >/dev/null && kill -9 "$(pgrep -n -x drover-agent)"'; }
eventually "it is killed" killed_in_the_middle
must "it comes to its end" drover upgrade watch "${rollout##*/}"
must "it is there" at app-1 "$large"
[ "$(lab guest app-1 -- sh -c 'ls /srv/app/many | wc -l')" = $many ] || fail "not every file is there"
[ -z "$(lab guest app-1 -- svn status /srv/app)" ] || fail "not whole: $(lab guest app-1 -- svn status /srv/app | head)"
checks=$((checks + 2))
must "the others are untouched" at app-2 "$third"
svn -q rm "$svn/committer/many"

say "pause, the controller is killed, resume"
fourth=$(commit settings.py 'DEBUG = False\nSIZE = 4\n')
rollout=$(drover upgrade start --env test --type app --head --canaries 1 --wave 1 --health 5s --detach | head -n 1)
must "pause" drover upgrade pause "${rollout##*/}"
must "it is paused" state_is "${rollout##*/}" STATE_PAUSED
must "kill" lab controller kill
must "start" lab controller start
must "it is paused still" state_is "${rollout##*/}" STATE_PAUSED
must "resume" drover upgrade resume "${rollout##*/}"
for vm in $vms; do eventually "agent of $vm" is "$vm" agent_state connected; done
canary_done() { at app-1 "$fourth"; }
eventually "the canary is upgraded" canary_done
must "kill in the middle" lab controller kill
must "start" lab controller start
must "it goes on to its end" drover upgrade watch "${rollout##*/}"
must "all are there" all_at "$fourth"

say "cancel, and those that were upgraded go back"
fifth=$(commit settings.py 'DEBUG = False\nSIZE = 5\n')
rollout=$(drover upgrade start --env test --type app --head --canaries 1 --wave 1 --health 5s --detach | head -n 1)
eventually "the canary is upgraded" at app-1 "$fifth"
must "cancel" drover upgrade cancel "${rollout##*/}" --return-touched
eventually "no operation is open" settled
must "all are where they were" all_at "$fourth"

say "roll back"
must "upgrade" drover upgrade start --env test --type app --revision "$fifth" --wave 4 --health 1s
must "roll back" drover upgrade rollback --env test --type app --wave 4 --health 1s
must "all are where they were" all_at "$fourth"

say "commits start upgrades, also those made while the controller is away"
must "switch it on" drover upgrade auto-on test app --wave 4 --health 8s
[ "$(stat -c %a "$DROVER_LAB/controller/hook.key")" = 600 ] || fail "others can read the hooks' key"
must "a hook" hook_commits "$svn"
must "kill" lab controller kill
for i in $(seq 10); do newest=$(commit settings.py "DEBUG = False\nSIZE = 1$i\n"); done
must "start" lab controller start
for vm in $vms; do eventually "agent of $vm" is "$vm" agent_state connected; done
for i in $(seq 10); do newest=$(commit settings.py "DEBUG = False\nSIZE = 2$i\n"); done
eventually "all are at the newest" all_at "$newest"
spooled() { ls "$DROVER_LAB"/hook-spool/notice-* 2>/dev/null; }
delivered() { [ -z "$(spooled)" ]; }
eventually "every notice was delivered" delivered
eventually "no operation is open" settled
started=$(drover upgrade rollouts -o json | python3 -c 'import json,sys; print(sum(1 for r in json.load(sys.stdin)["rollouts"] if r["operation"].get("user") == "automatic upgrade"))')
[ "$started" -le 4 ] || fail "$started upgrades for one burst before and one after"
named() { drover log search --kind upgrade --limit 500 -o json | grep -q "revision $1, told by hook"; }
for revision in $(seq $((newest - 19)) "$newest"); do must "commit $revision is in the log" named "$revision"; done

say "the password is nowhere"
rm "$DROVER_LAB/svn.password"
if grep -rqs --exclude-dir=svn -e "$password" "$DROVER_LAB"; then fail "the svn password is in $(grep -rls --exclude-dir=svn -e "$password" "$DROVER_LAB")"; fi
checks=$((checks + 1))
passed
