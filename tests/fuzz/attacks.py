"""The attacks on a live port: each is one connection with something wrong in it. All are drawn from a seed."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import islice

from relay.core import ids
from relay.core.envelope import Body
from relay.core.frames import Batch, Bye, Credit, Frame, HelloFrame, Ping, Pong, pack_frame
from relay.core.kinds import KINDS, Kind
from relay.core.offers import packed_offers
from relay.core.wire import pack, unpack
from relay.trust.identity import Identity
from relay.trust.tls import PAIRING_PROTOCOL, link_client_context, pairing_client_context
from relay.trust.workspace import Workspace
from tests.fuzz.attacker import UPGRADE, Attacker, client_hello, finish, websocket_frame
from tests.fuzz.mutation import mutants
from tests.fuzz.specimens import QUESTION, REQUEST, SNAPSHOT, TRIAL_WORD
from tests.fuzz.specimens_of_tools import OFFERS
from tests.fuzz.specimens_of_trust import forms as forms_of_trust

Attack = Callable[[Attacker, random.Random], None]
# packed once: each value of an odd letter is one of many that were to be had
_REQUEST = unpack(pack(REQUEST.to_content()), 65_536)
_SNAPSHOT, _QUESTION, _WORD = SNAPSHOT.to_bytes(), QUESTION.to_bytes(), TRIAL_WORD.to_bytes()
_JOIN_REQUEST = next(form.specimen for form in forms_of_trust() if form.name == "join request")


def _mutant(rng: random.Random, specimen: bytes) -> bytes:
    return next(islice(mutants(specimen, rng.getrandbits(48)), 1))


def noise_before_tls(attacker: Attacker, rng: random.Random) -> None:
    """Bytes that are no TLS, HTTP without TLS among them."""
    texts = (UPGRADE.encode(), b"SSH-2.0-x\r\n", b"\x16\x03\x01\xff\xff")
    said = rng.choice((rng.randbytes(rng.randint(1, 2000)), *texts))
    with attacker.tcp() as plain:
        plain.sendall(said)
        finish(plain)


def broken_tls(attacker: Attacker, rng: random.Random) -> None:
    """A ClientHello, cut off or changed."""
    hello = client_hello(rng)
    said = hello[: rng.randrange(len(hello))] if rng.random() < 0.5 else _mutant(rng, hello)
    with attacker.tcp() as plain:
        plain.sendall(said)
        finish(plain)


def no_certificate(attacker: Attacker, rng: random.Random) -> None:
    """TLS for links without a certificate, then as if all were well."""
    context = pairing_client_context()
    context.set_alpn_protocols(["relay/1"])
    with suppress(OSError), attacker.tls(context) as secured:
        secured.sendall(UPGRADE.encode() + websocket_frame(pack_frame(HelloFrame(attacker.hello()))))
        finish(secured)


@cache
def _foreign_context() -> ssl.SSLContext:
    stranger = Identity.create(bytes(range(32)), bytes(range(32)))
    return link_client_context(Workspace.create(bytes(32), "other", stranger, bytes(16)), stranger)


def foreign_certificate(attacker: Attacker, rng: random.Random) -> None:
    """The certificate of another workspace."""
    context = _foreign_context()
    context.verify_mode = ssl.CERT_NONE
    with suppress(OSError), attacker.tls(context) as secured:
        secured.sendall(UPGRADE.encode())
        finish(secured)


def no_websocket(attacker: Attacker, rng: random.Random) -> None:
    """A member's TLS, then no proper opening."""
    opening = UPGRADE.format(host=attacker.victim.address).encode()
    endless = b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"a" * 70_000
    with attacker.tls() as secured:
        with suppress(OSError):
            secured.sendall(rng.choice((rng.randbytes(300), _mutant(rng, opening), opening[:40], endless)))
        finish(secured)


def broken_websocket(attacker: Attacker, rng: random.Random) -> None:
    """Frames that break the WebSocket's rules: too long, cut off, not masked, reserved bits, text."""
    ping = pack_frame(Ping(1))
    broken = (
        websocket_frame(ping, claimed=rng.choice((330 * 1024, 2**31, 2**62))),
        websocket_frame(bytes(330 * 1024)),
        websocket_frame(ping, claimed=len(ping) + 50),
        websocket_frame(ping, masked=False),
        websocket_frame(ping, first=rng.randrange(256)),
        websocket_frame(b"a" * 200, first=0x89),
        websocket_frame(ping, first=0x02) + websocket_frame(bytes(300 * 1024), first=0x00) * 2,
        _mutant(rng, websocket_frame(ping)),
    )
    with attacker.websocket() as opened:
        with suppress(OSError):
            opened.sendall(rng.choice(broken))
        finish(opened)


def broken_hello(attacker: Attacker, rng: random.Random) -> None:
    """A changed hello, or something else in its place."""
    frames = (
        pack_frame(HelloFrame(_mutant(rng, attacker.hello())[:8192])),
        _mutant(rng, pack_frame(HelloFrame(attacker.hello()))),
        pack_frame(Ping(1)),
    )
    with attacker.websocket() as opened:
        opened.sendall(websocket_frame(rng.choice(frames)))
        finish(opened)


def _spawn(attacker: Attacker) -> bytes:
    return attacker.envelope("spawn", Body(f"fuzz-{next(_NUMBERS)}", REQUEST.to_content()))


_NUMBERS = iter(range(10**9))


def broken_frames(attacker: Attacker, rng: random.Random) -> None:
    """After a good hello: frames changed in their bytes."""
    batch, hello = Batch((_spawn(attacker),)), HelloFrame(attacker.hello())
    frame: Frame = rng.choice((Ping(1), Pong(1), Bye("x"), Credit(9), hello, batch))
    with attacker.link() as link:
        with suppress(OSError):
            link.sendall(websocket_frame(_mutant(rng, pack_frame(frame))))
        finish(link)


def forged_envelopes(attacker: Attacker, rng: random.Random) -> None:
    """After a good hello: a good batch of requests to spawn, each changed under its signature."""
    forged = tuple(_mutant(rng, _spawn(attacker)) for _ in range(rng.randint(1, 8)))
    with attacker.link() as link:
        with suppress(OSError):
            link.sendall(websocket_frame(pack_frame(Batch(forged))))
        finish(link)


def senseless_bodies(attacker: Attacker, rng: random.Random) -> None:
    """Well sealed and signed by a member without a grant: bodies of every kind that make no sense."""
    content = unpack(pack(REQUEST.to_content()), 65_536)
    with suppress(Exception):  # a change that unpacks to no map is of no use here
        changed = unpack(_mutant(rng, pack(content)), 65_536)
        content = changed if type(changed) is dict else content
    if rng.random() < 0.3:
        content |= {"verb": rng.choice(("pause", "edit", "retry", "gone", "unschedule", "pause_queue", 7))}
        content |= {"change": content.copy(), "operation": "x", "error": None}
        content |= {"schedule": content.get("spawn"), "every": "1s", "request": content.copy()}
    if rng.random() < 0.3:
        asked = _mutant(rng, QUESTION.to_bytes()) if rng.random() < 0.5 else QUESTION.to_bytes()
        word = {"word": TRIAL_WORD.to_bytes(), "signature": bytes(64)}
        content |= {"stream": rng.randbytes(16), "question": asked} | word
    kinds = (
        *("spawn", "stop", "steer", "steered", "schedule", "snapshot", "tail", "receipt", "nack", "roster"),
        *("log.open", "log.data", "log.close", "trial.ask", "trial.word", "x"),
    )
    letters = tuple(
        attacker.envelope(rng.choice(kinds), Body(f"fuzz-{next(_NUMBERS)}", content)) for _ in range(rng.randint(1, 8))
    )
    with attacker.link() as link:
        with suppress(OSError):
            link.sendall(websocket_frame(pack_frame(Batch(letters))))
        finish(link)


def _odd(rng: random.Random, attacker: Attacker, depth: int = 0) -> object:
    """A value of any form."""
    if depth < 3 and rng.random() < 0.2:
        inner = [_odd(rng, attacker, depth + 1) for _ in range(rng.randrange(4))]
        return inner if rng.random() < 0.5 else {rng.choice(_KEYS): each for each in inner}
    words = ("", "a", "x" * 5000, "\x00\u202e", "pause", "done", attacker.identity.id, attacker.target, "a" * 16)
    numbers = (True, 0, 1, -1, 2**63 - 1, 2**53, 0.5, float("nan"), float("inf"))
    return rng.choice((None, *words, *numbers, b"", rng.randbytes(16), rng.randbytes(32), rng.randbytes(64)))


def _fitting(key: str, rng: random.Random, attacker: Attacker) -> object:
    """What this key might want; of any form where nothing is known of it."""
    odd = _odd(rng, attacker)
    known: dict[str, tuple[object, ...]] = {
        "spawn": attacker.known_spawns or (ids.spawn_id(rng.randbytes(10)),),
        "schedule": (ids.spawn_id(rng.randbytes(10)),),
        "verb": ("pause", "resume", "edit", "retry", "gone", "unschedule", "pause_queue", "approve", "deny", "answer"),
        "change": ({"priority": odd}, {"task": odd}, {"labels": {"a": odd}}, {"name": odd, "after": odd}),
        "request": (_REQUEST | {rng.choice(_KEYS): odd}, rng.randbytes(16)),
        "ask": ({"port": odd}, {"source": bytes(16), "drive": odd, "again": odd, "offset": odd, "who": "x"}),
        "message": ({"text": odd}, rng.randbytes(20)),
        "chunks": ([[odd, odd]], [{"n": 0, "data": odd}], [rng.randbytes(16)]),
        "ids": ([rng.randbytes(16)], [odd]),
        "items": ([odd], [{"spawn": "a" * 16, "name": odd}], [rng.randbytes(32)], [[0, rng.randbytes(32)]]),
        "snapshot": (_SNAPSHOT, rng.randbytes(64)),
        "question": (_QUESTION,),
        "word": (_WORD,),
        "signature": (bytes(64),),
        "epochs": ([odd], [{"n": odd}], {1: odd}),
        "error": (None, {"code": odd, "error": odd, "why": odd}),
        "every": ("1s", "1h", "0 * * * *"),
        "state": ("whole", "refused", "wanted", "delivered"),
        "call": (ids.spawn_id(rng.randbytes(10)), "b" * 16),
        "tool": ("echo", odd),
        "arguments": (b"{}", b'{"a":1}', rng.randbytes(9)),
        "offers": (packed_offers(OFFERS), rng.randbytes(20)),
        "created": (1, 2**40),
        "timeout_s": (1.5, 60),
        "chain": ([], [attacker.target], [odd]),
        "tail": ({"attempt": 1, "end": odd, "pieces": odd}, [1, 5, [[0, 3, 1, 4, b"abc"]]]),
        **dict.fromkeys(("stream", "session", "id", "source"), (rng.randbytes(16), rng.randbytes(16), bytes(16))),
        **dict.fromkeys(("blob", "item", "hash"), (rng.randbytes(32), rng.randbytes(32).hex())),
        **dict.fromkeys(("n", "ack", "offset", "size", "expires", "rows", "columns"), (0, 1, 7, 2**40, -1)),
        **dict.fromkeys(("seq", "number"), (0, 1, 7, 2**40, -1)),
        **dict.fromkeys(("end", "follow", "accepted", "waiting"), (True, False)),
        **dict.fromkeys(("name", "agent", "by", "person", "said", "text", "code", "why"), ("exec", "shell", "x")),
    }
    return rng.choice(known[key]) if key in known and rng.random() < 0.9 else odd


_KEYS = sorted(
    set().union(*(facts.keys | facts.critical for facts in KINDS.values()))
    | {"run", "tail", "by", "after", "change", "operation"}
)


def odd_bodies(attacker: Attacker, rng: random.Random) -> None:
    """Well sealed and signed: every kind there is, with all the keys that it needs and values of any form."""
    letters = []
    for _ in range(rng.randint(1, 3)):
        kind = rng.choice(list(Kind))
        extra = rng.sample(_KEYS, rng.randrange(4))
        content = {key: _fitting(key, rng, attacker) for key in (*sorted(KINDS[kind].keys), *extra)}
        letters.append(attacker.envelope(kind, Body(f"odd-{next(_NUMBERS)}", content)))
    with attacker.link() as link:
        with suppress(OSError):
            link.sendall(websocket_frame(pack_frame(Batch(tuple(letters)))))
        finish(link)


def broken_pairing(attacker: Attacker, rng: random.Random) -> None:
    """The pairing protocol, with a changed request and no invite."""
    context = pairing_client_context()
    context.set_alpn_protocols([PAIRING_PROTOCOL])
    said = rng.choice((_mutant(rng, _JOIN_REQUEST), _JOIN_REQUEST, rng.randbytes(500)))
    with suppress(OSError), attacker.tls(context) as secured:
        secured.sendall(rng.choice((b"", len(said).to_bytes(4, "big"), b"\xff\xff\xff\xff")) + said)
        finish(secured)


# How often each is drawn: cheap ones more often than those that cost two handshakes' worth of time.
ATTACKS: dict[Attack, int] = {
    noise_before_tls: 30,
    broken_tls: 30,
    no_certificate: 4,
    foreign_certificate: 4,
    no_websocket: 5,
    broken_websocket: 6,
    broken_hello: 6,
    broken_frames: 6,
    forged_envelopes: 6,
    broken_pairing: 4,
}
