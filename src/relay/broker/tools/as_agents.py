"""The runners of this broker that can be spawned as agents: those that take a task."""

from __future__ import annotations

import json
from collections.abc import Iterable

from relay.core.ids import BrokerId, is_name
from relay.spawn.agents.runner import CWD, RunnerAgent, takes_task
from relay.store.offers import Offered


def as_agents(offered: Iterable[Offered], own: BrokerId) -> dict[str, RunnerAgent]:
    """Those of these offers that can be, by name.

    Args:
        offered: what programs offer here.
        own: this broker.
    """
    found = {}
    for each in offered:
        definition = json.loads(each.definition)
        if is_name(each.name) and takes_task(definition):
            takes_cwd = CWD in definition["inputSchema"]["properties"]
            found[each.name] = RunnerAgent(each.name, own, takes_cwd, each.title)
    return found
