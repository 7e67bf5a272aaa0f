"""`relay mcp` beside what it imports, and a shared MCP tool beside its server asked directly: `python -m bench.tools`.

Direct is a client that runs on the server's machine and holds it open: a line to its standard input, a line back. The
shared tool is called through a `relay mcp` that is held open likewise, on another broker. What is over is the client's
own side (`relay mcp` and its broker), the mesh, and the host that speaks with the server.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.timing import Job, Spread, in_turns
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.mcp.clients import LEGACY, RawClient, raw, words_of

SCRIPT = Path(__file__).parents[1] / "tests" / "mcp" / "scripted.py"
STARTS, CALLS, WITHIN = 15, 300, 25.0
MOST_RATIO, MOST_OVER_MS = 1.4, 15.0
IMPORT = [sys.executable, "-c", "import mcp.server.lowlevel; print('here', flush=True)"]


def _first_answer(node: Node) -> Job:
    def once() -> None:
        pipe, words = subprocess.PIPE, words_of(node)
        with subprocess.Popen(words, env=node.environment(), stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as it:
            RawClient(it, LEGACY).greet()
            it.kill()

    return Job(once, STARTS, WITHIN, warm_up=2)


def _imported(node: Node) -> Job:
    def once() -> None:
        with subprocess.Popen(IMPORT, env=node.environment(), stdout=subprocess.PIPE) as it:
            assert it.stdout is not None and it.stdout.readline() == b"here\n"
            it.kill()

    return Job(once, STARTS, WITHIN, warm_up=2)


def _called(client: RawClient) -> Job:
    def once() -> None:
        assert client.ask("tools/call", name="echo", arguments={"text": "x"})["structuredContent"]

    return Job(once, CALLS, WITHIN)


@contextmanager
def shared() -> Iterator[tuple[Node, list[str]]]:
    """A node that may use the tools of a server that another shares, and the words that start such a server."""
    with Mesh.scratch("relay-bench-") as mesh:
        laptop, vps = mesh.pair("laptop", "vps")
        vps.relay("trust", "allow", laptop.id, "--verb", "tool")
        words = [sys.executable, str(SCRIPT), str(vps.work)]
        vps.relay("tools", "share", "odd", "--mcp", " ".join(words))
        wait_until(lambda: laptop.relay_json("tools")["tools"], 30, "the tools to be told")
        yield laptop, words
        vps.relay("down")


def measured() -> tuple[Spread, Spread, Spread, Spread]:
    """The first answer of `relay mcp`, the import alone; a call over the mesh, and a direct one; each two in turns."""
    with shared() as (laptop, words):
        first, bare = in_turns(_first_answer(laptop), _imported(laptop))
        with raw(words_of(laptop), env=laptop.environment()) as over, raw(words) as direct:
            over.tools()
            far, near = in_turns(_called(over), _called(direct))
    return first, bare, far, near


def main() -> None:
    """Measure and print; exits with 1 where one of them takes longer than it may."""
    first, bare, far, near = measured()
    ratio, over = first.p50 / bare.p50, far.p50 - near.p50
    print(f"relay mcp, first answer         {first!s:18} ms, p50 / p99")
    print(f"import mcp.server.lowlevel      {bare!s:18} ratio {ratio:.2f}, at most {MOST_RATIO}")
    print(f"a shared tool, through the mesh {far!s:18} ms, p50 / p99")
    print(f"its server, directly            {near!s:18} {over:.1f} ms over it, at most {MOST_OVER_MS:.0f}")
    sys.exit(ratio > MOST_RATIO or over > MOST_OVER_MS)


if __name__ == "__main__":
    main()
