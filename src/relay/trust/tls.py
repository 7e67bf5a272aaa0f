"""TLS contexts, and the gate every connection passes before one byte of it is parsed.

One port serves two protocols, told apart by ALPN: `relay/1` between members, each with a workspace
certificate, and `relay-pair/1` for a joiner, which has none yet. TLS itself must therefore let a client without
a certificate in, and `admit_connection`, called in `connection_made`, turns it away from `relay/1`. A client
*with* a certificate that is not the workspace's fails in the handshake.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from enum import Enum

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import SubjectKeyIdentifier

from relay.core import ids
from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId
from relay.trust.identity import Identity, check_public_key
from relay.trust.workspace import Workspace, ca_certificate, ca_key, leaf_certificate

LINK_PROTOCOL = "relay/1"
PAIRING_PROTOCOL = "relay-pair/1"
# In TLS 1.3 a client whose certificate is refused sees the handshake succeed, and then the connection end.
REFUSED_BY_PEER = "the peer refused our workspace certificate (other workspace, or its clock)"

TlsObject = ssl.SSLObject | ssl.SSLSocket


class Purpose(Enum):
    """What an accepted connection may be used for."""

    LINK = "link"
    PAIRING = "pairing"


def _context(protocol: int) -> ssl.SSLContext:
    # Bare: create_default_context would load public CAs, and write secrets where SSLKEYLOGFILE says.
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
    return context


@contextlib.contextmanager
def _key_path(pem: bytes) -> Iterator[str]:
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("relay-key", os.MFD_CLOEXEC), "wb") as file:
            file.write(pem)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.NamedTemporaryFile(prefix="relay-key-") as file:  # mode 0600, gone on exit
        file.write(pem)
        file.flush()
        yield file.name


def _load_own_key(context: ssl.SSLContext, workspace: Workspace, identity: Identity) -> None:
    key = Ed25519PrivateKey.from_private_bytes(identity.seed)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with _key_path(leaf_certificate(workspace, identity).public_bytes(Encoding.PEM) + pem) as path:
        context.load_cert_chain(path)


def _trust_workspace(context: ssl.SSLContext, workspace: Workspace) -> None:
    context.load_verify_locations(cadata=ca_certificate(workspace).public_bytes(Encoding.DER))


def server_name(workspace: Workspace) -> str:
    """The TLS name by which a dialler says which epoch it comes with: made of the authority's key, which is public."""
    public = ca_key(workspace).public_key()
    return f"e{SubjectKeyIdentifier.from_public_key(public).digest.hex()}.relay.invalid"


def link_server_context(workspace: Workspace, identity: Identity) -> ssl.SSLContext:
    """The listener's context, for links and for pairing; each connection goes through `admit_connection`.

    Who names a former epoch that is held is answered in that one, by another context: `tls.context` is then not this.
    """
    context = _server_context(workspace, identity)
    former = {server_name(each): _server_context(each, identity) for each in map(workspace.at, workspace.former)}

    def choose(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name in former:
            tls.context = former[name]

    if former:
        context.sni_callback = choose
    return context


def _server_context(workspace: Workspace, identity: Identity) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols([LINK_PROTOCOL, PAIRING_PROTOCOL])
    _trust_workspace(context, workspace)
    _load_own_key(context, workspace, identity)
    return context


def link_client_context(workspace: Workspace, identity: Identity) -> ssl.SSLContext:
    """The dialler's context for links; the caller pins the expected id with `require_peer`."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # names are labels: the key is pinned instead
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols([LINK_PROTOCOL])
    _trust_workspace(context, workspace)
    _load_own_key(context, workspace, identity)
    return context


def pairing_client_context() -> ssl.SSLContext:
    """The joiner's context: it trusts no certificate, and must call `require_peer` with the link's pin."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the server still proves that it holds its leaf's key
    context.set_alpn_protocols([PAIRING_PROTOCOL])
    return context


def _fault(why: str, code: Code = Code.OTHER_WORKSPACE) -> PeerFault:
    return PeerFault("a connection was refused", code=code, why=why)


def peer_public_key(tls: TlsObject) -> bytes:
    """The raw Ed25519 key (32 bytes) of the peer's leaf certificate.

    Raises:
        PeerFault: it has none, another kind of key (a member can mint one), or a key of small order.
    """
    der = tls.getpeercert(binary_form=True)
    if not der:
        raise _fault("it showed no certificate")
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except Exception:  # a parser in another language: whatever it raises, the certificate is not readable
        raise _fault("its certificate cannot be read") from None
    if not isinstance(key, Ed25519PublicKey):
        raise _fault("its certificate's key is not Ed25519")
    return check_public_key(key.public_bytes_raw())


def admit_connection(tls: TlsObject) -> Purpose:
    """What an accepted connection may be used for; to be called before a byte of it is parsed.

    Args:
        tls: `transport.get_extra_info("ssl_object")`, the handshake done.

    Raises:
        PeerFault: no known ALPN, or `relay/1` without a fitting workspace certificate.
    """
    protocol = tls.selected_alpn_protocol()
    if protocol == PAIRING_PROTOCOL:
        return Purpose.PAIRING
    if protocol != LINK_PROTOCOL:
        raise _fault("it offered neither relay/1 nor relay-pair/1", Code.BAD_HELLO)
    peer_public_key(tls)
    return Purpose.LINK


def require_peer(tls: TlsObject, expected: BrokerId) -> bytes:
    """The key of the broker that was dialled, when it is the expected one. For links and for pairing.

    Raises:
        PeerFault: another broker answered, or one without a fitting certificate or ALPN.
    """
    if tls.selected_alpn_protocol() not in (LINK_PROTOCOL, PAIRING_PROTOCOL):
        raise _fault("it does not speak relay/1", Code.BAD_HELLO)
    public = peer_public_key(tls)
    if ids.broker_id(public) != expected:
        raise _fault(
            f"{ids.short(ids.broker_id(public))} answered where {ids.short(expected)} was expected", Code.BAD_HELLO
        )
    return public
