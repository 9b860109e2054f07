"""nats-py over TLS: a round trip with INFO first, and one with the handshake first.

Usage: tls.py URL AUTHORITY CERTIFICATE KEY [first]. The last line of a good run is `done`.
"""

import asyncio
import ssl
import sys

import nats


async def main(url: str, authority: str, certificate: str, key: str, first: bool) -> None:
    context = ssl.create_default_context(cafile=authority)
    context.load_cert_chain(certificate, key)
    connection = await nats.connect(
        url, tls=context, tls_hostname="localhost", tls_handshake_first=first, allow_reconnect=False
    )
    subscription = await connection.subscribe("tls.*")
    for size in (0, 100, 100_000, 1_000_000):
        body = bytes(at % 251 for at in range(size))
        await connection.publish("tls.body", body)
        message = await subscription.next_msg(timeout=20)
        assert message.data == body, size
    await connection.drain()
    print("done")


asyncio.run(main(*sys.argv[1:5], first=sys.argv[5:] == ["first"]))
