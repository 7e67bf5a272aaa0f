"""What a person waits for: the whole command, beside the bare interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.timing import Job
from relay.testing.node import Node

COUNT = 40
WITHIN = 10.0
# The console script next to the interpreter: what `relay` is on a person's path.
RELAY = str(Path(sys.executable).with_name("relay"))


def _timed(words: list[str], node: Node) -> Job:
    environment = node.environment()

    def once() -> None:
        done = subprocess.run(
            words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{words}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")

    return Job(once, COUNT, WITHIN)


def bare_interpreter(node: Node) -> Job:
    """`python -c pass`, with the interpreter that runs the command."""
    return _timed([sys.executable, "-c", "pass"], node)


def relay(node: Node, *words: str) -> Job:
    """`relay WORDS` in a node's environment."""
    return _timed([RELAY, *words], node)
