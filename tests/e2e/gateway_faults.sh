#!/usr/bin/env bash
# lab: --esxi 1
# The gateway while the controller is not there: absent when the gateway starts, coming, going, coming back. The page is served all the
# while, calls say what is wrong, an open event stream tells and goes on.
. "$(dirname "$0")/lib.sh"

[ -n "${DROVER_WEB:-}" ] || fail "this lab has no gateway: build drover-gateway and page"
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
password=$(cat "${DROVER_LAB:?}/admin.password")
status() { curl -s -o "$work/answer" -w '%{http_code}' "$@"; }
# is_status CODE URL...
is_status() { [ "$(status "${@:2}")" = "$1" ]; }
sign_in() {
  status -c "$work/jar" -H 'X-Requested-By: test' -H 'Content-Type: application/json' -d "{\"user\":\"admin\",\"password\":\"$password\"}" "$DROVER_WEB/v1/sessions"
}

say "Absent at the start"
must "kill" lab controller kill
must "restart" lab gateway restart
must "alive" is_status 200 "$DROVER_WEB/healthz"
must "not ready" is_status 503 "$DROVER_WEB/readyz"
must "the page" is_status 200 -H "Accept: text/html" "$DROVER_WEB/environments"
must "no call" [ "$(sign_in)" = 503 ]
grep -q CONTROLLER_UNREACHABLE "$work/answer" || fail "it is not said why: $(cat "$work/answer")"

say "It comes"
must "start" lab controller start
eventually "ready" is_status 200 "$DROVER_WEB/readyz"
must "signed in" [ "$(sign_in)" = 200 ]
curl -sN -b "$work/jar" -H 'Accept: text/event-stream' "$DROVER_WEB/v1/watch" >"$work/events" &
count() { [ "$(grep -c "^event: $1" "$work/events")" -ge "$2" ]; }
eventually "live" count live 1

say "Gone"
must "kill" lab controller kill
eventually "degraded" count degraded 1
must "not ready" is_status 503 "$DROVER_WEB/readyz"
must "no call" is_status 503 -b "$work/jar" "$DROVER_WEB/v1/vms"

say "Back: the same stream goes on, with what happens then"
must "start" lab controller start
eventually "live again" count live 2
must "a change" drover env add after >/dev/null
eventually "the change is told" grep -q environments/after "$work/events"
must "the session is still one" is_status 200 -b "$work/jar" "$DROVER_WEB/v1/self"
must "delete" drover env delete after --confirm after
nothing_left
passed
