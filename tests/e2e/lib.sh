# shellcheck shell=bash
# Shared by the end-to-end tests. Sourced by each; runs inside the lab, where `drover` is signed in and the hosts and types are registered.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.." || exit 1

checks=0
say() { printf '\n--- %s\n' "$*"; }
fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# must WHAT COMMAND...: it succeeds.
must() {
  local what=$1
  shift
  checks=$((checks + 1))
  "$@" || fail "$what: \`$*\` ended with $?"
}

# refused CODE TEXT COMMAND...: it ends with this exit code (an extended regular expression) and says this text (an extended regular expression).
refused() {
  local code=$1 text=$2 output status=0
  shift 2
  checks=$((checks + 1))
  output=$("$@" 2>&1 </dev/null) || status=$?
  grep -qxE "$code" <<<"$status" || fail "\`$*\` ended with $status instead of $code: $output"
  grep -qE "$text" <<<"$output" || fail "\`$*\` does not say \"$text\" but: $output"
}

# eventually WHAT COMMAND...: it succeeds within three minutes (machines are shared and slow; a pass is quick). The longer it takes, the less often it
# looks: looking is work too, and other journeys run beside this one.
eventually() {
  local what=$1 end=$((SECONDS + 180)) pauses=(0.1 0.2 0.3 0.5 0.7)
  shift
  checks=$((checks + 1))
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { "$@"; fail "$what did not come true"; }
    sleep "${pauses[0]:-1}"
    pauses=("${pauses[@]:1}")
  done
}

# field VM COLUMN: one value of a VM.
field() { drover vm list --search "$1" -o csv --no-headers --columns "name,$2" | sed -n "s/^$1,//p"; }
is() { [ "$(field "$1" "$2")" = "$3" ]; }

# create VM TYPE IP [ARG...]: creates it in environment "test" and waits.
create() {
  local vm=$1 type=$2 ip=$3
  shift 3
  drover vm create "$vm" --env test --type "$type" --ip "$ip" --netmask 255.255.0.0 --gateway 10.213.0.1 --dns1 10.213.0.1 "$@"
}

# netns ADDRESS: the network namespace that has it.
netns() {
  local p
  for p in /proc/[0-9]*; do
    if nsenter --net="$p/ns/net" ip -4 -o addr show 2>/dev/null | grep -q "inet $1/"; then echo "$p/ns/net" && return; fi
  done
  return 1
}

# settled: no operation is open.
settled() {
  local open
  open=$(drover operation list -q --state queued --state running --state undoing) && [ -z "$open" ]
}

# The subjects of the mails to an address, decoded.
mails_to() {
  # shellcheck disable=SC2046
  python3 - "$1" $(lab mail) <<'PY'
import email, email.policy, sys
for name in sys.argv[2:]:
    message = email.message_from_binary_file(open(name, "rb"), policy=email.policy.default)
    if f"<{sys.argv[1]}>" in message.get_all("X-Envelope-RCPT", []):
        print(message["Subject"])
PY
}
mailed() { mails_to "$1" | grep -qF "$2"; }

# owned_type OWNER...: the type "owned", a web service with these owners that is given up after one attempt.
owned_type() {
  local owners
  owners=$(printf '"%s", ' "$@")
  cat >"$DROVER_LAB/type.toml" <<EOF
[[type]]
name = "owned"
template = "tpl-web"
guest_user = "root"
owners = [${owners%, }]
  [[type.service]]
  name = "web"
  pid_file = "/run/web.pid"
  command_line = "http\\\\.server 80"
  start_command = "/etc/init.d/web start"
  stop_command = "/etc/init.d/web stop"
  attempts = 1
EOF
  drover type add -f "$DROVER_LAB/type.toml" --guest-password-stdin <<<template
}

# code_repository FOLDER: an svn repository, FOLDER/repo, at svn://10.213.0.1/repo with a trunk, and a checkout of it to commit from in FOLDER/committer.
code_repository() {
  export LC_ALL=C.UTF-8
  # A burst of commits is one: svn does not wait for the next second after each.
  export SVN_I_LOVE_CORRUPTED_WORKING_COPIES_SO_DISABLE_SLEEP_FOR_TIMESTAMPS=yes
  mkdir -p "$1"
  svnadmin create "$1/repo" && svn -q mkdir -m begin "file://$1/repo/trunk" && svn -q checkout "file://$1/repo/trunk" "$1/committer" &&
    svnserve --daemon --root "$1" --listen-host 10.213.0.1 --pid-file "$1/pid"
}
# hook_commits FOLDER: from now on each commit there is told to the platform, as packaging/hooks/post-commit does it.
hook_commits() {
  cat >"$DROVER_LAB/post-commit.conf" <<EOF
gateway=$DROVER_WEB
url=svn://10.213.0.1/repo
key=$DROVER_LAB/controller/hook.key
spool=$DROVER_LAB/hook-spool
retry=1
EOF
  export DROVER_HOOK_CONF=$DROVER_LAB/post-commit.conf
  printf '#!/bin/sh\nDROVER_HOOK_CONF=%s exec %s/packaging/hooks/post-commit "$@"\n' "$DROVER_HOOK_CONF" "$PWD" >"$1/repo/hooks/post-commit" &&
    chmod +x "$1/repo/hooks/post-commit"
}
# journeys RUN.MJS ARG...: in a browser that may not put itself before all else on the machine, as Chromium does where it can.
journeys() { setpriv --bounding-set -sys_nice --inh-caps -sys_nice node "$@"; }

# Nothing of a failed or deleted VM is left anywhere: inventory, claims, hosts, guests.
nothing_left() {
  [ -z "$(drover vm list -q)" ] || fail "VMs are left in the inventory: $(drover vm list -q)"
  local left
  left=$(lab leftovers) || fail "something is left on the hosts: $left"
  checks=$((checks + 1))
}

passed() {
  printf '\n%s checks held\n' "$checks"
  exit 0
}

lab leftovers >/dev/null || fail "the hosts are not empty at the start: $(lab leftovers)"
drover env show test >/dev/null 2>&1 || drover env add test --description "end-to-end test" >/dev/null || fail "no environment"
