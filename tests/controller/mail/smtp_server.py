"""A real mail server for one test: TLS from the first byte ("tls") or by STARTTLS ("starttls"), and nothing without signing in.

usage: smtp_server.py CERTIFICATE KEY tls|starttls USER PASSWORD
Prints "port N", then a line for each sign-in and each mail. Ends with its standard input.
"""

import asyncio
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


def tell(*words):
    print(*words, flush=True)


class Mails:
    async def handle_DATA(self, server, session, envelope):
        tell("mail from", envelope.mail_from, "to", *envelope.rcpt_tos)
        return "250 kept"


async def serve(certificate, key, mode, user, password):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def check(server, session, envelope, mechanism, given):
        good = (given.login, given.password) == (user.encode(), password.encode())
        tell("sign-in", "accepted" if good else "refused")
        return AuthResult(success=good)

    def client():
        return SMTP(
            Mails(),
            authenticator=check,
            auth_required=True,
            # It does not know the TLS around all of it for its own.
            auth_require_tls=mode == "starttls",
            tls_context=context if mode == "starttls" else None,
            require_starttls=mode == "starttls",
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(client, "127.0.0.1", 0, ssl=context if mode == "tls" else None)
    tell("port", server.sockets[0].getsockname()[1])
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(serve(*sys.argv[1:]))
