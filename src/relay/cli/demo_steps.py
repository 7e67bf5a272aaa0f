"""What the demo shows, step by step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from relay.api import routes
from relay.api.client import Client
from relay.cli import granting, members, ordering
from relay.cli.clean import clean_lines
from relay.cli.spawn_lines import outcome, result_text
from relay.core.allowlist import Change
from relay.core.errors import LocalFault, RelayError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from relay.api.shapes import Spawn
    from relay.cli.demo_mesh import Mesh

    Step = Callable[[str, Callable[[], Any]], Any]
    Tell = Callable[[str], None]

LINK_S, LOOK_S = 10.0, 0.02
ENDED_S = 20.0
TASK = (
    "echo \"hello from $(basename \"$PWD\"), process $$\"; "
    "for n in 1 2 3; do sleep 0.3; echo \"step $n of 3\"; done; echo done"
)


def play(mesh: Mesh, step: Step, tell: Tell) -> None:
    """Play it.

    Args:
        mesh: the two brokers, not yet started.
        step: does and measures one step under a title.
        tell: says a line.

    Raises:
        RelayError: a step did not come out as it has to.
    """
    tell(f"Two brokers on this machine, as if they were two machines, in {mesh.folder}")
    tell("  listens on " + step("1. set up and start the broker `laptop`", mesh.start_laptop))
    with Client(mesh.laptop) as laptop:
        link = step("2. laptop: relay invite --link", lambda: laptop.ask(routes.invite(600.0)))["link"]
        tell(f"  {link[:48]}...")
        tell("  listens on " + step("3. vps: relay join && relay up --detach", lambda: mesh.join_vps(link)))
        step("4. the two find each other", lambda: _until_linked(laptop))
        refused = step("5. laptop: relay spawn hello shell ... --broker vps", lambda: _ended(laptop, mesh, "too-early"))
        _tell_refusal(refused, tell)
        step("6. vps: relay trust allow laptop --agent shell --dir ...", lambda: _allow(mesh))
        tell(f"  laptop may now run `shell` on vps, in {mesh.work} and nowhere else")
        done = step("7. laptop: the same again, with --follow", lambda: _followed(laptop, mesh, tell))
        _tell_result(done, tell)


def _until_linked(laptop: Client) -> None:
    until = time.monotonic() + LINK_S
    while not any(each["online"] and not each["self"] for each in laptop.ask(routes.brokers())):
        if time.monotonic() > until:
            why = f"{LINK_S:.0f} s went by"
            raise Unreachable("the two brokers did not find each other", why=why, hint="relay doctor")
        time.sleep(LOOK_S)


def _ask(laptop: Client, mesh: Mesh, name: str) -> Spawn:
    order = ordering.order(
        name, "shell", [TASK], "vps", mesh.work, mode=None, model=None, timeout="1m", label=(), ttl=None,
        idempotency_key=None,
    )
    return laptop.ask(routes.spawn(order))


def _ended(laptop: Client, mesh: Mesh, name: str) -> Spawn:
    return laptop.ask(routes.wait(_ask(laptop, mesh, name)["id"], ENDED_S))


def _tell_refusal(spawn: Spawn, tell: Tell) -> None:
    error = spawn["error"]
    if spawn["state"] != "rejected" or error is None:
        raise LocalFault("the demo expected a refusal", why=outcome(spawn), hint="relay doctor")
    tell(f"  {outcome(spawn)}")
    tell(f"  why: {clean_lines(error['message'])}")
    tell(f"  try: {clean_lines(error['hint'])}")


def _allow(mesh: Mesh) -> None:
    change = Change(agents=("shell",), dirs=(mesh.work,))
    granting.give(mesh.vps, members.meant(mesh.vps, "laptop"), change)


def _followed(laptop: Client, mesh: Mesh, tell: Tell) -> Spawn:
    began = time.perf_counter()
    spawn = _ask(laptop, mesh, "hello")
    for line in laptop.lines(routes.log(spawn["id"], follow=True)):
        for text in clean_lines(line["data"]).splitlines():
            tell(f"  {(time.perf_counter() - began) * 1000:5.0f} ms | {text}")
    return laptop.ask(routes.wait(spawn["id"], ENDED_S))


def _tell_result(spawn: Spawn, tell: Tell) -> None:
    tell(f"  {outcome(spawn)}, exit status {spawn['exit_code']}")
    if spawn["state"] != "completed" or not result_text(spawn):
        fault: RelayError = LocalFault("the demo's task did not complete", why=outcome(spawn), hint="relay doctor")
        raise fault


def to_try(mesh: Mesh) -> list[str]:
    """Commands for a mesh that was kept."""
    laptop, vps = mesh.laptop.command, mesh.vps.command
    return [
        laptop("brokers"),
        laptop("ps --all"),
        laptop(f'spawn again shell "uname -a" --broker vps --cwd {mesh.work} --wait'),
        vps("trust list"),
        vps("audit show"),
        f"{laptop('down')}; {vps('down')}; rm -r {mesh.folder}",
    ]
