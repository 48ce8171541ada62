#!/usr/bin/env bash
# lab: --esxi 1
# usage: page.sh [JOURNEY...]
# The web page in a real browser, against the real programs: every page in both languages, live changes, roles, wrong input, a controller
# that goes and comes back; no serious finding of axe and no violation of the content security policy anywhere (DASH-1..5, ENV-1..4, USER-2).
. "$(dirname "$0")/lib.sh"

[ -n "${DROVER_WEB:-}" ] || fail "this lab has no gateway: build drover-gateway and page"
curl -fsS "$DROVER_WEB/" | grep -q 'id="app"' || fail "the gateway serves no page"
for n in 1 2 3; do must "create" create "watched-$n" web "10.213.70.$n"; done
for n in 1 2 3; do eventually "agent" is "watched-$n" agent_state connected; done
must "add user" sh -c "echo 'First-password-1' | drover user add mei --role administrator --password-stdin"

export DROVER_SCREENSHOTS=$DROVER_BUILD/screenshots/estate
rm -rf "$DROVER_SCREENSHOTS"
mkdir -p "$DROVER_SCREENSHOTS"
must "the browser's journeys" journeys "$(dirname "$0")/page/run.mjs" estate "$@"
must "delete" drover vm delete watched-1 watched-2 watched-3 --yes
nothing_left
passed
