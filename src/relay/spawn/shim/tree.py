"""The shim's view of the task's tree: everything below it, and everything that carries its mark."""

from __future__ import annotations

import os

from . import processes


def members(mark: bytes, session: int | None) -> list[processes.Process]:
    """The living processes of the tree.

    Args:
        mark: the environment entry of the attempt; it finds what another process started for the task.
        session: the task's session, where it is known; it finds orphans where nobody adopts them.
    """
    table = processes.table()
    pids = processes.descendants(table, {os.getpid()})
    others = table.keys() - pids
    pids |= {pid for pid in others if table[pid].session == session} | processes.carriers(others, mark)
    pids |= processes.descendants(table, pids)
    return [table[pid] for pid in pids - {os.getpid()} if table[pid].alive]


def signal_all(tree: list[processes.Process], number: int) -> None:
    """Signal each; one that changed its user is left for the survivors' count."""
    for process in tree:
        try:
            processes.send(process, number)
        except PermissionError:
            continue
