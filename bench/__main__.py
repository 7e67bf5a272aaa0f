"""The one run of `make bench`."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench import command, envelopes, floor, idle, links, live, others, past, relayed, rest, shims, spawns, sshd, tools
from bench.table import Line, Table
from bench.timing import Job, Spread, in_turns, medians_in_turns
from relay.testing.mesh import Mesh
from relay.testing.node import Node

IN_FLIGHT = 64
SSH_IN_FLIGHT = (8, IN_FLIGHT)
SSH_MANY = 200
PAST_LISTS = (("ps",), ("ps", "--broker", "few"), ("ps", "--all", "--limit", "50"), ("ps", "--state", "failed"))


def _say(what: str) -> None:
    print(f"measuring {what} ...", file=sys.stderr, flush=True)


@contextmanager
def _mesh() -> Iterator[tuple[Node, Node]]:
    with Mesh.scratch("relay-bench-") as mesh:
        laptop, vps = mesh.pair("laptop", "vps")
        mesh.grant(on=vps, to=laptop)
        # sshd is given as many sessions
        vps.relay("config", "set", "max_parallel", str(IN_FLIGHT))
        vps.stop()
        vps.start()
        mesh.await_link(laptop, vps)
        yield laptop, vps


def _beside(ours: Spread, theirs: Spread, what: str, theirs_are: str, target: float) -> Line:
    ratio = ours.p50 / theirs.p50
    return Line(f"{what}, p50 / p99 ms", str(ours), f"{theirs_are}: {theirs}", ratio, target)


def _spawns_beside_ssh(table: Table, ssh: sshd.Ssh, laptop: Node, vps: Node) -> None:
    _say("remote spawns beside ssh")
    with laptop.control() as control:
        trip, whole, shared, fresh = in_turns(
            spawns.round_trip(control, vps),
            spawns.whole_command(laptop, vps),
            Job(lambda: ssh.run(ssh.shared, "/bin/true"), 300, 12),
            Job(lambda: ssh.run(ssh.fresh, "/bin/true"), 30, 12),
        )
    table.add(_beside(trip, shared, "remote spawn, API", "ssh ControlMaster", 0.65))
    table.add(_beside(whole, fresh, "relay spawn --wait", "ssh, fresh", 0.4))
    _say("many at once")
    ours, *theirs = medians_in_turns(
        lambda: spawns.per_second(laptop, vps, IN_FLIGHT),
        *(partial(ssh.many_per_second, SSH_MANY, in_flight) for in_flight in SSH_IN_FLIGHT),
    )
    what, best = f"spawns/s, {IN_FLIGHT} in flight", max(theirs)
    table.add(Line(what, f"{ours:.0f}", f"ssh ControlMaster: {best:.0f}", ours / best, 1.0, at_least=True))


def _spawns_alone(table: Table, laptop: Node, vps: Node, why: str) -> None:
    table.skip(f"ssh ({why})")
    with laptop.control() as control:
        trip, whole = in_turns(spawns.round_trip(control, vps), spawns.whole_command(laptop, vps))
    table.add(Line("remote spawn, API, p50 / p99 ms", str(trip)))
    table.add(Line("relay spawn --wait, p50 / p99 ms", str(whole)))
    table.add(Line(f"spawns/s, {IN_FLIGHT} in flight", f"{spawns.per_second(laptop, vps, IN_FLIGHT):.0f}"))


def _spawns(table: Table, folder: Path, laptop: Node, vps: Node) -> None:
    try:
        with sshd.serving(folder) as ssh:
            _spawns_beside_ssh(table, ssh, laptop, vps)
            _live_beside_ssh(table, ssh, laptop, vps)
    except sshd.NoSshd as error:
        _spawns_alone(table, laptop, vps, str(error))


def _live_beside_ssh(table: Table, ssh: sshd.Ssh, laptop: Node, vps: Node) -> None:
    _say("keystrokes beside ssh")
    vps.relay("trust", "allow", laptop.id, "--verb", "attach")
    ours, theirs = live.keystrokes(laptop, vps, ssh.shared)
    table.add(_beside(Spread.of(ours), Spread.of(theirs), "relay attach, key to echo", "ssh", 2.0))
    _say("a fast writer, followed")
    found = live.followed(laptop, vps, ssh.shared)
    ratio, beside = found.ours / found.theirs, f"ssh host cat: {found.theirs:.0f}"
    table.add(Line("logs -f of a fast writer, MB/s", f"{found.ours:.1f}", beside, ratio, 0.25, at_least=True))
    table.add(Line("brokers meanwhile", f"+{found.grown:.0f} MiB RSS", "", found.grown, 40, unit="MiB"))


def _envelopes(table: Table, folder: Path) -> None:
    _say("durable envelopes")
    with envelopes.flooded() as flood:
        one, both, drained, bare = medians_in_turns(
            flood.one_way,
            flood.both_ways,
            flood.drained,
            lambda: floor.envelopes_per_second(folder, envelopes.BODY_BYTES, 4),
        )
    for ways, ours in (("one way", one), ("both ways", both)):
        beside = f"verify + open + insert alone: {bare:.0f}"
        table.add(Line(f"durable envelopes/s, {ways}", f"{ours:.0f}", beside, ours / bare, 0.5, at_least=True))
    what, live = f"drain of {envelopes.QUEUED} queued, envelopes/s", f"one way, live: {one:.0f}"
    table.add(Line(what, f"{drained:.0f}", live, drained / one, 0.5, at_least=True))


def _relayed(table: Table, laptop: Node, vps: Node) -> None:
    _say("relayed spawns beside direct ones")
    with relayed.through_the_middle() as (origin, mini), origin.control() as far, laptop.control() as near:
        through, direct = in_turns(spawns.round_trip(far, mini), spawns.round_trip(near, vps))
    table.add(_beside(through, direct, "relayed spawn, API", "direct", 2.5))


def _idle_links(table: Table) -> None:
    _say(f"{links.COUNT} idle links")
    try:
        found = links.measure()
    except links.TooFewFiles as error:
        table.skip(str(error))
        return
    table.add(Line("one idle link", f"{found.each:.0f} KiB PSS", "", found.each, 110, unit="KiB"))
    table.add(Line(f"{links.COUNT} idle links", f"{found.cpu:.2f} %", "of one core", found.cpu, 1.0, unit="%"))


def _commands(table: Table, node: Node) -> None:
    _say("commands")
    bare, shown, listed, short, completed = in_turns(
        command.bare_interpreter(node),
        command.relay(node, "--help"),
        command.relay(node, "ps"),
        command.relay(node, "status", "--short"),
        command.relay(node, "completion", "words", "--", "relay", "show", ""),
    )
    table.add(_beside(shown, bare, "relay --help", "python -c pass", 4.0))
    table.add(_beside(listed, bare, "relay ps", "python -c pass", 4.0))
    table.add(_beside(short, bare, "relay status --short", "python -c pass", 4.0))
    table.add(_beside(completed, bare, "completion of a name", "python -c pass", 4.0))


def _long_past(table: Table) -> None:
    _say(f"lists over {past.MANY:,} past spawns")
    with past.with_a_past() as (few, many):
        for words in PAST_LISTS:
            short, long = in_turns(command.relay(few, *words), command.relay(many, *words))
            what = f"relay {' '.join(words)}, over {past.MANY:,}"
            table.add(_beside(long, short, what, f"over {past.FEW}", 1.5))


def _idle(table: Table, node: Node) -> None:
    _say("an idle broker")
    found = idle.watch(node)
    what, memory = "idle broker and fork server", (f"{found.pss:.1f} MiB PSS", f"{found.rss:.1f} MiB RSS")
    table.add(Line(what, *memory, found.pss, 60, unit="MiB"))
    table.add(Line(what, f"{found.cpu:.2f} %", "of one core", found.cpu, 0.2, unit="%"))


def _shims(table: Table, node: Node) -> None:
    _say(f"{shims.COUNT} live shims")
    found = shims.measure(node)
    table.add(Line(f"one of {shims.COUNT} live shims", f"{found:.2f} MiB PSS", "", found, 2.0, unit="MiB"))


def _tools(table: Table) -> None:
    _say("relay mcp, and a shared tool")
    first, bare, far, near = tools.measured()
    table.add(_beside(first, bare, "relay mcp, first answer", "import of its package", tools.MOST_RATIO))
    over, beside = far.p50 - near.p50, f"its server, directly: {near}"
    table.add(Line("a shared tool, p50 / p99 ms", str(far), beside, over, tools.MOST_OVER_MS, unit="ms over"))


def main() -> None:
    """Measure everything and print the table."""
    table = Table()
    folder = Path(tempfile.mkdtemp(prefix="relay-ssh-"))
    try:
        if not rest.await_rest(folder, _say):
            table.skip(f"a file system at rest: for {rest.MOST_S:.0f} s a new file cost far more than a link")
        with _mesh() as (laptop, vps):
            with laptop.control() as control:
                spawns.once(control, vps)  # so that everything that is loaded late is loaded
            _idle(table, vps)
            _shims(table, vps)
            _commands(table, laptop)
            _spawns(table, folder, laptop, vps)
            _say("remote spawns beside other runners of work")
            others.add_lines(table, laptop, vps, IN_FLIGHT)
            _relayed(table, laptop, vps)
        _tools(table)
        _long_past(table)
        _envelopes(table, folder)
        _idle_links(table)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(table)
    print(f"measured with {platform.python_implementation()} {platform.python_version()} of {sys.base_prefix}")


if __name__ == "__main__":
    main()
