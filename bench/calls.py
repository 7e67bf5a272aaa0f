"""A call of a runner on another broker beside a direct call of its program: `python -m bench.calls`.

Direct is what a client does that runs on the runner's machine and holds its program open: a line of JSON to its
standard input, a line back. What is over that is what the mesh costs: four commits, two envelopes each way, and the
program's line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.timing import Job, Spread, in_turns
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until

COUNT, WITHIN = 300, 20.0
MOST_OVER_MS = 15.0
ROOT = Path(__file__).parents[1]
_DIRECT = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    text = json.dumps(asked["arguments"], sort_keys=True)
    print(json.dumps({"result": {"content": [{"type": "text", "text": text}]}}), flush=True)
"""


@contextmanager
def _direct() -> Iterator[Job]:
    words = [sys.executable, "-c", _DIRECT]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None

        def once() -> None:
            process.stdin.write(json.dumps({"arguments": {"a": 1}}).encode() + b"\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            assert json.loads(process.stdout.readline())["result"]  # type: ignore[union-attr]

        yield Job(once, COUNT, WITHIN)
        process.stdin.close()


@contextmanager
def _served(node: Node) -> Iterator[None]:
    what = (os.devnull, "bench", "library", "bench", "echo")
    words = [sys.executable, "-m", "tests.tools.program", str(node.home), *what]
    process = subprocess.Popen(words, cwd=ROOT, env=node.environment() | {"PATH": os.environ["PATH"]})
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measured() -> tuple[Spread, Spread, Spread]:
    """A call over the mesh, a call of a runner of one's own broker, and a direct call, in turns."""
    with Mesh.scratch("relay-bench-") as mesh:
        laptop, vps = mesh.pair("laptop", "vps")
        vps.relay("trust", "allow", laptop.id, "--verb", "tool")
        with _served(vps), _direct() as direct, laptop.control() as far, vps.control() as near:
            wait_until(lambda: far.get("tools")["tools"], 20, "the runner to be known")
            order = {"tool": "echo", "arguments": {"a": 1}, "wait_s": 30}

            def once(control: object) -> None:
                assert control.post("calls", order)["outcome"] == "done"  # type: ignore[attr-defined]

            over = Job(lambda: once(far), COUNT, WITHIN)
            there = Job(lambda: once(near), COUNT, WITHIN)
            one, two, three = in_turns(over, there, direct)
            return one, two, three


def main() -> None:
    """Measure and print; exits with 1 where a call costs more than it may."""
    over, there, direct = measured()
    print(f"{'':32} p50 / p99 ms   over direct, p50   ratio")
    rows = {"direct, a pipe to the program": direct, "its own broker": there, "another broker": over}
    for name, spread in rows.items():
        more = f"{spread.p50 - direct.p50:6.1f} ms" if spread is not direct else ""
        print(f"{name:32} {spread!s:14} {more:18} {spread.p50 / direct.p50:.0f}")
    print(f"the target: at most {MOST_OVER_MS:.0f} ms over a direct call, p50")
    sys.exit(over.p50 - direct.p50 > MOST_OVER_MS)


if __name__ == "__main__":
    main()
