"""A client's request to call a tool, checked: from JSON to an order, or a sentence about what is wrong."""

from __future__ import annotations

from typing import Any

from relay.broker.members import Members
from relay.broker.orders import check_operation
from relay.broker.tasks import Caller, Tasks
from relay.core.calls import DEFAULT_TIMEOUT_S, DEFAULT_TTL_S, MAX_TTL_S, CallRequest, call_id, read_arguments
from relay.core.errors import Code, Misuse, Refused
from relay.core.field_checks import MAX_TIMEOUT_S
from relay.core.ids import BrokerId
from relay.core.offers import AT, is_runner_name, named_at
from relay.core.values import frozen
from relay.store import offers
from relay.store.engine import Store
from relay.store.journal import Journal


@frozen
class CallOrder:
    """A checked request of a client: `operation` is its own, so that the same one acts once."""

    operation: str
    request: CallRequest
    target: BrokerId


class CallOrders:
    """Reads what clients ask for.

    Args:
        members: names.
        journal: the clock, and what is known of tools.
        tasks: knows which task asks.
    """

    def __init__(self, members: Members, journal: Journal, tasks: Tasks) -> None:
        self._members = members
        self._journal = journal
        self._tasks = tasks

    async def read(self, body: dict[str, Any], caller: Caller | None) -> CallOrder:
        """The order in a client's JSON, with its chain where a task asks.

        Raises:
            Misuse: a field is missing or wrong.
            Refused: `no_runner`, `task_over` or `too_deep`.
        """
        operation, now = check_operation(body), self._journal.clock()
        tool, target = await self._meant(body.get("tool"), body.get("broker"))
        by = str(body.get("requested_by") or "")[:128]
        chain: tuple[BrokerId, ...] = ()
        if caller is not None:
            parent, chain = await self._tasks.chain_of(caller, tool if target == self._members.own else None)
            by = f"{parent.requested_by} by {parent.name}".strip()[:128]
        request = CallRequest(
            id=call_id(operation),
            tool=tool,
            arguments=read_arguments(body.get("arguments") or {}),
            created=now,
            expires=now + int(_seconds(body, "ttl_s", DEFAULT_TTL_S, MAX_TTL_S) * 1000),
            timeout_s=_seconds(body, "timeout_s", DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S),
            requested_by=by.encode("utf-8", "replace").decode(),
            chain=chain,
        )
        return CallOrder(operation, request, target)

    async def _meant(self, tool: Any, broker: Any) -> tuple[str, BrokerId]:
        if broker is not None and not isinstance(broker, str):
            why = "it is named by a text: its name, or the beginning of its id"
            raise Misuse("which broker?", why=why, hint="relay brokers")
        tool, broker = named_at(tool, broker)
        if not is_runner_name(tool):
            why = "a tool's name has 1 to 64 letters, digits, '.', '_' and '-'; NAME@BROKER names its broker as well"
            raise Misuse("which tool?", code=Code.BAD_NAME, why=why, hint="relay tools")
        if broker is not None:
            return tool, self._members.resolve(broker)
        return tool, await who_has(self._journal.store, self._members, tool)


async def who_has(store: Store, members: Members, tool: str) -> BrokerId:
    """The broker that a tool is called on where none was named: this one, or the only other one that has it.

    Raises:
        Refused: `no_runner`.
        Misuse: `ambiguous`.
    """
    if await store.one(offers.BY_NAME, name=tool) is not None:
        return members.own
    hidden = set(await store.all(offers.HIDDEN))
    found = [
        broker
        for broker in await store.all(offers.WHO_HAS, name=tool)
        if members.keys(broker) is not None and not hidden & {(tool, None), (tool, broker)}
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"{tool}{AT}{members.name(each)}" for each in found)
        raise Misuse(f"several brokers have a tool {tool}", code=Code.AMBIGUOUS, why=names, hint="name one of these")
    why = "no program offers it here, and no other broker has told of it"
    raise Refused(f"there is no tool {tool}", code=Code.NO_RUNNER, why=why, hint="relay tools")


def _seconds(body: dict[str, Any], key: str, default: float, most: float) -> float:
    value = body.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
        what = {"ttl_s": "time to live", "timeout_s": "timeout"}[key]
        why = "it is more than 0 and at most 30 days, in seconds"
        raise Misuse(f"the {what} cannot be used", code=Code.BAD_DURATION, why=why, hint="relay tools call --help")
    return float(value)
