"""Connections whose TLS is not through: counted, bounded, the greediest place gives way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from relay.broker.openings import Opening, Openings, Port, source_of

_HOST = "127.0.0.{}"


class _Strangers:
    """A port, and connections to it from several loopback addresses."""

    def __init__(self, stack: ExitStack, most: int) -> None:
        self.openings = Openings(most)
        self._stack = stack
        self._port = stack.enter_context(Port.bound(socket.AF_INET, ("127.0.0.1", 0), self.openings))
        self._port.listen()

    def connect(self, place: int) -> tuple[socket.socket, Opening]:
        """Both ends of a new connection from a place."""
        far = self._stack.enter_context(
            socket.create_connection(self._port.getsockname(), 5, source_address=(_HOST.format(place), 0))
        )
        near, _ = self._port.accept()
        assert isinstance(near, Opening)
        self._stack.enter_context(closing(near))
        return far, near


def _has_ended(far: socket.socket, within: float = 0.0) -> bool:
    far.settimeout(within)
    try:
        return far.recv(1) == b""
    except (BlockingIOError, TimeoutError):
        return False


@pytest.fixture
def strangers() -> Iterator[_Strangers]:
    with ExitStack() as stack:
        yield _Strangers(stack, 3)


def test_the_oldest_of_whoever_holds_most_gives_way(strangers: _Strangers) -> None:
    member, _ = strangers.connect(1)
    flood = [strangers.connect(2)[0] for _ in range(4)]
    assert all(_has_ended(each, 20) for each in flood[:2])
    assert not any(_has_ended(each) for each in (member, *flood[2:]))
    assert len(strangers.openings) == 3


def test_who_is_through_counts_no_more(strangers: _Strangers) -> None:
    first, accepted = strangers.connect(2)
    strangers.openings.through(accepted.fileno())
    strangers.openings.through(accepted.fileno())
    others = [strangers.connect(2)[0] for _ in range(3)]
    assert not any(map(_has_ended, [first, *others]))


def test_who_is_closed_counts_no_more(strangers: _Strangers) -> None:
    for _ in range(10):
        _, accepted = strangers.connect(2)
        accepted.close()
    assert len(strangers.openings) == 0


def test_a_file_number_that_is_used_again_is_another_connection(strangers: _Strangers) -> None:
    _, accepted = strangers.connect(2)
    number = accepted.fileno()
    accepted.close()
    strangers.openings.through(number)
    far, again = strangers.connect(2)
    assert len(strangers.openings) == 1 and not _has_ended(far)
    strangers.openings.through(again.fileno())
    assert len(strangers.openings) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("198.18.0.1", "198.18.0.2", False),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("::ffff:198.18.0.1", "::ffff:198.18.0.2", False),
    ],
)
def test_places(one: str, other: str, same: bool) -> None:
    assert (source_of(one) == source_of(other)) is same
