#!/usr/bin/env bash
# lab: --esxi 2 --free-esxi --config agents.sample_seconds=1
# usage: page_work.sh [JOURNEY...]
# What people do with the page day by day, in both languages: upgrade code, configure services, change VMs, users, types, hypervisors and profiles,
# search and back up the log (UPG-1..3, CFG-1..5, VM-5..10, USER-1..2, LOG-1..3, DASH-4).
. "$(dirname "$0")/lib.sh"

[ -n "${DROVER_WEB:-}" ] || fail "this lab has no gateway: build drover-gateway and page"

say "a repository"
svn=$DROVER_LAB/svn
must "a repository" code_repository "$svn"
export DROVER_COMMITTER=$svn/committer
printf '#!/bin/sh\nexec sleep 100000\n' >"$DROVER_COMMITTER/run.sh"
printf 'SIZE = 1\n' >"$DROVER_COMMITTER/settings.py"
must "a first revision" sh -c "cd $DROVER_COMMITTER && svn -q add run.sh settings.py && svn -q commit -m 'First version' && svn -q update"
must "a hook" hook_commits "$svn"

say "the estate"
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
  [[type.working_copy]]
  id = "app"
  path = "/srv/app"
  url = "svn://10.213.0.1/repo/trunk"
  restart_services = ["app"]
  [[type.config_file]]
  role = "web"
  file = "conf.py"
  path = "/etc/app/conf.py"
EOF
must "the type" drover type add -f "$DROVER_LAB/app.toml" --guest-password-stdin <<<template
for n in 1 2 3; do must "app-$n" create "app-$n" app "10.213.60.$n" --hypervisor esxi1 --detach; done
must "box" create box web 10.213.60.8 --hypervisor esxi1 --detach
must "cache" create cache base 10.213.60.9 --hypervisor esxi1 --detach
for vm in app-1 app-2 app-3 box cache; do eventually "agent of $vm" is "$vm" agent_state connected; done
for vm in app-1 app-2 app-3; do
  must "checkout on $vm" lab guest "$vm" -- svn -q checkout --non-interactive svn://10.213.0.1/repo/trunk /srv/app
  must "its configuration" lab guest "$vm" -- sh -c 'mkdir -p /etc/app && printf "REDIS_HOST = \"localhost\"  # the cache\nREDIS_PORT = 6379\n" >/etc/app/conf.py'
  must "start on $vm" drover service start "$vm"
done
must "a local edit" lab guest app-2 -- sh -c 'echo "MINE = 1" >>/srv/app/settings.py'
net=$(netns 10.213.60.9) || fail "cache has no network"
(cd "$DROVER_LAB" && nsenter --net="$net" redis-server --port 6379 --bind 0.0.0.0 --protected-mode no --save "" >redis.log 2>&1 &)
must "an administrator" sh -c "echo 'First-password-1' | drover user add mei --role administrator --password-stdin"

export DROVER_SCREENSHOTS=$DROVER_BUILD/screenshots/work
rm -rf "$DROVER_SCREENSHOTS"
mkdir -p "$DROVER_SCREENSHOTS"
must "the browser's journeys" journeys "$(dirname "$0")/page/run.mjs" work "$@"
must "delete" drover vm delete app-1 app-2 app-3 box cache --yes
nothing_left
passed
