"""Invites by a code that is read out: one machine joins, a wrong guess burns it, and who answers has to know it too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import serve

from relay.core import codes, ids
from relay.core.codes import InviteCode, Offer
from relay.core.errors import PeerFault, Refused
from relay.core.hello import NONCE_BYTES
from relay.testing.clocked import launcher
from relay.testing.control import ControlError
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from relay.trust import code_exchange, joining
from relay.trust.identity import Identity, load_identity
from relay.trust.pairing import Invited, make_request, raise_refusal
from relay.trust.tls import link_server_context, peer_public_key
from relay.trust.workspace import load_workspace
from tests.e2e.scene import error_of, relay, relay_json

WRONG = "castle-castle-castle"


@pytest.fixture
def vps(mesh: Mesh) -> Node:
    return mesh.add("vps")


def _invite(node: Node) -> tuple[str, str]:
    made = relay_json(node, "invite")
    return made["code"], made["address"]


def _wrong(code: str) -> str:
    return f"{code.split('-')[0]}-{WRONG}"


def _heard(node: Node, state: str) -> list[dict[str, Any]]:
    with node.control() as control:
        return [each for each in control.get("audit?limit=100") if state in str(each)]


@pytest.mark.parametrize("running", [True, False])
def test_a_machine_joins_by_a_code_and_both_screens_show_the_same_words(
    mesh: Mesh, vps: Node, running: bool
) -> None:
    code, address = _invite(vps)
    laptop = mesh.add("laptop", started=running)
    joined = relay_json(laptop, "join", code.upper().replace("-", " "), address)
    assert joined["workspace"]["name"] == "vps-workspace"
    events = [each for each in vps.relay("events", "--json").stdout.splitlines() if "invite.changed" in each]
    assert joined["compare"] in events[-1]
    assert '"state": "used"' in events[-1] or '"state":"used"' in events[-1]
    if not running:
        laptop.start()
    mesh.await_link(vps, laptop)


@pytest.mark.parametrize("line", ["{} {}", "  relay join {} {}\n", "relay join '{}' {}"])
def test_a_code_is_pasted_instead(mesh: Mesh, vps: Node, line: str) -> None:
    laptop = mesh.add("laptop", started=False)
    laptop.relay("join", typed=line.format(*_invite(vps)))


@pytest.mark.parametrize("by_code", [True, False])
def test_no_second_invite_is_made_under_one_key(vps: Node, by_code: bool) -> None:
    with vps.control() as control:
        control.post("invites", {"operation": "once", "code": by_code})
        with pytest.raises(ControlError) as caught:
            control.post("invites", {"operation": "once", "code": by_code})
    assert caught.value.code == "conflict"
    assert caught.value.document["hint"] == "relay invite, for another one"


@pytest.mark.parametrize(
    ("route", "body", "code"),
    [
        ("invites", {"ttl_s": 1e308}, "usage"),
        ("invites", {"ttl_s": 2**60}, "usage"),
        ("invites", {"ttl_s": 2**53}, "bad_duration"),
        ("invites", {"ttl_s": True}, "bad_duration"),
        ("blobs/remove", {"blob": "\ud800"}, "usage"),
    ],
)
def test_what_cannot_be_counted_or_written_is_refused(
    vps: Node, route: str, body: dict[str, Any], code: str
) -> None:
    with vps.control() as control, pytest.raises(ControlError) as caught:
        control.post(route, body)
    assert caught.value.code == code


def test_membership_alone_gives_no_right(mesh: Mesh, vps: Node) -> None:
    laptop = mesh.add("laptop")
    laptop.relay("join", *_invite(vps))
    mesh.await_link(vps, laptop)
    done = relay(laptop, "--json", "spawn", "-", "shell", "true", "--broker", "vps", "--cwd", str(vps.work), "--wait")
    assert done.returncode == 125


def test_a_wrong_guess_burns_the_code(mesh: Mesh, vps: Node) -> None:
    laptop = mesh.add("laptop", started=False)
    code, address = _invite(vps)
    done = relay(laptop, "--json", "join", _wrong(code), address)
    assert error_of(done)["code"] == "invite_refused"
    done = relay(laptop, "--json", "join", code, address)
    assert error_of(done)["code"] == "invite_refused"
    assert _heard(vps, "burnt")
    assert [each["name"] for each in relay_json(vps, "brokers")] == ["vps"]


def test_a_slip_of_the_keyboard_burns_nothing(mesh: Mesh, vps: Node) -> None:
    laptop = mesh.add("laptop", started=False)
    code, address = _invite(vps)
    error = error_of(relay(laptop, "--json", "join", code + "x", address))
    assert error["code"] == "bad_invite"
    assert code.split("-")[-1] in error["why"]
    relay_json(laptop, "join", code, address)


def test_a_code_is_good_for_one_machine_which_may_ask_again(mesh: Mesh, vps: Node) -> None:
    laptop, mini = mesh.add("laptop", started=False), mesh.add("mini", started=False)
    code, address = _invite(vps)
    first = relay_json(laptop, "join", code, address)
    assert relay_json(laptop, "join", code, address) == first
    done = relay(mini, "--json", "join", code, address)
    assert error_of(done)["code"] == "invite_refused"


def test_a_code_needs_an_address_and_a_link_has_them(mesh: Mesh, vps: Node) -> None:
    laptop = mesh.add("laptop", started=False)
    code, address = _invite(vps)
    assert error_of(relay(laptop, "--json", "join", code))["message"] == "a code alone does not say where to go"
    link = relay_json(vps, "invite", "--link")["link"]
    assert relay(laptop, "join", link, address).returncode == 2
    relay_json(laptop, "join", code, address)


@pytest.mark.parametrize(
    ("address", "why"),
    [("127.0.0.1:1", "refused: nothing listens at 127.0.0.1:1"), ("no.such.host.invalid:7411", "is not known here")],
)
def test_an_address_where_nobody_is_is_told_in_words(mesh: Mesh, vps: Node, address: str, why: str) -> None:
    code, _ = _invite(vps)
    error = error_of(relay(Node(mesh.folder, "newcomer", 1), "--json", "join", code, address))
    assert why in error["why"] and "rrno" not in error["why"], error


def test_an_expired_code_is_refused_and_told(mesh: Mesh, vps: Node) -> None:
    laptop = mesh.add("laptop", started=False)
    made = relay_json(vps, "invite", "--ttl", "1s")
    expired = lambda: '"state":"expired"' in vps.relay("events", "--json").stdout.replace(": ", ":")  # noqa: E731
    wait_until(expired, 10, "the code to expire")
    assert error_of(relay(laptop, "--json", "join", made["code"], made["address"]))["code"] == "invite_refused"
    error = error_of(relay(vps, "--json", "invite", "--ttl", "1h"))
    assert error["code"] == "bad_duration"


def test_five_wrong_codes_within_an_hour_stop_all_codes_and_no_links(mesh: Mesh, vps: Node) -> None:
    laptop = mesh.add("laptop", started=False)
    for _ in range(5):
        code, address = _invite(vps)
        assert relay(laptop, "join", _wrong(code), address).returncode == 1
    error = error_of(relay(vps, "--json", "invite"))
    assert error["code"] == "rate_limited"
    assert "relay invite --link" in error["hint"].replace(f"--home {vps.home} ", "")
    vps.restart()
    assert error_of(relay(vps, "--json", "invite"))["code"] == "rate_limited"
    relay_json(laptop, "join", relay_json(vps, "invite", "--link")["link"])
    vps.stop()
    vps.launcher = launcher(3_700)
    vps.start()
    _invite(vps)


# what is not done by our own command


async def _at_once() -> None:
    """Nothing is waited for."""


async def _exchange(
    identity: Identity, code: InviteCode, address: str, meanwhile: Callable[[], Awaitable[None]] = _at_once
) -> tuple[float, str]:
    """One joiner's whole run; seconds from its proof to the verdict, and the verdict.

    Args:
        identity: the joiner's.
        code: what it types.
        address: where.
        meanwhile: awaited between the inviter's half and the proof.
    """
    async with joining._dialled(address) as connection:
        guest = code_exchange.Guest(identity, code)
        public = peer_public_key(joining._tls(connection))
        inviter = ids.broker_id(public)
        offered = await joining._asked(connection, codes.pack_opening(guest.opening))
        offer, start = codes.unpack_offer(offered)
        agreed = guest.finish(inviter, offer, start)
        invite = Invited(codes.code_id(code.number, inviter, identity.public), agreed.verifier, inviter)
        _, raw = make_request(identity, invite, "guesser", (), bytes(NONCE_BYTES))
        await meanwhile()
        began = time.monotonic()
        answer = await joining._asked(connection, raw)
        took = time.monotonic() - began
        try:
            raise_refusal(answer)
        except Refused as error:
            return took, error.message
        return took, "joined"


def _identity(seed: int) -> Identity:
    return Identity.create(seed.to_bytes(32, "big"), (seed + 1_000_000).to_bytes(32, "big"))


async def test_exchanges_that_began_before_the_first_wrong_one_was_judged_count_too(vps: Node) -> None:
    """Nine codes are open; eight wrong guesses at once, then a right one: each exchange has waited for the others."""
    made = [await asyncio.to_thread(_invite, vps) for _ in range(9)]
    opened = [codes.parse_code(code) for code, _ in made]
    begun, all_begun, judged = 0, asyncio.Event(), asyncio.Event()

    async def together() -> None:
        nonlocal begun
        begun += 1
        if begun == len(opened):
            all_begun.set()
        await all_begun.wait()

    async def last() -> None:
        await together()
        await judged.wait()

    address = made[0][1]
    right = asyncio.create_task(_exchange(_identity(50), opened[8], address, last))
    guesses = [InviteCode(code.number, ("castle",) * 3) for code in opened[:8]]
    runs = [_exchange(_identity(20 + n), guess, address, together) for n, guess in enumerate(guesses)]
    said = [verdict for _, verdict in await asyncio.gather(*runs)]
    judged.set()
    assert sorted(said) == ["codes are not taken there for now"] * 3 + ["the invite was refused"] * 5
    assert (await right)[1] == "codes are not taken there for now"
    assert len(await asyncio.to_thread(_heard, vps, "is burnt")) == 5


async def test_how_long_an_answer_takes_tells_nothing_nor_does_a_number_without_a_code(vps: Node) -> None:
    code, address = await asyncio.to_thread(_invite, vps)
    real = codes.parse_code(code)
    nobody = InviteCode(real.number + 1, real.words)
    absent = await _exchange(_identity(1), nobody, address)
    wrong = await _exchange(_identity(2), InviteCode(real.number, ("castle",) * 3), address)
    burnt = await _exchange(_identity(3), real, address)
    assert absent[1] == wrong[1] == "the invite was refused"
    assert burnt[1] == "the invite was used up"
    assert all(took >= 0.95 for took, _ in (absent, wrong, burnt))


async def test_of_fifty_at_once_with_the_code_one_joins(vps: Node) -> None:
    await _redeem_at_once(vps, 50)


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_of_a_thousand_at_once_with_the_code_one_joins(vps: Node) -> None:
    await _redeem_at_once(vps, 1_000)


async def _redeem_at_once(vps: Node, count: int) -> None:
    code, address = await asyncio.to_thread(_invite, vps)
    runs = [_exchange(_identity(10 + n), codes.parse_code(code), address) for n in range(count)]
    verdicts = await asyncio.gather(*runs, return_exceptions=True)
    assert sum(isinstance(each, tuple) and each[1] == "joined" for each in verdicts) == 1
    members = await asyncio.to_thread(relay_json, vps, "brokers")
    assert len(members) == 2


async def test_who_answers_without_knowing_the_code_is_not_believed(mesh: Mesh, vps: Node, tmp_path: Path) -> None:
    """Somebody at the address who made up a workspace: it cannot confirm, and nothing of it is taken home."""
    stranger = mesh.add("stranger", started=False)
    laptop = mesh.add("laptop", started=False)
    identity = load_identity(Path(stranger.home / "identity.key"))
    offer = Offer(b"made-up", "made-up", "member")

    async def answer(connection: Any) -> None:
        opening = codes.unpack_opening(await connection.recv(decode=False))
        start, agreed = code_exchange.respond(b"a-guess-only", opening, identity.id, offer)
        await connection.send(codes.pack_offer(offer, start))
        await connection.recv(decode=False)
        await connection.send(codes.pack_welcome(agreed.confirmation, b"whatever"))

    context = link_server_context(load_workspace(Path(stranger.home / "workspace.key")), identity)
    before = (laptop.home / "workspace.key").read_bytes()
    async with serve(answer, "127.0.0.1", 0, ssl=context, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        done = await asyncio.to_thread(
            relay, laptop, "--json", "join", "7-crater-lantern-velvet", f"127.0.0.1:{port}"
        )
    assert error_of(done)["why"] == "who answered does not know the code"
    assert (laptop.home / "workspace.key").read_bytes() == before
    with pytest.raises(PeerFault):
        code_exchange.check_confirmation(codes.Agreed(bytes(32), bytes(32)), bytes([1] * 32))
