"""What is taken away beneath a broker that runs."""

from __future__ import annotations

from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, relay, started


def test_a_control_socket_that_was_removed_comes_back(granted: Scene) -> None:
    """What tidies /tmp takes it; the broker runs on, and is neither said to be down nor out of reach of `down`."""
    spawn = granted.begin("sleep 60")
    with started(granted.laptop, "logs", spawn, "-f") as follower:
        granted.until(spawn, "running")
        granted.laptop.socket.unlink()
        wait_until(granted.laptop.socket.exists, 10, "the socket to be there again")
        assert relay(granted.laptop, "stop", spawn).returncode == 0
        follower.wait(15)
    assert "was removed: it is made anew" in granted.laptop.log()
