"""A hello over real TLS: bound to the connection it was made for."""

import asyncio

import pytest

from relay.core.errors import PeerFault
from relay.core.hello import AuditHead, Binding, Hello, Role
from relay.trust.hello import sign_hello, verify_hello
from relay.trust.identity import Identity
from relay.trust.tls import link_client_context, link_server_context, peer_public_key, require_peer

from .seeds import HOME, LAPTOP, NOW, ROOT, VPS


def hello_of(identity: Identity, binding: Binding) -> bytes:
    head = AuditHead(0, bytes(32))
    said = Hello(
        (1,), identity.public, "machine", Role.MEMBER, 1, bytes(16), bytes(32), head, binding.digest, 0, (), NOW
    )
    return sign_hello(identity, said)


async def heard_by(listener: Identity, dialler: Identity, raw: bytes | None = None) -> Hello:
    """Dial, say a hello (a given one, or the right one), and return what the listener made of it."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[Hello] = loop.create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = peer_public_key(writer.get_extra_info("ssl_object"))
        try:
            data = await reader.read()
            heard.set_result(verify_hello(data, peer, Binding(dialler=peer, listener=listener.public)))
        except PeerFault as fault:
            heard.set_exception(fault)
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=link_server_context(HOME, listener))
    async with server:
        port = server.sockets[0].getsockname()[1]
        context = link_client_context(HOME, dialler)
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="")
        public = require_peer(writer.get_extra_info("ssl_object"), listener.id)
        writer.write(raw or hello_of(dialler, Binding(dialler=dialler.public, listener=public)))
        writer.close()
        return await heard


async def test_the_hello_of_this_connection_is_heard() -> None:
    assert (await heard_by(ROOT, LAPTOP)).id == LAPTOP.id


@pytest.mark.parametrize(
    "raw",
    [
        hello_of(LAPTOP, Binding(LAPTOP.public, VPS.public)),  # kept by another listener and passed on
        hello_of(LAPTOP, Binding(ROOT.public, LAPTOP.public)),  # from a connection the other way round
        hello_of(VPS, Binding(VPS.public, ROOT.public)),  # another member's, over our own TLS
        hello_of(VPS, Binding(LAPTOP.public, ROOT.public)),
    ],
)
async def test_a_hello_of_another_connection_is_refused(raw: bytes) -> None:
    with pytest.raises(PeerFault, match="hello was refused"):
        await heard_by(ROOT, LAPTOP, raw)
