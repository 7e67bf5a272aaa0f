"""A program whose process has ended and whose connection has not: a process that it forked holds the other end."""

from __future__ import annotations

import asyncio
import os

from relay.broker.tools.programs import Program, is_alive
from relay.spawn.shim import processes

QUIET_S, LOOK_S = 0.5, 5.0
"""All that a process has said is read long before the first; without handles of processes it is looked for so often."""


async def leave_with_its_process(program: Program) -> None:
    """Have a program leave when its process has ended and nothing that it said is left to be heard.

    Args:
        program: one that is connected. The end of its connection is heard without this.
    """
    await _ended(program)
    before = None
    while before != program.heard or program.is_heard:
        before = program.heard
        await asyncio.sleep(QUIET_S)
    program.leave()


async def _ended(program: Program) -> None:
    pid, loop = program.hello.pid, asyncio.get_running_loop()
    handle = processes.handle_of(pid)
    try:
        # looked at after the handle is open: if it lives, the handle means this process
        while is_alive(pid, program.ticks, program.boot):
            if handle is None:
                await asyncio.sleep(LOOK_S)
                continue
            ended = asyncio.Event()
            loop.add_reader(handle, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(handle)
            return
    finally:
        if handle is not None:
            os.close(handle)
