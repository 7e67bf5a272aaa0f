"""`relay up`."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

from relay.api.service import installed
from relay.cli import programs, progress, speech
from relay.cli.main import silence

if TYPE_CHECKING:
    from relay.cli.invocation import Invocation
    from relay.cli.programs import Program


_ENDS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}


def run(invocation: Invocation, *, detach: bool) -> int:
    """Start the broker; stay until it ends, or leave it running."""
    with progress.Shown("waiting for the broker to be ready", quiet=invocation.json):
        program = programs.start(invocation.home)
    if not detach:
        return _stay(invocation, program)
    _say(invocation, program, detach)
    return 0


def _say(invocation: Invocation, program: Program, detach: bool) -> None:
    if invocation.json:
        speech.streamed({"ready": True, "listen": program.listen, "pid": program.process.pid})
        return
    for address in program.listen:
        speech.say(f"listening on {address}")
    if installed.find(invocation.home):
        again = invocation.home.command("service install")
        speech.note(f"it runs beside its service, with this terminal's PATH; to have the service run it: {again}")
    if detach:
        speech.note(f"running as pid {program.process.pid}; stop it: {invocation.home.command('down')}")
    else:
        speech.note("running; Ctrl-C stops it")


def _stay(invocation: Invocation, program: Program) -> int:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    for each in _ENDS - {signal.SIGINT}:
        signal.signal(each, interrupt)
    try:
        _say(invocation, program, detach=False)
        status = _ended(program)
    except KeyboardInterrupt:
        try:
            speech.note("\nstopping; its tasks go on")
        except OSError:  # the window was closed
            silence(sys.stderr)
        return 0 if program.end() == 0 else 1
    except OSError:  # what it prints cannot be written: nobody would know of a broker that went on
        program.end()
        raise
    if status == 0:
        return 0
    how = f"by signal {-status}" if status < 0 else f"with exit status {status}"
    speech.note(f"the broker ended {how}; its tasks go on; what it said last is in {invocation.home.log}")
    return 1


def _ended(program: Program) -> int:
    """Its exit status, when it has ended by itself.

    Raises:
        KeyboardInterrupt: this command is to end before that.
    """
    # held back, and waited for: one that came a moment before a wait for the broker alone would be seen after that
    waited = _ENDS | {signal.SIGCHLD}
    signal.signal(signal.SIGCHLD, lambda *_: None)  # what has no handler may be dropped, though it is held back
    signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    try:
        while (status := program.process.poll()) is None:
            if signal.sigwait(waited) != signal.SIGCHLD:
                raise KeyboardInterrupt
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, waited)
    return status
