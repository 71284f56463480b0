"""Mail servers (aiosmtpd) that know their manners up to one moment, each at an address of its own.

Reads their list, as JSON, from standard input; says "ready" once all of them listen.
"""

import asyncio
import functools
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP


class Taker:
    async def handle_DATA(self, server, session, envelope):
        return "250 2.0.0 taken"


class Rude(SMTP):
    def __init__(self, host):
        tls = None
        if host["tls"]:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*host["tls"])
        super().__init__(Taker(), hostname="rude.example", tls_context=tls, data_size_limit=host["size"])
        self.host, self.phase = host, "CONNECT"
        for command, method in self._smtp_methods.items():
            self._smtp_methods[command] = functools.partial(self.noting, command, method)

    async def noting(self, command, method, argument):
        self.phase = f"{command} {argument or ''}"
        if command == self.host["when"] == "STARTTLS":
            # By itself it would begin TLS whatever was said.
            await self.push("")
        else:
            await method(argument)

    async def push(self, status):
        if not self.phase.startswith(self.host["when"]):
            await super().push(status)
            if self.phase.startswith("DATA") and status.startswith("354"):
                self.phase = "."
            return
        for _ in range(self.host["times"]):
            self._writer.write(bytes(self.host["say"]))
            await self._writer.drain()
        if self.host["then"] == "Close":
            self.transport.close()
        if self.host["then"] != "GoOn":
            # Until the connection ends, which cancels this.
            await asyncio.Event().wait()


async def main():
    loop = asyncio.get_running_loop()
    for host in json.load(sys.stdin):
        await loop.create_server(functools.partial(Rude, host), host["address"], host["port"])
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
