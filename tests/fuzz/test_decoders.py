"""Whatever the bytes, a decoder answers with a value or a PeerFault (Misuse where a person typed it)."""

from __future__ import annotations

import itertools
import os
import random
import time

import pytest

from relay.core.errors import Misuse, PeerFault
from tests.fuzz import specimens, specimens_of_agents, specimens_of_speech, specimens_of_tools, specimens_of_trust
from tests.fuzz.mutation import mutants
from tests.fuzz.specimens import Form

_SUITE_CASES = 5_000
_CHAOS_CASES = 4_750_000  # with the port's 50,000, the control socket's 200,000 and the signed ones: 5,000,000
_CHAOS_SECONDS = 900
_FORMS = [
    *specimens.forms(),
    *specimens_of_trust.forms(),
    *specimens_of_speech.forms(),
    *specimens_of_agents.forms(),
    *specimens_of_tools.forms(),
]


def _seed() -> int:
    return int(os.environ.get("RELAY_FUZZ_SEED", "0")) or random.SystemRandom().getrandbits(32)


def _decode(form: Form, data: bytes, seed: int) -> bool:
    """Whether the decoder took the bytes in; anything but the two kinds of refusal is a failure."""
    try:
        form.decode(data)
    except (PeerFault, Misuse):
        return False
    except Exception as error:
        raise AssertionError(f"{form.name}: {error!r} for {data.hex()} (RELAY_FUZZ_SEED={seed})") from error
    return True


def _fuzz(form: Form, count: int, seed: int) -> int:
    return sum(_decode(form, data, seed) for data in itertools.islice(mutants(form.specimen, seed), count))


def _fuzz_signed(count: int, seed: int) -> int:
    """How many changed envelopes verify: none may, unless header, sealed part and signature are the same bytes."""
    original = specimens.verified(specimens.valid_envelope())
    accepted = 0
    for data in itertools.islice(mutants(specimens.valid_envelope(), seed), count):
        try:
            taken = specimens.verified(data)
        except PeerFault:
            continue
        if taken and (taken.header_bytes, taken.sealed) != (original.header_bytes, original.sealed):  # type: ignore[union-attr]
            accepted += 1
    return accepted


@pytest.mark.parametrize("form", _FORMS, ids=lambda form: form.name.replace(" ", "-"))
def test_specimens_are_valid(form: Form) -> None:
    """The fuzz starts from bytes that are taken in."""
    assert form.decode(form.specimen) is not None


@pytest.mark.parametrize("form", _FORMS, ids=lambda form: form.name.replace(" ", "-"))
def test_decoders_refuse_and_never_fail(form: Form) -> None:
    """5,000 changed specimens over all decoders."""
    _fuzz(form, _SUITE_CASES // len(_FORMS) + 1, _seed())


def test_changed_envelopes_do_not_verify() -> None:
    """Nothing changed in the signed bytes is accepted."""
    assert _fuzz_signed(2_000, _seed()) == 0


@pytest.mark.chaos
@pytest.mark.timeout(_CHAOS_SECONDS + 60)
def test_millions_of_cases() -> None:
    """4,750,000 cases over all decoders, with the counts printed."""
    seed, started = _seed(), time.monotonic()
    each = _CHAOS_CASES // len(_FORMS) + 1
    taken = {form.name: _fuzz(form, each, seed + at) for at, form in enumerate(_FORMS)}
    forged = _fuzz_signed(50_000, seed)
    print(f"\ndecoder fuzz: {each * len(_FORMS) + 50_000:,} cases in {time.monotonic() - started:.0f} s, seed {seed}")
    for name, count in taken.items():
        print(f"  {name}: {count:,} of {each:,} were still of the form")
    assert forged == 0
