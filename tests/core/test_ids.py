import string

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from relay.core import ids
from relay.core.errors import Code, Misuse

KEYS = st.binary(min_size=32, max_size=32)
ID = ids.broker_id(bytes(range(32)))
LETTERS = string.ascii_lowercase + "234567"


def test_a_broker_id_has_a_digest_and_check_letters() -> None:
    assert len(ID) == ids.DIGEST_CHARS + ids.CHECK_CHARS == 56
    assert set(ID) <= set(LETTERS)
    assert ID == "mmg42klgyqzwneiskrelxms3j72bfje4omw3fsflyg4fqg6xcdoqyb3l", "what is written down must stay readable"


@settings(deadline=None)
@given(KEYS)
def test_text_and_wire_form_are_one(key: bytes) -> None:
    broker = ids.broker_id(key)
    assert ids.to_digest(broker) == ids.digest_of(key)
    assert ids.from_digest(ids.digest_of(key)) == broker == ids.parse_broker_id(broker)


@settings(deadline=None)
@given(KEYS)
def test_a_person_may_type_it_in_groups_and_capitals(key: bytes) -> None:
    broker = ids.broker_id(key)
    grouped = ids.grouped(broker)
    assert [len(group) for group in grouped.split("-")] == [7] * 8
    for typed in (grouped, grouped.upper(), " ".join(broker), broker.capitalize() + "\n"):
        assert ids.parse_broker_id(typed) == broker


@settings(deadline=None)
@given(st.integers(0, 55), st.sampled_from(LETTERS))
def test_one_wrong_letter_is_caught(at: int, letter: str) -> None:
    assume(ID[at] != letter)
    with pytest.raises(Misuse) as caught:
        ids.parse_broker_id(ID[:at] + letter + ID[at + 1 :])
    assert caught.value.code is Code.UNKNOWN_BROKER


@settings(deadline=None)
@given(st.integers(0, 54))
def test_two_swapped_letters_are_caught(at: int) -> None:
    assume(ID[at] != ID[at + 1])
    with pytest.raises(Misuse):
        ids.parse_broker_id(ID[:at] + ID[at + 1] + ID[at] + ID[at + 2 :])


@pytest.mark.parametrize("text", ["", "laptop", ID[:-1], ID + "a", ID[:-1] + "1", ID.replace(ID[0], "ä", 1), "\0" * 56])
def test_other_texts_are_no_broker_ids(text: str) -> None:
    with pytest.raises(Misuse):
        ids.parse_broker_id(text)


def test_the_short_form_is_its_beginning() -> None:
    assert ID.startswith(ids.short(ID)) and len(ids.short(ID)) == 8


@settings(deadline=None)
@given(st.binary(min_size=10, max_size=20))
def test_spawn_ids(random: bytes) -> None:
    made = ids.spawn_id(random)
    assert ids.is_spawn_id(made) and len(made) == 16 and made == ids.spawn_id(random[:10])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 15,
        "a" * 17,
        "A" * 16,
        "a" * 15 + "1",
        "../" + "a" * 13,
        "a" * 16 + "\n",
        None,
        5,
        b"a" * 16,
        ["a" * 16],
    ],
)
def test_what_is_no_spawn_id(text: object) -> None:
    assert not ids.is_spawn_id(text)


@pytest.mark.parametrize("text", ["a", "0", "my-spawn_2.txt", "a" * 64])
def test_names(text: str) -> None:
    assert ids.is_name(text) and ids.require_name(text, "a name") == text


@pytest.mark.parametrize("text", ["", "-a", ".a", "_a", "A", "a b", "a/b", "a" * 65, "a\n", "ä", "a\0"])
def test_what_is_no_name(text: str) -> None:
    assert not ids.is_name(text)
    with pytest.raises(Misuse, match="a spawn's name") as caught:
        ids.require_name(text, "a spawn's name")
    assert caught.value.code is Code.BAD_NAME


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("a", True),
        ("A-Z.0_9:/+=", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("", False),
        ("a b", False),
        ("a\n", False),
        ("ä", False),
        (None, False),
        (b"a", False),
    ],
)
def test_operations(text: object, is_one: bool) -> None:
    assert ids.is_operation(text) is is_one
