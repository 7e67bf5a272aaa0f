"""A broker that has no descriptor left: what its log says, and that it goes on once there are some."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time

import psutil
import pytest

from relay.broker.shortage import SAID_EVERY_S, Shortage
from relay.testing.mesh import Mesh
from relay.testing.processes import wait_until

EVERY_TRY_S = 1.0  # asyncio's own pause between two


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="needs prlimit(2)")
def test_a_broker_without_descriptors_says_it_once_and_goes_on() -> None:
    with Mesh.scratch("relay-shortage-") as mesh:
        solo = mesh.add("solo")
        assert solo.process is not None
        process = psutil.Process(solo.process.pid)
        room = process.num_fds() + 12
        process.rlimit(psutil.RLIMIT_NOFILE, (room, room))
        held = [socket.socket(socket.AF_UNIX) for _ in range(room)]
        for each in held:
            each.connect(str(solo.socket))
        wait_until(lambda: "ERROR" in solo.log(), 10, "a word on the shortage")
        time.sleep(2.5 * EVERY_TRY_S)
        for each in held:
            each.close()
        wait_until(lambda: process.num_fds() < room - 6, 10, "the broker to have let go of them")
        assert solo.relay("spawn", "one", "exec", "--wait", "--", "true").returncode == 0
        told = [line for line in solo.log().splitlines() if "INFO" not in line]
        assert len(told) == 1 and f"as it may have, {room}; to allow more: ulimit -n" in told[0], told[:20]


async def test_it_is_said_at_most_once_a_minute_and_all_else_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    moments = iter([0.0, 1.0, SAID_EVERY_S - 1, SAID_EVERY_S, SAID_EVERY_S, SAID_EVERY_S + 1])
    shortage, loop = Shortage(lambda: next(moments)), asyncio.get_running_loop()
    fails = {"message": "socket.accept() out of system resource", "socket": object()}
    with caplog.at_level(logging.ERROR):
        for number in (errno.EMFILE, errno.EMFILE, errno.ENFILE, errno.EMFILE, errno.ENOMEM):
            shortage(loop, fails | {"exception": OSError(number, "none left")})
        shortage(loop, {"message": "something else", "exception": OSError(errno.EMFILE, "none left")})
    assert [record.name for record in caplog.records] == ["relay.broker.shortage"] * 2 + ["asyncio"]
