"""The blocking client of the control socket: what the command uses."""

from __future__ import annotations

import _socket  # `socket` adds selectors and enums, 6 ms; connect, sendall and recv are these very ones
import json
import os
import time

from relay.api import http1
from relay.api.raw_lines import cutter
from relay.api.routes import FOLLOWED_S
from relay.api.task_token import token_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Any, Self, TypeVar

    from relay.api.home import Home
    from relay.api.routes import Call
    from relay.core.errors import RelayError

    Answer = TypeVar("Answer")

CONNECT_S = 10.0
LOOK_AFTER_S = 10.0
"""After so long without a word it is looked whether the broker answers at all: an answer may take long, silence not."""
STREAM_LOOK_AFTER_S = 30.0
"""The same for what is followed, and may rest for long."""
SEND_S = 20.0
READ_BYTES = 256 * 1024
QUESTIONS = ("/person", "/trials", "/ping")  # of all that is posted, what leaves nothing behind
OTHERS_WRITE = 0o022


class _Stale(Exception):
    """A kept connection had been closed by the broker before it said anything."""


class Client:
    """One connection to the broker of a home, opened when it is first needed.

    Args:
        home: whose broker.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self._socket: _socket.socket | None = None
        self._patience_s: float | None = CONNECT_S  # for the next piece of an answer; None for a stream's
        self._is_order = False
        self._is_amid = False  # an answer has not come whole

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, call: Call[Answer]) -> Answer:
        """The broker's answer to a call.

        Raises:
            RelayError: the error the broker answered, or why there is no answer.
        """
        try:
            response, pieces = self._begin(call)
            while not response.done:
                pieces += self._more(response)
        except BaseException:
            self.close()  # interrupted on the way to an answer: the rest of it must not meet the next call
            raise
        self._finish(response)
        answer: Answer = document(response.status, b"".join(pieces), self.home)  # type: ignore[assignment]
        return answer

    def lines(self, call: Call[Answer]) -> Iterator[Answer]:
        """The documents of a stream, as they come; it ends when the broker ends it.

        Raises:
            RelayError: the error the broker answered, or that it went away.
        """
        try:
            response, pieces = self._begin(call)
            if response.status >= 400:
                self._refuse(response, pieces)
            self._patience_s, mine = None, self._socket
            cut = cutter(response)
            while True:
                for piece in pieces:
                    yield from self._cut(cut, piece)
                if response.done:
                    break
                pieces = self._more(response)
        except GeneratorExit:
            if self._socket is mine:  # else it was left for another call, whose connection this is
                self.close()
            raise
        except BaseException:
            self.close()
            raise
        self._finish(response)

    def silent(self, fault: RelayError) -> None:
        """Told once of each silence of a stream whose broker answers nothing; what it raises ends the stream."""

    def _cut(self, cut: Callable[[bytes], list[Any]], piece: bytes) -> list[Any]:
        try:
            return cut(piece)
        except (http1.BadAnswer, ValueError) as fault:
            raise broke_off(self.home, str(fault), self._is_order) from fault

    def _refuse(self, response: http1.Response, pieces: list[bytes]) -> None:
        while not response.done:
            pieces += self._more(response)
        self._finish(response)
        document(response.status, b"".join(pieces), self.home)

    def _finish(self, response: http1.Response) -> None:
        self._is_amid = False
        if not response.keep_alive:
            self.close()

    def _begin(self, call: Call[Answer]) -> tuple[http1.Response, list[bytes]]:
        if self._is_amid:
            self.close()  # a stream was left where its reader stood: what it has still to say answers nothing else
        self._is_amid = True
        body = None if call.body is None else json.dumps(call.body).encode()
        self._is_order = is_order(call)
        data = http1.request(call.method, call.path, body, token_for(self.home.path))
        try:
            return self._exchange(data, call.patience_s)
        except _Stale:
            # nothing was answered; a POST carries its operation id, so that sending it again is harmless
            return self._sent_again(data, call.patience_s)

    def _sent_again(self, data: bytes, patience_s: float) -> tuple[http1.Response, list[bytes]]:
        try:
            return self._exchange(data, patience_s)
        except Exception as fault:
            if self._is_order and getattr(fault, "is_unsent", False):
                raise broke_off(self.home, is_order=True) from fault  # the first time it may have been taken
            raise

    def _exchange(self, data: bytes, patience_s: float) -> tuple[http1.Response, list[bytes]]:
        kept = self._socket is not None
        self._connect()
        self._patience_s = None if patience_s >= FOLLOWED_S else patience_s
        response = http1.Response()
        try:
            self._send(data)
            first = self._receive()
        except (BrokenPipeError, ConnectionResetError) as fault:
            raise self._went_away(kept) from fault
        if not first:
            raise self._went_away(kept)
        pieces = self._fed(response, first)
        while not response.status:
            pieces += self._more(response)
        return response, pieces

    def _went_away(self, kept: bool) -> Exception:
        self.close()
        return _Stale() if kept else broke_off(self.home, is_order=self._is_order)

    def _send(self, data: bytes) -> None:
        assert self._socket is not None
        self._socket.settimeout(min(self._patience_s or SEND_S, SEND_S))
        try:
            self._socket.sendall(data)
        except TimeoutError as fault:
            raise self._too_slow() from fault

    def _receive(self) -> bytes:
        """What comes next; silence ends it where the patience is over, or the broker answers nobody else either."""
        assert self._socket is not None
        began, told = time.monotonic(), False
        while True:
            left = None if self._patience_s is None else began + self._patience_s - time.monotonic()
            self._socket.settimeout(STREAM_LOOK_AFTER_S if left is None else max(min(left, LOOK_AFTER_S), 0.001))
            try:
                return self._socket.recv(READ_BYTES)
            except TimeoutError as fault:
                if left is not None and (left <= LOOK_AFTER_S or not self._is_answered()):
                    raise self._too_slow() from fault
                if left is None and not told and not self._is_answered():
                    told = True
                    self.silent(self._too_slow())

    def _is_answered(self) -> bool:
        from relay.api import silence

        return silence.answers(self.home.socket)

    def _too_slow(self) -> RelayError:
        from relay.api import silence

        return silence.too_slow(self.home, self._is_order)

    def _more(self, response: http1.Response) -> list[bytes]:
        try:
            data = self._receive()
        except ConnectionResetError:
            data = b""
        return self._fed(response, data)

    def _fed(self, response: http1.Response, data: bytes) -> list[bytes]:
        try:
            if data:
                return response.feed(data)
            response.end()
        except http1.BadAnswer as fault:
            self.close()
            raise broke_off(self.home, str(fault), self._is_order) from fault
        return []

    def _connect(self) -> None:
        if self._socket is not None:
            return
        try:
            path = trusted_socket(self.home)
        except OSError as fault:
            raise no_broker(self.home, fault) from fault
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            connection.settimeout(CONNECT_S)
            connection.connect(path)
        except BlockingIOError as fault:
            connection.close()
            raise self._too_slow() from fault  # more wait to be let in than there is room for
        except OSError as fault:
            connection.close()
            raise no_broker(self.home, fault) from fault
        self._socket = connection


def is_order(call: Call[Answer]) -> bool:
    """Whether a request may leave something behind: where its answer is lost it may have been done."""
    return call.method == "POST" and not call.path.endswith(QUESTIONS)


def trusted_socket(home: Home) -> str:
    """The path of the control socket, unless another user made it, or could have.

    Raises:
        LocalFault: whoever answers there may be another user's program.
        OSError: it is not there, or out of reach.
    """
    path = home.socket
    folder = os.path.dirname(path)
    there, around = os.lstat(path), os.lstat(folder)
    trusted = {os.getuid(), 0}
    if not os.getuid() and folder == home.path:
        trusted = {around.st_uid}  # any account's broker listens to root, who has named this folder
    if around.st_uid not in trusted or around.st_mode & OTHERS_WRITE:
        raise _not_ours("folder of the control socket", folder, around)
    if there.st_uid not in trusted:
        raise _not_ours("control socket", path, there)
    return path


def _not_ours(what: str, path: str, found: os.stat_result) -> RelayError:
    import shlex

    from relay.core.errors import Code, LocalFault

    ours = found.st_uid == os.getuid()
    return LocalFault(
        f"the {what} is not this user's alone",
        code=Code.BAD_CONFIG,
        why=f"{path}: uid {found.st_uid}, mode {found.st_mode & 0o7777:04o}; another user could pose as the broker",
        hint=shlex.join(["chmod", "700", path] if ours else ["ls", "-ld", path]),
    )


def document(status: int, body: bytes, home: Home) -> object:
    """The answer's JSON.

    Raises:
        RelayError: the error in the answer, as the class of its branch.
    """
    try:
        answer: object = json.loads(body) if body else {}
    except ValueError:
        raise broke_off(home, f"its answer (HTTP {status}) is not JSON") from None
    if status < 400:
        return answer
    from relay.core import errors

    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        raise broke_off(home, f"it answered HTTP {status} without saying why")
    raise errors.from_json(error)


def no_broker(home: Home, fault: OSError) -> RelayError:
    """The error for a socket that nobody answers on."""
    from relay.core.errors import Code, LocalFault, Unreachable

    if not home.is_set_up:
        return not_set_up(home)
    if isinstance(fault, PermissionError):
        why = "the control socket belongs to another user"
        return LocalFault(f"may not use {home.path}", code=Code.STORE_FAULT, why=why, hint="run it as that user")
    error = Unreachable(
        "the broker of this machine is not running",
        code=Code.NOT_RUNNING,
        why=f"nothing answers at {home.socket}",
        hint=home.command("up --detach"),
    )
    error.is_unsent = True
    return error


def not_set_up(home: Home) -> RelayError:
    """The error for a home that holds no broker yet."""
    from relay.core.errors import Code, LocalFault

    error = LocalFault(
        "relay is not set up here",
        code=Code.NOT_SET_UP,
        why=f"there is no broker in {home.path}",
        hint=f"{home.command('init')}   or, to enter a workspace: {home.command('join')}",
    )
    error.is_unsent = True
    return error


def broke_off(
    home: Home, why: str = "it closed the connection without an answer", is_order: bool = False
) -> RelayError:
    """The error for a broker that stopped in the middle of an answer; `is_order` as of `silence.too_slow`."""
    from relay.core.errors import Code, Unreachable

    hint = home.command("doctor")
    if is_order:
        why += "; what was asked may have been done all the same"
        hint = f"look before you ask again: {home.command('ps --all')}; and {hint}"
    return Unreachable("the broker of this machine broke off", code=Code.NOT_RUNNING, why=why, hint=hint)
