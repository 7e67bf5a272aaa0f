"""The words and the rules of what a person is told."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from relay.broker.notify.sender import masked
from relay.core.errors import PeerFault
from relay.core.ids import broker_id, spawn_id
from relay.core.notices import Happening, Rules, event_of, happening_of, is_rules, line, rules_from_content, words_of
from relay.core.spawning import Snapshot
from relay.core.states import NEEDS_A_PERSON, TERMINAL, State
from relay.core.vouchers import SignedVoucher, Vouched, Voucher, voucher_from_bytes
from relay.trust.identity import Identity
from relay.trust.vouchers import check_voucher, open_own, seal_for_self, sign_voucher

VPS, MINI = broker_id(b"v" * 32), broker_id(b"m" * 32)
OWN = Identity.create(b"s" * 32, b"x" * 32)
VOUCHER = Voucher(spawn_id(b"1" * 10), "coder", "claude", {"project": "site"}, "ann", OWN.id, VPS, (MINI,), False)


def told(state: State, outcome: str | None = None, **changes: object) -> Vouched:
    result = None if outcome is None else {"outcome": outcome, "summary": "All of it.\nTwice.", "status": str(state)}
    snapshot = Snapshot(VOUCHER.spawn, VPS, 1, 3, state, 0, 0, result=result)
    return Vouched(VOUCHER, dataclasses.replace(snapshot, **changes))  # type: ignore[arg-type]


def test_only_what_has_completed_and_did_not_fail_is_ever_finished() -> None:
    for state, outcome in itertools.product(State, (None, "done", "error", "awaiting_approval", "nonsense")):
        spawn = told(state, outcome, reason="the disk is full")
        is_good = state is State.COMPLETED and outcome != "error"
        assert ("finished" in line(spawn, "vps")) is is_good, (state, outcome)
        assert (happening_of(spawn) is Happening.FINISHED) is is_good
        assert (happening_of(spawn) is None) is (state not in TERMINAL | NEEDS_A_PERSON)


@pytest.mark.parametrize(
    ("state", "outcome", "changes", "said"),
    [
        (State.COMPLETED, "done", {}, "finished"),
        (State.COMPLETED, "awaiting_approval", {}, "finished, waiting for your approval"),
        (State.COMPLETED, "error", {}, "ran into trouble: All of it. Twice."),
        (State.FAILED, "error", {"reason": "no\nroom \x1b[31mhere"}, "ran into trouble: no room [31mhere"),
        (State.TIMED_OUT, None, {}, "ran into trouble: timed out"),
        (State.LOST, None, {"error": {"message": "nobody saw its end"}}, "ran into trouble: nobody saw its end"),
        (State.CANCELLED, None, {"reason": "stopped by ann"}, "was stopped: stopped by ann"),
        (State.HELD, None, {"needs": {"request": "r", "text": "may it run?"}}, "needs you: may it run?"),
    ],
)
def test_a_line_is_made_of_the_real_status(state: State, outcome: str, changes: dict[str, object], said: str) -> None:
    assert line(told(state, outcome, **changes), "vps") == f"coder on vps {said}"


def test_short_says_where_to_look_and_full_what_came_of_it() -> None:
    spawn = told(State.COMPLETED, "done")
    short, full = words_of(spawn, "vps"), words_of(spawn, "vps", link="https://x.example/s/{spawn}", full=True)
    assert short.body == f"relay show {spawn.id}\nevent {event_of(spawn)}"
    assert "All of it.\nTwice." in full.body and f"https://x.example/s/{spawn.id}\n" in full.body
    assert short.title == full.title and len(line(told(State.FAILED, reason="x" * 9_000), "vps")) <= 300


def test_an_event_has_one_id_wherever_it_is_told() -> None:
    asked = [told(State.NEEDS_INPUT, needs={"request": each}) for each in ("a", "b")]
    ends = [told(State.COMPLETED), told(State.COMPLETED, attempt=2)]
    assert event_of(ends[0]) == event_of(told(State.COMPLETED, seq=9, at=5))
    assert len({event_of(each) for each in (*asked, *ends)}) == 4


def test_rules_choose() -> None:
    good, bad, needs = told(State.COMPLETED), told(State.FAILED), told(State.HELD)

    def wanted(rules: Rules, asked: bool = False) -> list[bool]:
        return [rules.want(each, happening_of(each) or Happening.TEST, asked=asked) for each in (good, bad, needs)]

    assert wanted(Rules()) == [True, True, True]
    assert wanted(Rules(("failure",))) == [False, True, False]
    assert wanted(Rules(("needs",))) == [False, False, True]
    assert wanted(Rules(("asked",))) == [False] * 3 and wanted(Rules(("asked",)), asked=True) == [True] * 3
    fitting = Rules(by=("ann", "bob"), labels=("other", "project=site"), agents=("claude",), brokers=(VPS,))
    assert wanted(fitting) == [True] * 3
    for change in ({"by": ("bob",)}, {"labels": ("project=shop",)}, {"agents": ("codex",)}, {"brokers": (MINI,)}):
        assert wanted(dataclasses.replace(fitting, **change)) == [False] * 3, change


def test_rules_of_another_form_are_none() -> None:
    content = Rules(by=("ann",)).to_content()
    assert is_rules(content) and rules_from_content(content) == Rules(by=("ann",))
    for wrong in ({}, content | {"on": []}, content | {"on": ["king"]}, content | {"by": [""]}, content | {"more": []}):
        assert not is_rules(wrong)


def test_a_voucher_holds_for_what_its_origin_signed_and_nothing_else() -> None:
    signed = sign_voucher(OWN, VOUCHER)
    assert check_voucher(signed, lambda broker: OWN.public if broker == OWN.id else None) == VOUCHER
    other = dataclasses.replace(VOUCHER, via=(VPS,)).to_bytes()
    for wrong, key in ((SignedVoucher(other, signed.signature), OWN.public), (signed, None), (signed, b"k" * 32)):
        with pytest.raises(PeerFault):
            check_voucher(wrong, lambda broker, key=key: key)  # type: ignore[misc]
    with pytest.raises(PeerFault):
        voucher_from_bytes(dataclasses.replace(VOUCHER, via=()).to_bytes())


def test_an_address_is_kept_sealed() -> None:
    sealed = seal_for_self(OWN, b"ntfy://topsecret")
    assert b"topsecret" not in sealed and open_own(OWN, sealed) == b"ntfy://topsecret"
    assert open_own(Identity.create(b"o" * 32, b"y" * 32), sealed) is None


def test_what_a_service_says_is_shown_without_any_part_of_the_address() -> None:
    address = "ntfys://user:pass%20word@host.example.org/topic?token=abcd1234"
    said = masked("cannot reach host.example.org\nas user with pass word: topic, abcd1234", address)
    assert not any(part in said for part in ("host", "example", "user", "pass", "word", "topic", "abcd1234"))
    assert said.startswith("cannot reach")
