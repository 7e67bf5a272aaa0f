"""The shim's door: a socket in the attempt's folder by which a broker types into the task and watches its terminal.

Only for a task that wished for it. Whoever may open the folder may knock. The frames stand in `callers.py`.

A feed is known by its source and a number that grows: one that comes again after a broker's crash is answered and
not typed again. While the task does not read, callers are not read either: what is kept is bounded. A watcher that is
slow misses output and sees it by the offsets; the log has all of it.

That a feed was taken is said together with what the task shows of it, where that comes within a moment: who types and
watches over one connection is woken once.

Who comes by a direct way (`direct.py`) is a caller for as long as the one that asked for it: it watches, and types
under the source that was named for it. Where it missed output it is shown nothing until it asks again.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket

from . import terminal
from .callers import (
    DIRECT,
    DOOR,
    END,
    FEED,
    HEAD,
    HERE,
    IN,
    MOST,
    OUT,
    PORT,
    REPLY,
    REST,
    SHOWN,
    SHUT,
    SIZE,
    SIZE_FORM,
    TAKEN,
    WATCH,
    Caller,
)
from .direct import Sealed, Ways

_SOURCES = 256
_CALLERS = 64
_CHUNK = 65536
ECHO_MS = 2
"""How long an answer waits for the echo."""


class Door:
    """Serves the door of one task.

    Args:
        folder: the attempt's.
        poll: of the shim's loop; descriptors of the door are registered there.
        stdin: the task's standard input, or its terminal's master; the door closes it.
        text: what it is given first.
        is_terminal: whether `stdin` is a terminal.
    """

    def __init__(self, folder: str, poll: select.poll, stdin: int, text: bytes, is_terminal: bool) -> None:
        self._poll = poll
        self._stdin: int | None = stdin
        self._is_terminal = is_terminal
        self._unsent = bytearray(text)
        self._ending = self._writing = False
        self._taken: dict[bytes, int] = {}
        self._callers: dict[int, Caller] = {}
        self._debtor: Caller | None = None
        self._ways = Ways(poll, self._admit)
        self._end_of_log = 0
        self._path = f"{folder}/{DOOR}"
        self._listener = _listen(folder)
        os.set_blocking(stdin, False)
        poll.register(self._listener, select.POLLIN)
        self._flush()

    def hear(self, fd: int) -> bool:
        """Serve a descriptor of the loop; whether it is the door's."""
        caller = self._callers.get(fd)
        if caller is not None:
            self._serve(caller)
        elif fd == self._listener.fileno():
            self._accept()
        elif fd == self._stdin and self._writing:
            self._flush()
            self._go_on()
        else:
            return self._ways.hear(fd)
        return True

    def poll(self, pause_ms: float | None) -> list[tuple[int, int]]:
        """What the loop's poll has to tell; what is owed is said where it has nothing for a moment."""
        if self._debtor is not None:
            if ready := self._poll.poll(ECHO_MS):
                return ready
            self._pay()
        if (until_ms := self._ways.pause_ms()) is not None:
            self._ways.tend()
            pause_ms = until_ms if pause_ms is None else min(pause_ms, until_ms)
        return self._poll.poll(pause_ms)

    def _pay(self) -> None:
        if self._debtor is not None:
            self._say(self._debtor, b"")

    def show(self, start: int, end: int, data: bytes) -> None:
        """Tell those who watch what stands between two offsets of the log."""
        self._end_of_log = end
        for caller in [each for each in self._callers.values() if each.watches]:
            if caller.going:
                caller.missed = True
                caller.watches = caller.owner is None
            else:
                self._say(caller, REPLY.pack(SHOWN, start, end, len(data)) + data)

    def close(self) -> None:
        """Shut the door; the task has ended, perhaps for what was typed, which was taken then."""
        self._pay()
        for caller in list(self._callers.values()):
            self._part(caller)
        self._ways.close()
        self._poll.unregister(self._listener)
        self._listener.close()
        self._shut()
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    # --- callers

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            if len(self._callers) >= _CALLERS:
                connection.close()
                return
            connection.setblocking(False)
            self._enter(Caller(connection))

    def _enter(self, caller: Caller) -> None:
        self._callers[caller.socket.fileno()] = caller
        self._poll.register(caller.socket, IN)

    def _admit(self, connection: Sealed, owner: object, source: bytes) -> None:
        """Somebody has come by a direct way."""
        if len(self._callers) >= _CALLERS or not isinstance(owner, Caller):
            connection.close()
            return
        caller = Caller(connection, owner, source)
        self._enter(caller)
        self._serve(caller)  # what came with the secret is in no descriptor any more

    def _serve(self, caller: Caller) -> None:
        try:
            self._push(caller)
            if self._may_hear():
                self._read(caller)
            elif caller.has_left:
                raise ConnectionError("it left, and poll says so again and again")
        except BlockingIOError:
            pass
        except OSError:
            self._part(caller)
            return
        self._heed(caller)

    def _read(self, caller: Caller) -> None:
        data = caller.socket.recv(_CHUNK)
        if not data:
            raise ConnectionError("it left")
        caller.taken_in += data
        self._take_frames(caller)

    def _take_frames(self, caller: Caller) -> None:
        while self._may_hear() and len(caller.taken_in) >= HEAD.size:
            kind, source, n, length = HEAD.unpack_from(caller.taken_in)
            if length > MOST:
                raise ConnectionError("a frame without measure")
            end = HEAD.size + length
            if len(caller.taken_in) < end:
                return
            payload = bytes(caller.taken_in[HEAD.size : end])
            del caller.taken_in[:end]
            self._carry_out(caller, kind, source, n, payload)

    def _carry_out(self, caller: Caller, kind: int, source: bytes, n: int, payload: bytes) -> None:
        if not caller.may(kind, source) or len(caller.going) > MOST:
            raise ConnectionError("it asks for more than it may, or does not read")
        if kind in (FEED, END):
            is_taken = self._take(source, n, payload, kind == END)
            self._owe(caller, REPLY.pack(TAKEN if is_taken or kind == END else SHUT, n, 0, 0))
        elif kind == SIZE and self._is_terminal and self._stdin is not None and len(payload) == SIZE_FORM.size:
            terminal.resize(self._stdin, *SIZE_FORM.unpack(payload))
        elif kind == WATCH:
            self._watch(caller)
        elif kind == REST:
            caller.watches = caller.missed = False
        elif kind == DIRECT:
            self._end_ways_of(caller)
            if payload:
                self._say(caller, REPLY.pack(PORT, self._ways.offer(caller, source, payload), n, 0))

    def _watch(self, caller: Caller) -> None:
        caller.watches = True
        if caller.owner is None:
            caller.missed = True
            self._push(caller)
        else:
            self._say(caller, REPLY.pack(HERE, 0, self._end_of_log, 0))

    def _end_ways_of(self, owner: Caller) -> None:
        self._ways.forget(owner)
        for each in [each for each in self._callers.values() if each.owner is owner]:
            self._part(each)

    def _owe(self, caller: Caller, answer: bytes) -> None:
        if self._debtor is not caller:
            self._pay()  # one waits at a time: two who type by turns are answered at once
        caller.owed += answer
        if caller.watches and not caller.going and len(caller.owed) < _CHUNK:
            self._debtor = caller
        else:
            self._say(caller, b"")

    def _say(self, caller: Caller, data: bytes) -> None:
        caller.going += caller.owed + data
        caller.owed = b""
        if self._debtor is caller:
            self._debtor = None
        try:
            self._push(caller)
        except OSError:
            self._part(caller)
            return
        self._heed(caller)

    def _push(self, caller: Caller) -> None:
        if caller.going:
            with contextlib.suppress(BlockingIOError):
                caller.going = caller.going[caller.socket.send(caller.going) :]
        if caller.missed and not caller.going:
            # an empty range tells it to look into the log
            caller.missed = False
            caller.going, caller.owed = caller.owed + REPLY.pack(SHOWN, 0, 0, 0), b""
            self._push(caller)

    def _heed(self, caller: Caller) -> None:
        wanted = (IN if self._may_hear() else 0) | (OUT if caller.going else 0)
        if wanted != caller.polled and (fd := caller.socket.fileno()) in self._callers:
            caller.polled = wanted
            self._poll.modify(fd, wanted)

    def _part(self, caller: Caller) -> None:
        fd = caller.socket.fileno()
        if self._debtor is caller:
            self._debtor = None
        if self._callers.pop(fd, None) is not None:
            self._poll.unregister(fd)
            caller.socket.close()
            self._end_ways_of(caller)

    # --- the task's input

    def _may_hear(self) -> bool:
        return len(self._unsent) < MOST

    def _take(self, source: bytes, n: int, payload: bytes, ends: bool) -> bool:
        """Whether it is taken: now, or by another way before, though the task may have ended since."""
        last = self._taken.pop(source, 0)
        is_taken = n <= last
        if not is_taken and self._stdin is not None and not self._ending:
            self._put(payload, ends)
            is_taken = ends or self._stdin is not None
        # put back last: the sources that were quiet for longest are forgotten first
        self._taken[source] = max(n, last) if is_taken else last
        if len(self._taken) > _SOURCES:
            del self._taken[next(iter(self._taken))]
        return is_taken

    def _put(self, payload: bytes, ends: bool) -> None:
        self._unsent += payload
        if ends and self._is_terminal and self._stdin is not None:
            self._unsent += terminal.end_of_input(self._stdin)
        self._ending = ends and not self._is_terminal
        self._flush()

    def _flush(self) -> None:
        if self._stdin is None:
            return
        try:
            while self._unsent:
                del self._unsent[: os.write(self._stdin, bytes(self._unsent[:_CHUNK]))]
        except BlockingIOError:
            self._write_later(True)
        except OSError:
            # the task has closed it
            self._shut()
        else:
            self._written()

    def _written(self) -> None:
        self._write_later(False)
        if self._ending:
            self._shut()

    def _write_later(self, later: bool) -> None:
        if later == self._writing or self._stdin is None:
            return
        self._writing = later
        if later:
            self._poll.register(self._stdin, select.POLLOUT)
        else:
            self._poll.unregister(self._stdin)

    def _shut(self) -> None:
        if self._stdin is not None:
            self._unsent.clear()
            self._write_later(False)
            os.close(self._stdin)
            self._stdin = None

    def _go_on(self) -> None:
        """Listen again to those who had to wait for the task."""
        for caller in list(self._callers.values()):
            if self._callers.get(caller.socket.fileno()) is not caller:
                continue  # it went with another
            try:
                self._take_frames(caller)
            except OSError:
                self._part(caller)
            else:
                self._heed(caller)


def _listen(folder: str) -> socket.socket:
    # A socket's path has at most 107 bytes: the folder is gone into, which nobody else here can notice.
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.chdir(folder)
    try:
        listener.bind(DOOR)
        os.chmod(DOOR, 0o600)
    finally:
        os.chdir("/")
    listener.listen(_CALLERS)
    listener.setblocking(False)
    return listener
