#!/usr/bin/env bash
# lab: --esxi 1
# Service configuration (CFG-1..5, P18): real Redis, MariaDB, RabbitMQ and NFS and a stand-in for MongoDB behind web, daemon and celery VMs; checked, planned,
# applied, put back whatever fails and whoever is killed, looked back at, restored.
. "$(dirname "$0")/lib.sh"

for role in web daemon celery; do
  cat <<EOT
[[type]]
name = "app-$role"
template = "tpl-base"
guest_user = "root"
  [[type.service]]
  name = "$role"
  command_line = "/srv/app/run $role"
  start_command = "exec /srv/app/run $role"
  attempts = 2
  [[type.config_file]]
  role = "$role"
  file = "settings.py"
  path = "/srv/app/settings.py"
  [[type.config_file]]
  role = "$role"
  file = "conf.py"
  path = "/srv/app/conf.py"
  [[type.config_file]]
  role = "$role"
  file = "supervisord.conf"
  path = "/etc/supervisord.conf"
EOT
done >"$DROVER_LAB/types.toml"
must "types" drover type add -f "$DROVER_LAB/types.toml" --guest-password-stdin <<<template
must "the mongo VM" create shop-mongo mongo 10.213.70.1
must "the VM of the other services" create shop-db base 10.213.70.2
n=2
for role in web daemon celery; do
  n=$((n + 1))
  must "the $role VM" create "shop-$role" "app-$role" "10.213.70.$n"
done
vms="shop-web shop-daemon shop-celery"
for vm in shop-mongo shop-db $vms; do eventually "$vm is connected" is "$vm" agent_state connected; done

say "services: real ones, in the network of shop-db"
net=$(netns 10.213.70.2) || fail "shop-db has no network"
work=$DROVER_LAB/services
mkdir -p "$work"/{redis,mysql,rabbit,nfs}
chmod 755 "$work"
# No name service: who looks up a caller's name is refused at once.
echo "nameserver 127.0.0.1" >"$work/resolv.conf"
inside() { nsenter --net="$net" unshare -m sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$work/resolv.conf" "$@"; }
(cd "$work/redis" && inside redis-server --port 6379 --bind 0.0.0.0 --protected-mode no --save "" --dir "$work/redis" >redis.log 2>&1 &)
mariadb-install-db --no-defaults --force --user=root --datadir="$work/mysql" --skip-test-db >"$work/mysql.log" 2>&1 || fail "MariaDB: $(tail -5 "$work/mysql.log")"
# A server without an account for the caller's address turns it away before it greets.
echo "CREATE USER 'app'@'%';" >"$work/init.sql"
inside mariadbd --no-defaults --init-file="$work/init.sql" --user=root --datadir="$work/mysql" --bind-address=0.0.0.0 --port=3306 --socket="$work/mysql.sock" --pid-file="$work/mysql.pid" >>"$work/mysql.log" 2>&1 &
echo '[].' >"$work/rabbit/plugins"
inside env HOME="$work/rabbit" RABBITMQ_NODENAME=drover@localhost RABBITMQ_NODE_PORT=5672 RABBITMQ_MNESIA_BASE="$work/rabbit" RABBITMQ_LOG_BASE="$work/rabbit" \
  RABBITMQ_ENABLED_PLUGINS_FILE="$work/rabbit/plugins" RABBITMQ_PID_FILE="$work/rabbit/pid" /usr/lib/rabbitmq/bin/rabbitmq-server >"$work/rabbit.log" 2>&1 &
cat >"$work/nfs/ganesha.conf" <<EOT
NFS_CORE_PARAM { Protocols = 3, 4; Enable_NLM = false; Enable_RQUOTA = false; }
NFSv4 { Graceless = true; RecoveryBackend = fs; RecoveryRoot = $work/nfs; }
NFS_KRB5 { Active_krb5 = false; }
EOT
inside sh -c "mount -t tmpfs tmpfs /run && rpcbind -f & until [ -S /run/rpcbind.sock ]; do sleep 0.1; done
  exec ganesha.nfsd -F -f $work/nfs/ganesha.conf -p /run/ganesha.pid -L $work/nfs/log" >/dev/null 2>&1 &

# install VM: the application and its files, as somebody else's.
install_app() {
  lab guest "$1" -- sh -c 'mkdir -p /srv/app
cat >/srv/app/run <<"EOT"
#!/bin/sh
# Refuses to live with what /srv/app/refuse names in its configuration.
if [ -s /srv/app/refuse ] && cat /srv/app/conf.py /srv/app/settings.py | grep -qF "$(cat /srv/app/refuse)"; then sleep 5; exit 1; fi
cp /srv/app/conf.py "/run/$1.conf"
while :; do sleep 1000; done
EOT
chmod 755 /srv/app/run
printf "# -*- coding: utf-8 -*-\r\n# 设置\r\nDATABASES = {\r\n    \"default\": {\"ENGINE\": \"mysql\", \"HOST\": \"localhost\", \"PORT\": 3306, \"PASSWORD\": \"hunter2\"},\r\n}\r\nCACHES = {\"default\": {\"LOCATION\": \"redis://localhost:6379/1\"}}\r\n" >/srv/app/settings.py
cat >/srv/app/conf.py <<"EOT"
MONGO_HOST = "localhost"
MONGO_PORT = 27017
NFS_HOST = "localhost"
REDIS_HOST = "localhost"  # the cache
REDIS_PORT = 6379
BROKER_URL = "amqp://drover:s3cret@localhost:5672/shop"
CELERY_RESULT_BACKEND = "redis://localhost:6379/0"
EOT
cat >/etc/supervisord.conf <<"EOT"
[program:celery]
command=/srv/app/run ; kept
environment=
    LANG="C",
    BROKER_URL="amqp://drover:s3cret@localhost:5672/shop"
EOT
chown 33:44 /srv/app/settings.py && chmod 640 /srv/app/settings.py /srv/app/conf.py'
}
# What must come back to the byte: contents, owner, mode, inode.
files() { lab guest "$1" -- sh -c 'cd /; for f in srv/app/settings.py srv/app/conf.py etc/supervisord.conf; do stat -c "%n %u %g %a %i" $f; sha256sum $f; done; ls -A srv/app etc | grep drover- || true'; }
service_pid() { drover service list "$1" -o json | python3 -c 'import json,sys; s=json.load(sys.stdin)["vms"][0]["services"][0]; print(s.get("pid", 0) if s["state"] == "STATE_RUNNING" else 0)'; }
runs() { [ "$(service_pid "$1")" != 0 ]; }
for vm in $vms; do
  must "the application of $vm" install_app "$vm"
  drover service start "$vm" >/dev/null 2>&1
  eventually "$vm runs" runs "$vm"
done
before=$(for vm in $vms; do files "$vm"; done)

say "six profiles came with Drover"
[ "$(drover profile list -o csv --no-headers | grep -c .)" = 6 ] || fail "$(drover profile list)"
must "as a file" sh -c "drover profile show crawler -o toml >$DROVER_LAB/crawler.toml"
sed -i 's/^name = "crawler"/name = "mine"/' "$DROVER_LAB/crawler.toml"
must "one of our own" drover profile add -f "$DROVER_LAB/crawler.toml"
refused 5 'came with Drover' drover profile delete crawler --yes
sed 's/DATABASES.default.HOST/DATABASES..HOST/' "$DROVER_LAB/crawler.toml" >"$DROVER_LAB/bad.toml"
refused 2 'bad.toml:[0-9]+.*empty part' drover profile edit -f "$DROVER_LAB/bad.toml"

say "check: each by its own protocol"
choices=(--env test -d mongo=shop-mongo -d mysql=shop-db -d nfs=shop-db -d rabbitmq=shop-db -d redis=shop-db)
roles=(-r web=shop-web -r daemon=shop-daemon -r celery=shop-celery)
eventually "all is well" drover config check crawler "${choices[@]}"
refused 5 'service-missing' drover config check crawler --env test -d mongo=shop-mongo -d mysql=shop-mongo -d nfs=shop-db -d rabbitmq=shop-db -d redis=shop-db
must "from the users" sh -c "drover config check crawler ${choices[*]} ${roles[*]} -o csv --no-headers | grep -c ok | grep -qx 17"
checks=$((checks + 2))

say "plan: the diff of every file, no secret in it"
plan=$(drover config plan crawler "${choices[@]}" "${roles[@]}") || fail "$plan"
for want in '-MONGO_HOST = "localhost"' '+MONGO_HOST = "10.213.70.1"' '+NFS_HOST = "10.213.70.2"' 'web on shop-web' 'celery on shop-celery'; do
  grep -qF -- "$want" <<<"$plan" || fail "the plan lacks $want: $plan"
done
grep -E 'hunter2|s3cret' <<<"$plan" && fail "a secret is in the plan"
[ "$(for vm in $vms; do files "$vm"; done)" = "$before" ] || fail "a plan changed something"
checks=$((checks + 3))

apply() { drover config apply crawler "${choices[@]}" "${roles[@]}" --yes; }
# as_before WHAT: every file of every VM, and a running service that has read the old file.
as_before() {
  local now
  now=$(for vm in $vms; do files "$vm"; done)
  [ "$now" = "$before" ] || fail "after $1 not everything is as before: $(diff <(echo "$before") <(echo "$now"))"
  for vm in $vms; do
    eventually "after $1 $vm runs" runs "$vm"
    lab guest "$vm" -- sh -c 'cmp /srv/app/conf.py /run/'"${vm#shop-}"'.conf' || fail "after $1 $vm runs with another file"
  done
  checks=$((checks + 1))
}

say "a file that does not match"
lab guest shop-daemon -- cp -p /srv/app/conf.py /srv/app/kept
lab guest shop-daemon -- sh -c 'grep -v MONGO_PORT /srv/app/kept >/srv/app/conf.py'
refused 5 'shop-daemon: /srv/app/conf.py: there is no MONGO_PORT' apply
lab guest shop-daemon -- sh -c 'cat /srv/app/kept >/srv/app/conf.py; rm /srv/app/kept'
as_before "a refused plan"

say "a dependency goes away: nothing is begun"
pkill_redis=$(pgrep -f "redis-server 0.0.0.0:6379" | head -1)
kill "$pkill_redis"
# While it ends it still takes connections, and answers nothing.
redis_is_gone() { ! pgrep -f '[r]edis-server 0.0.0.0:6379' >/dev/null; }
eventually "redis is gone" redis_is_gone
refused 1 'check dependencies: .*redis on shop-db.*service missing' apply
(cd "$work/redis" && inside redis-server --port 6379 --bind 0.0.0.0 --protected-mode no --save "" --dir "$work/redis" >redis.log 2>&1 &)
eventually "redis is back" drover config check crawler "${choices[@]}"
as_before "a failed check"

say "a service does not stay well with the new file"
lab guest shop-celery -- sh -c 'echo 10.213.70.2 >/srv/app/refuse'
refused 1 'shop-celery: .*(restart of celery failed|health).*put back' apply
as_before "a failed health"
lab guest shop-celery -- rm /srv/app/refuse

# under_way VM: an operation runs, and the VM has its new file.
under_way() { lab guest "$1" -- grep -q 10.213.70.2 /srv/app/conf.py; }
last_state() { drover operation list --limit 1 -o csv --no-headers --columns state; }

say "the agent is killed between write and the end of the watch"
(apply >"$DROVER_LAB/apply.out" 2>&1 &)
eventually "the new file is there" under_way shop-web
# The agent, not the keeper that starts it again.
must "kill" lab guest shop-web -- sh -c 'kill -9 "$(pgrep -n -x drover-agent)"'
eventually "the operation ended" settled
[ "$(last_state)" = failed ] || fail "the operation is $(last_state): $(cat "$DROVER_LAB/apply.out")"
grep -q 'shop-web.*the agent ended in the middle' "$DROVER_LAB/apply.out" || fail "not told why: $(cat "$DROVER_LAB/apply.out")"
eventually "the agent is back" is shop-web agent_state connected
as_before "the agent's death"

say "the controller is killed while it puts back, or before"
lab guest shop-daemon -- sh -c 'echo 10.213.70.2 >/srv/app/refuse'
(apply >/dev/null 2>&1 &)
eventually "the new file is there" under_way shop-daemon
must "kill" lab controller kill
must "start" lab controller start
eventually "the operation ended" settled
[ "$(last_state)" = failed ] || fail "the operation is $(last_state)"
lab guest shop-daemon -- rm /srv/app/refuse
as_before "the controller's death"

say "the controller is killed in the middle of one that goes well"
(apply >/dev/null 2>&1 &)
eventually "the new file is there" under_way shop-celery
must "kill" lab controller kill
must "start" lab controller start
eventually "the operation ended" settled
[ "$(last_state)" = succeeded ] || fail "the operation is $(last_state)"
for vm in $vms; do eventually "$vm has the new file" under_way "$vm"; done
first=$(drover config history -q | head -1)

say "an earlier state by hand, then applied again"
for vm in $vms; do lab guest "$vm" -- sh -c 'sed -i s/10.213.70.[12]/localhost/g /srv/app/conf.py /srv/app/settings.py /etc/supervisord.conf'; done

say "apply"
must "it is applied" apply
for vm in $vms; do lab guest "$vm" -- grep -q 'BROKER_URL.*amqp://drover:s3cret@10.213.70.2:5672/shop' /srv/app/conf.py || [ "$vm" = shop-daemon ] || fail "$vm has the old broker"; done
lab guest shop-web -- sh -c 'grep -q "\"HOST\": \"10.213.70.2\", \"PORT\": 3306, \"PASSWORD\": \"hunter2\"" /srv/app/settings.py' || fail "settings.py: $(lab guest shop-web -- cat /srv/app/settings.py)"
[ "$(lab guest shop-web -- stat -c '%u %g %a' /srv/app/settings.py)" = "33 44 640" ] || fail "settings.py has another owner or mode"
lab guest shop-celery -- grep -q 'command=/srv/app/run ; kept' /etc/supervisord.conf || fail "supervisord.conf lost its comment"
for vm in $vms; do lab guest "$vm" -- sh -c 'ls -A /srv/app /etc | grep drover-' && fail "$vm keeps old files"; done
checks=$((checks + 5))
must "shown" sh -c "drover config show $(drover config history -q | head -1) | grep -qF '+MONGO_HOST = \"10.213.70.1\"'"

say "an earlier configuration is restored"
lab guest shop-web -- sed -i 's/^MONGO_HOST.*/MONGO_HOST = "10.9.9.9"/' /srv/app/conf.py
must "restore" drover config restore "$first" --yes
lab guest shop-web -- grep -q 'MONGO_HOST = "10.213.70.1"' /srv/app/conf.py || fail "not restored"
[ "$(drover config history -q | grep -c .)" = 3 ] || fail "the history has $(drover config history)"
checks=$((checks + 2))

say "secrets are nowhere"
grep -rlE 'hunter2|s3cret' "$DROVER_LAB"/controller* "$DROVER_LAB"/*.log 2>/dev/null | grep . && fail "a secret of a file left its guest"
echo "$checks checks"
