"""Several machines sign for one workspace: what each may do, and what its word is worth when that is taken back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.api.home import Home
from relay.core.ids import BrokerId
from relay.core.roster import Roster
from relay.core.statements import Statement, StatementKind, pack_statement, unpack_statement
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from relay.trust.founding import present_roster, read_addresses, read_statements, write_roster
from relay.trust.identity import Identity, load_identity
from relay.trust.roster import admit, evict, member_of
from relay.trust.signing import signed_block
from relay.trust.workspace import load_workspace
from tests.e2e.scene import audit, error_of, relay, relay_json

WITHIN_S = 5.0
STRANGER = Identity.create(b"\x61" * 32, b"\x62" * 32)


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    with Mesh.scratch("relay-signers-") as made:
        yield made


def _roster(node: Node) -> dict[str, Any]:
    """Its roster; one that begins anew with another epoch does not answer for a moment."""

    def asked() -> dict[str, Any]:
        found: dict[str, Any] = relay_json(node, "brokers", "--roster", status=None)
        return found if "members" in found else {}

    return wait_until(asked, 20, "its roster")


def _members(node: Node) -> set[str]:
    return {each["name"] for each in _roster(node)["members"]}


def _evicted(node: Node) -> list[str]:
    return [each["id"] for each in _roster(node)["evicted"]]


def _since(node: Node) -> str | None:
    """Since when this run of its broker is there; None where none answers."""
    since: str | None = relay_json(node, "status", status=None).get("since")
    return since


def _signers(node: Node) -> list[str]:
    return [each["name"] for each in _roster(node)["signers"]]


def _links(node: Node) -> set[str]:
    found = relay_json(node, "brokers", status=None)
    return {each["name"] for each in found if each["link"] == "direct"} if isinstance(found, list) else set()


def _agree(*nodes: Node) -> None:
    def heads() -> set[str | None]:
        # one that begins anew with another epoch does not answer for a moment
        return {relay_json(node, "brokers", "--roster", status=None).get("head") for node in nodes}

    wait_until(lambda: len(found := heads()) == 1 and None not in found, 20, "one roster everywhere")


def _promoted(mesh: Mesh) -> tuple[Node, Node]:
    laptop, vps = mesh.pair("laptop", "vps")
    relay_json(laptop, "broker", "promote", "vps")
    wait_until(lambda: _signers(vps) == ["laptop", "vps"], WITHIN_S, "vps to hear that it signs")
    return laptop, vps


def test_a_promoted_broker_invites_while_the_creator_is_away_and_puts_out_and_is_demoted(mesh: Mesh) -> None:
    laptop, vps = mesh.pair("laptop", "vps")
    error = error_of(relay(vps, "--json", "invite", "--link"))
    assert error["code"] == "not_a_signer" and error["hint"].startswith("on laptop: relay invite")
    done = relay_json(laptop, "broker", "promote", "vps")
    assert done["broker"] == {"id": vps.id, "name": "vps"}
    wait_until(lambda: _signers(vps) == ["laptop", "vps"], WITHIN_S, "vps to hear that it signs")
    assert relay_json(vps, "workspace", "show")["may_sign"]
    assert error_of(relay(vps, "--json", "workspace", "rotate"))["hint"].startswith("on laptop: relay workspace rotate")

    laptop.stop()
    mini = mesh.join(vps, "mini")
    relay_json(vps, "broker", "rename", "mini", "mac")
    laptop.start()
    wait_until(lambda: _members(laptop) == {"laptop", "vps", "mac"}, 20, "the creator to hear who has come")
    wait_until(lambda: {"vps", "mac"} == _links(laptop), 20, "all to be linked")
    (signer,) = _roster(laptop)["signers"][1:]
    assert signer["name"] == "vps" and signer["promoted"]["by"]["name"] == "laptop" and not signer["forked"]
    (entry,) = [each for each in _roster(laptop)["members"] if each["name"] == "mac"]
    assert entry["admitted_by"]["name"] == "vps" and not entry["signer"]
    assert "by laptop" in relay(laptop, "brokers", "--roster").stdout.decode()
    _refusals(laptop, vps, mini)

    relay_json(vps, "broker", "evict", "mac", "--reason", "lost")
    begun = time.monotonic()
    wait_until(lambda: mini.status()["links"] == 0, WITHIN_S, "its links to be closed", every=0.05)
    wait_until(lambda: "mac" not in _members(laptop), WITHIN_S, "the creator to hear of it", every=0.05)
    assert time.monotonic() - begun < WITHIN_S

    relay_json(laptop, "broker", "demote", "vps", "--reason", "it is to be sold")
    wait_until(lambda: _signers(vps) == ["laptop"], WITHIN_S, "vps to hear of it")
    error = error_of(relay(vps, "--json", "invite", "--link"))
    assert (error["code"], error["why"]) == ("not_a_signer", "laptop ended its right to sign the roster")
    assert _members(vps) == {"laptop", "vps"}
    # the rotation says by the creator's own word who is left out
    before = {node.id: _since(node) for node in (laptop, vps)}
    relay_json(laptop, "workspace", "rotate")
    for node in (laptop, vps):
        wait_until(lambda node=node: _since(node) not in (None, before[node.id]), 20, "it to begin anew")  # type: ignore[misc]
    assert relay_json(vps, "workspace", "show")["epoch"] == 2
    _agree(laptop, vps)
    assert _evicted(vps) == [mini.id]
    kinds = [each["kind"] for each in audit(laptop)]
    assert kinds.count("promote") == 1 and kinds.count("demote") == 1
    assert [each["kind"] for each in audit(vps)].count("evict") == 1


def _refusals(laptop: Node, vps: Node, mini: Node) -> None:
    cases = [
        (mini, ("promote", "mac"), "not_a_signer", "on laptop or vps: relay broker promote"),
        (mini, ("demote", "vps"), "not_a_signer", "on laptop or vps: relay broker demote"),
        (vps, ("demote", "laptop"), "usage", "relay broker demote BROKER"),
        (vps, ("evict", "laptop"), "usage", "relay broker evict BROKER"),
        (laptop, ("promote", "vps"), "usage", "relay brokers --roster"),
        (laptop, ("promote", "laptop"), "usage", "relay brokers --roster"),
        (laptop, ("demote", "mac"), "usage", "relay brokers --roster"),
        (laptop, ("promote", "nobody"), "unknown_broker", "relay brokers"),
    ]
    for node, words, code, hint in cases:
        error = error_of(relay(node, "--json", "broker", *words))
        assert error["code"] == code and error["hint"].startswith(hint), (words, error)


def _slip_in(node: Node, made: Statement) -> None:
    """Put a statement into the files of a broker that is down, whatever its own program thinks of it."""
    home = Home(str(node.home))
    roster = present_roster(home)
    assert roster is not None
    places = read_addresses(home)
    names = {each.id: (each.name, places.get(each.id, ())) for each in roster.members.values()}
    write_roster(home, [*read_statements(home), made.raw], names)


def _keys(node: Node) -> tuple[Identity, Any, Roster]:
    home = Home(str(node.home))
    roster = present_roster(home)
    assert roster is not None
    return load_identity(Path(home.identity_key)), load_workspace(Path(home.workspace_key)), roster


def _now() -> int:
    return time.time_ns() // 1_000_000


def test_who_was_demoted_and_signs_all_the_same_has_no_effect_elsewhere(mesh: Mesh) -> None:
    laptop, vps = _promoted(mesh)
    vps.stop()
    identity, workspace, roster = _keys(vps)  # as it was before the demotion
    relay_json(laptop, "broker", "demote", "vps")
    made = admit(identity, workspace, roster, member_of(STRANGER, "stranger", _now()), _now())
    _slip_in(vps, made)
    vps.start()
    wait_until(lambda: _links(laptop) == {"vps"} and _signers(vps) == ["laptop"], 20, "vps to hear that it is demoted")
    _agree(laptop, vps)
    assert _members(laptop) == _members(vps) == {"laptop", "vps"}


def _revoked(node: Node) -> list[str]:
    return [each["detail"] for each in audit(node) if each["kind"] == "revoke"]


def test_who_evicts_a_signer_it_does_not_stand_above_takes_nothing_from_it(mesh: Mesh) -> None:
    laptop, vps = _promoted(mesh)
    mini = mesh.join(laptop, "mini")
    relay_json(laptop, "broker", "promote", "mini")
    _agree(laptop, vps, mini)
    mesh.grant(on=mini, to=laptop)
    mesh.grant(on=laptop, to=mini)
    vps.stop()
    identity, workspace, roster = _keys(vps)
    (seat,) = (each for each in roster.seats if each.signer == identity.id)
    previous = seat.tip
    for seq, whom in enumerate((laptop, mini), seat.seq + 1):
        kind, subject = StatementKind.EVICT, BrokerId(whom.id)
        content = pack_statement(Statement(kind, workspace.id, identity.id, seq, previous, _now(), subject, reason="x"))
        made = unpack_statement(content, signed_block(identity, b"relay-statement/1", content))
        _slip_in(vps, made)
        previous = made.hash
    vps.start()
    _agree(laptop, vps, mini)
    # whom a later word puts out does lose its grant: by then the former words have been followed
    mesh.grant(on=mini, to=vps)
    relay_json(laptop, "broker", "evict", "vps")
    wait_until(lambda: _revoked(mini) != [], WITHIN_S, "the grant of vps to go")
    for node, granted in ((mini, laptop), (laptop, mini)):
        assert [each["broker"]["id"] for each in relay_json(node, "trust", "list")] == [granted.id]
        assert all(vps.id[:7] in each for each in _revoked(node))
    assert _members(mini) == _members(laptop) == {"laptop", "mini"}


def test_a_member_that_is_no_signer_forges_in_vain(mesh: Mesh) -> None:
    laptop, vps = mesh.pair("laptop", "vps")
    vps.stop()
    identity, workspace, roster = _keys(vps)
    stranger = member_of(STRANGER, "stranger", _now())
    draft = Statement(
        StatementKind.ADMIT, workspace.id, identity.id, 1, roster.tip, _now(), stranger.id, member=stranger
    )
    content = pack_statement(draft)
    own_name = unpack_statement(content, signed_block(identity, b"relay-statement/1", content))
    content = pack_statement(replace(draft, signer=roster.root, seq=roster.seq + 1))
    in_roots_name = unpack_statement(content, signed_block(identity, b"relay-statement/1", content))
    for forged in (own_name, in_roots_name):
        _slip_in(vps, forged)
    vps.start()
    wait_until(lambda: _links(laptop) == {"vps"}, 20, "it to be linked")
    with vps.control():
        _agree(laptop, vps)
    assert _members(laptop) == _members(vps) == {"laptop", "vps"} and "stranger" not in laptop.log()


def test_contrary_acts_of_two_signers_that_were_apart_come_to_one_roster(mesh: Mesh) -> None:
    laptop, vps = _promoted(mesh)
    mini = mesh.join(laptop, "mini")
    desk = mesh.join(vps, "desk")
    _agree(laptop, vps, mini, desk)
    vps.stop()
    # laptop puts mini out while vps, which does not hear of it, calls it otherwise and puts desk out
    relay_json(laptop, "broker", "evict", "mini")
    relay_json(laptop, "broker", "rename", "desk", "table")
    laptop.stop()
    desk.stop()
    mini.stop()
    vps.start()
    relay_json(vps, "broker", "rename", "mini", "mac")
    relay_json(vps, "broker", "evict", "desk")
    laptop.start()
    wait_until(lambda: _links(laptop) == {"vps"}, 20, "the two to be linked again")
    _agree(laptop, vps)
    assert _members(laptop) == _members(vps) == {"laptop", "vps"}
    for node in (laptop, vps):
        assert {each["id"] for each in _roster(node)["evicted"]} == {mini.id, desk.id}
    # who comes back knows both words, whoever lets it in
    mini.start()
    relay_json(mini, "join", relay_json(vps, "invite", "--link")["link"])
    wait_until(lambda: mini.id in {each["id"] for each in _roster(laptop)["members"]}, 20, "mini to be back")
    _agree(laptop, vps, mini)


def test_an_evicted_signer_signs_no_more_and_comes_back_without_that_right(mesh: Mesh) -> None:
    laptop, vps = _promoted(mesh)
    mini = mesh.join(vps, "mini")
    vps.stop()
    identity, workspace, roster = _keys(vps)
    relay_json(laptop, "broker", "evict", "vps")
    _slip_in(vps, evict(identity, workspace, roster, BrokerId(mini.id), _now()))
    vps.start()
    wait_until(lambda: "is not on the roster" in laptop.log(), 20, "it to knock in vain")
    assert _members(laptop) == {"laptop", "mini"}
    relay_json(vps, "join", relay_json(laptop, "invite", "--link")["link"])
    wait_until(lambda: _links(laptop) == {"vps", "mini"}, 20, "all to be linked")
    _agree(laptop, vps, mini)
    assert _signers(vps) == ["laptop"] and _members(vps) == {"laptop", "vps", "mini"}


def test_a_signer_that_takes_another_identity_says_who_still_signs_until_it_is_put_out(mesh: Mesh) -> None:
    laptop, vps = _promoted(mesh)
    vps.stop()
    former = vps.id
    identity, workspace, roster = _keys(vps)  # what a thief of the former keys has
    left = relay_json(vps, "identity", "new")["left"]
    assert left == {"id": former, "signed": True, "signers": ["laptop"]}
    # its former seat stands until somebody above ends it: another machine may go on with it
    assert _signers(laptop) == ["laptop", "vps"]
    relay_json(laptop, "broker", "evict", former[:8])
    assert _signers(laptop) == ["laptop"] and _members(laptop) == {"laptop"}
    vps.start()
    relay_json(vps, "join", relay_json(laptop, "invite", "--link")["link"])
    wait_until(lambda: laptop.status()["links"] == 1, 20, "it to be linked under its other identity")
    vps.stop()
    _slip_in(vps, admit(identity, workspace, roster, member_of(STRANGER, "stranger", _now()), _now()))
    vps.start()
    wait_until(lambda: laptop.status()["links"] == 1, 20, "it to be linked again")
    _agree(laptop, vps)
    assert len(_members(laptop)) == len(_members(vps)) == 2 and "stranger" not in _members(vps)
    vps.stop()
    said = relay(vps, "identity", "new").stderr.decode()
    assert "signs the roster" not in said and "on laptop: relay broker evict" in said, said
