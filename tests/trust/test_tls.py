"""Real handshakes over loopback: who gets past TLS and the gate, and as what."""

import asyncio
import dataclasses
import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from relay.core.errors import Code, PeerFault
from relay.trust.epochs import rotated
from relay.trust.tls import (
    Purpose,
    admit_connection,
    link_client_context,
    link_server_context,
    pairing_client_context,
    peer_public_key,
    require_peer,
    server_name,
)
from relay.trust.workspace import ca_certificate, ca_key, leaf_certificate

from .seeds import HOME, LAPTOP, OTHER, ROOT, STRANGER, VPS

Outcome = Purpose | PeerFault


class Gate(asyncio.Protocol):
    """A listener that asks `admit_connection` first, as a broker does, and echoes what it then reads."""

    def __init__(self, visit: "Visit") -> None:
        self.visit, self.outcomes, self.keys = visit, visit.outcomes, visit.keys

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        tls = transport.get_extra_info("ssl_object")
        self.visit.context = tls.context
        try:
            self.outcomes.append(admit_connection(tls))
            if self.outcomes[-1] is Purpose.LINK:
                self.keys.append(peer_public_key(tls))
        except PeerFault as fault:
            self.outcomes.append(fault)
            transport.abort()

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Visit:
    """What came of one connection: the listener's verdict, the client's view."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.keys: list[bytes] = []
        self.echo = b""
        self.error: BaseException | None = None
        self.session_has_ticket: bool | None = None
        self.server_key = b""
        self.version: str | None = None
        self.context: ssl.SSLContext | None = None

    async def go(self, server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> "Visit":
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: Gate(self), "127.0.0.1", 0, ssl=server)
        port = listener.sockets[0].getsockname()[1]
        try:
            await self._talk(port, client, name)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.error = error
        finally:
            listener.close()
            await listener.wait_closed()
        return self

    async def _talk(self, port: int, client: ssl.SSLContext, name: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
        try:
            writer.write(b"hello")
            self.echo = await reader.readexactly(5)
            tls = writer.get_extra_info("ssl_object")
            self.server_key, self.version = peer_public_key(tls), tls.version()
            session = tls.session
            self.session_has_ticket = session is not None and session.has_ticket
        finally:
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass


SERVER = link_server_context(HOME, ROOT)


async def visit(client: ssl.SSLContext, server: ssl.SSLContext = SERVER, name: str = "") -> Visit:
    return await Visit().go(server, client, name)


def client_with(path: Path, certificate: x509.Certificate, key: Any, alpn: str | None = "relay/1") -> ssl.SSLContext:
    """A client that shows whatever certificate it likes and trusts anybody."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = path / "leaf.pem"
    file.write_bytes(certificate.public_bytes(Encoding.PEM) + pem)
    context = bare_client(alpn)
    context.load_cert_chain(file)
    return context


def bare_client(alpn: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols([alpn])
    return context


def minted(public: Any, issuer: x509.Name, signer: Any) -> x509.Certificate:
    """A leaf as a member could mint it with the workspace key."""
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anybody")]))
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(7)
        .not_valid_before(datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2900, 1, 1, tzinfo=datetime.UTC))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(signer, None)
    )


def refused(seen: Visit) -> PeerFault:
    assert len(seen.outcomes) == 1 and isinstance(seen.outcomes[0], PeerFault)
    assert seen.echo == b""
    return seen.outcomes[0]


def never_admitted(seen: Visit) -> None:
    assert seen.outcomes == [] and seen.echo == b"" and seen.error is not None


async def test_a_member_gets_a_link_without_a_ticket() -> None:
    seen = await visit(link_client_context(HOME, LAPTOP))
    assert (seen.outcomes, seen.keys, seen.echo) == ([Purpose.LINK], [LAPTOP.public], b"hello")
    assert (seen.server_key, seen.version) == (ROOT.public, "TLSv1.3")
    assert seen.session_has_ticket is False


async def test_a_stranger_without_a_certificate_gets_no_link() -> None:
    fault = refused(await visit(bare_client("relay/1")))
    assert fault.code is Code.OTHER_WORKSPACE and "no certificate" in fault.why


@pytest.mark.parametrize("alpn", [None, "http/1.1", "relay/2"])
async def test_another_protocol_is_refused(alpn: str | None) -> None:
    assert refused(await visit(bare_client(alpn))).code is Code.BAD_HELLO


async def test_a_self_signed_certificate_fails_in_the_handshake(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.from_private_bytes(LAPTOP.seed)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anybody")])
    never_admitted(await visit(client_with(tmp_path, minted(key.public_key(), name, key), key)))


async def test_another_workspace_fails_in_the_handshake_on_either_side() -> None:
    never_admitted(await visit(link_client_context(OTHER, STRANGER)))
    never_admitted(await visit(link_client_context(HOME, LAPTOP), link_server_context(OTHER, STRANGER)))


async def test_a_certificate_of_another_epoch_fails(tmp_path: Path) -> None:
    never_admitted(await visit(link_client_context(dataclasses.replace(HOME, epoch=2), LAPTOP)))


async def test_who_names_a_former_epoch_is_answered_in_it() -> None:
    after = rotated(HOME, ROOT, b"\x21" * 32, 2, 0)
    server = link_server_context(after, ROOT)
    seen = await visit(link_client_context(HOME, LAPTOP), server, name=server_name(HOME))
    assert (seen.outcomes, seen.server_key, seen.echo) == ([Purpose.LINK], ROOT.public, b"hello")
    assert seen.context is not server
    seen = await visit(link_client_context(after, LAPTOP), server, name=server_name(after))
    assert seen.outcomes == [Purpose.LINK] and seen.context is server
    # who names it has to hold it, and the present one is shown to who names none
    never_admitted(await visit(link_client_context(OTHER, STRANGER), server, name=server_name(HOME)))
    never_admitted(await visit(link_client_context(HOME, LAPTOP), server))
    never_admitted(await visit(link_client_context(HOME, LAPTOP), server, name=server_name(after)))
    refused(await visit(bare_client("relay/1"), server, name=server_name(HOME)))


async def test_another_workspaces_certificate_with_our_issuers_name_fails(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.from_private_bytes(STRANGER.seed)
    certificate = minted(key.public_key(), ca_certificate(HOME).subject, ca_key(OTHER))
    never_admitted(await visit(client_with(tmp_path, certificate, key)))


async def test_a_p256_leaf_minted_by_a_member_is_refused(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = minted(key.public_key(), ca_certificate(HOME).subject, ca_key(HOME))
    fault = refused(await visit(client_with(tmp_path, certificate, key)))
    assert "not Ed25519" in fault.why


async def test_the_authority_itself_is_no_leaf(tmp_path: Path) -> None:
    never_admitted(await visit(client_with(tmp_path, ca_certificate(HOME), ca_key(HOME))))


async def test_a_certificate_without_its_key_proves_nothing(tmp_path: Path) -> None:
    thief = Ed25519PrivateKey.from_private_bytes(STRANGER.seed)
    with pytest.raises(ssl.SSLError):
        client_with(tmp_path, leaf_certificate(HOME, LAPTOP), thief)


async def test_a_joiner_without_a_certificate_may_pair_and_sees_the_pin() -> None:
    seen = await visit(pairing_client_context())
    assert (seen.outcomes, seen.echo, seen.server_key) == ([Purpose.PAIRING], b"hello", ROOT.public)
    assert seen.session_has_ticket is False


async def test_tls_1_2_is_not_spoken() -> None:
    client = bare_client("relay/1")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    never_admitted(await visit(client))


async def test_certificates_pass_the_strict_rules_of_python_3_13() -> None:
    server, client = link_server_context(HOME, ROOT), link_client_context(HOME, LAPTOP)
    for context in (server, client):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    seen = await visit(client, server)
    assert seen.outcomes == [Purpose.LINK] and seen.echo == b"hello"


def test_no_secret_is_written_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert link_server_context(HOME, ROOT).keylog_filename is None
    assert link_client_context(HOME, ROOT).keylog_filename is None
    assert pairing_client_context().keylog_filename is None


def test_keys_load_where_there_is_no_memfd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr("os.memfd_create", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    link_server_context(HOME, ROOT)
    assert list(tmp_path.iterdir()) == []


class Shown:
    """Only what `peer_public_key` and `require_peer` ask of a TLS object."""

    def __init__(self, certificate: bytes | None, alpn: str | None = "relay/1") -> None:
        self.certificate, self.alpn = certificate, alpn

    def getpeercert(self, binary_form: bool) -> bytes | None:
        return self.certificate

    def selected_alpn_protocol(self) -> str | None:
        return self.alpn


def shown(certificate: bytes | None, alpn: str | None = "relay/1") -> Any:
    return Shown(certificate, alpn)


def test_the_dialled_broker_must_be_the_expected_one() -> None:
    leaf = leaf_certificate(HOME, VPS).public_bytes(Encoding.DER)
    assert require_peer(shown(leaf), VPS.id) == VPS.public
    for tls, expected in ((shown(leaf), LAPTOP.id), (shown(leaf, None), VPS.id), (shown(None), VPS.id)):
        with pytest.raises(PeerFault):
            require_peer(tls, expected)


def test_rubbish_and_keys_of_small_order_are_no_certificate() -> None:
    good = leaf_certificate(HOME, VPS).public_bytes(Encoding.DER)
    weak = good.replace(VPS.public, bytes(32))
    for der in (b"", b"rubbish", good[:-9], weak):
        with pytest.raises(PeerFault):
            peer_public_key(shown(der))


def test_certificates_are_the_same_bytes_each_time() -> None:
    assert ca_certificate(HOME) == ca_certificate(HOME)
    assert leaf_certificate(HOME, VPS) == leaf_certificate(HOME, VPS)
