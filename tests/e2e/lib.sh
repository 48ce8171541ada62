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
