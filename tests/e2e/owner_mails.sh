#!/usr/bin/env bash
# lab: --esxi 1 --config mail.agent_relay="10.213.0.1:25" --config mail.agent_relay_after=60
# While the controller is out of reach an agent tells owners itself, through the relay it was given; the platform learns of it and tells nobody again (MON-2, MON-3).
. "$(dirname "$0")/lib.sh"

must "a type with an owner" owned_type ops@lab.example
must "create" create alone owned 10.213.56.1
eventually "agent" is alone agent_state connected

say "the controller dies, then the service, for good"
must "kill" lab controller kill
must "its start is away" lab guest alone -- mv /etc/init.d/web /etc/init.d/web.away
# shellcheck disable=SC2016
must "kill" lab guest alone -- sh -c 'kill -9 $(cat /run/web.pid)'
began=$SECONDS
eventually "the agent tells" mailed ops@lab.example "[Drover] given up: web on alone"
[ $((SECONDS - began)) -ge 30 ] || fail "it did not give the controller the time to come back"
# shellcheck disable=SC2046
python3 - $(lab mail) <<'PY' || fail "the mail does not say where it comes from"
import email, email.policy, sys
message = email.message_from_binary_file(open(sys.argv[-1], "rb"), policy=email.policy.default)
text = message.get_content()
assert "the agent in the VM tells you" in text and "Service: web" in text, text
PY
checks=$((checks + 2))

say "the controller is back and knows"
must "start" lab controller start
eventually "agent" is alone agent_state connected
event() { drover event list --vm alone -o json; }
knows() { event | grep -q agent.mail_sent; }
eventually "it knows who was told" knows
for want in service.died service.given_up 'ops@lab.example itself'; do event | grep -q "$want" || fail "no $want: $(event)"; done
checks=$((checks + 3))

say "what happens from now on is told by the controller, and nothing twice"
must "its start is back" lab guest alone -- mv /etc/init.d/web.away /etc/init.d/web
must "start" drover service start alone
eventually "its return is told" mailed ops@lab.example "[Drover] recovered: web on alone"
[ "$(mails_to ops@lab.example | grep -c alone)" = 2 ] || fail "not two mails about it: $(mails_to ops@lab.example)"
checks=$((checks + 1))

must "delete" drover vm delete alone --yes
nothing_left
passed
