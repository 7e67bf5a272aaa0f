"""`relay agents` and `agents test`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import ages, awaiting, ordering, speech, table
from relay.cli.blanks import refuse_blank
from relay.cli.clean import brief, clean
from relay.cli.spawn_lines import ref, result_text, status_of, title
from relay.dashboard.words import word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.api.agent_shapes import AgentTest, BrokerAgents, OfferedAgent
    from relay.api.shapes import Spawn, SpawnOrder
    from relay.cli.invocation import Invocation

HEADINGS = ("BROKER", "AGENT", "VERSION", "LOGIN", "LAST TEST")
TEST_HEADINGS = ("AGENT", "RESULT", "TOOK", "WHAT")
LABEL = "relay.test"  # as in core.agent_facts, which the command does not import
TASK = "This is a test. Answer with the one word ok. Use no tools, read no files, write nothing."
_TASKS = {"shell": ["echo ok"], "exec": ["echo", "ok"], "python": ["print('ok')"]}
WITHIN = "2m"
FAILED, INTERRUPTED = 1, 130
_LOGIN = {True: "logged in", False: "NOT logged in", None: ""}


def run(invocation: Invocation, *, broker: str | None) -> int:
    """List what each broker can run."""
    refuse_blank(broker=broker)
    found = invocation.client().ask(routes.agents(broker))
    if invocation.json:
        speech.document(found)
        return 0
    rows = [_row(each, agent) for each in found for agent in each["agents"] if agent["installed"]]
    table.show(HEADINGS, rows, "no broker names an agent")
    for each in found:
        _say_rest(each)
    return 0


def _row(said: BrokerAgents, agent: OfferedAgent) -> list[str]:
    version = "runner" if agent.get("runner") else agent["version"] or ("" if said["truth"] else "unknown")
    return [said["broker"]["name"], agent["name"], version, _LOGIN[agent["logged_in"]], _last(agent["test"])]


def _last(test: AgentTest | None) -> str:
    if test is None:
        return ""
    why = "" if test["state"] == "completed" else f": {brief(test['reason'])}"
    return f"{word(test['state'])} {ages.since(test['at'])} ago{why}"


def _say_rest(said: BrokerAgents) -> None:
    name = clean(said["broker"]["name"])
    if said["truth"] is None:
        speech.note(clean(f"{name} did not say: {said['why']}; shown is what its record names"))
        return
    missing = [agent["name"] for agent in said["agents"] if not agent["installed"] and not agent["note"]]
    if missing:
        speech.note(clean(f"not installed on {name}: {', '.join(missing)}"))
    for why in dict.fromkeys(agent["note"] for agent in said["agents"] if agent["note"] and not agent["installed"]):
        names = ", ".join(agent["name"] for agent in said["agents"] if agent["note"] == why)
        speech.note(clean(f"not to be had on {name}: {names}: {why}"))
    for agent in said["agents"]:
        if agent["logged_in"] is False:
            speech.note(clean(f"log in to {agent['name']} on {name}, as the user of its broker: {agent['log_in']}"))
        if agent["note"] and agent["installed"]:
            speech.note(clean(f"{agent['name']} on {name}: {agent['note']}"))


def test(invocation: Invocation, *, agent: str | None, broker: str | None, timeout: str | None) -> int:
    """Spawn a tiny task for one agent or for all of them, wait for the ends, and say what they were."""
    refuse_blank(agent=agent, broker=broker)
    client = invocation.client()
    said = None if agent else client.ask(routes.agents(broker or _own(invocation)))[0]
    names, skipped = ([str(agent)], []) if said is None else _testable(said)
    broken = said is not None and any(each.get("broken") for each in said["agents"])
    spawns = [client.ask(routes.spawn(_order(name, broker, timeout or WITHIN))) for name in names]
    awaited = awaiting.Awaited(client, spawns, lambda spawn: None, is_quiet=invocation.json)
    try:
        awaited.run(None, first=False)
    except KeyboardInterrupt:
        speech.note(f"\n{len(awaited.going)} go on: {', '.join(map(title, awaited.going[: awaiting.SHOWN]))}")
        return INTERRUPTED
    status = _tell(invocation, awaited.in_order, skipped)
    return status or (FAILED if broken else 0)


def _own(invocation: Invocation) -> str:
    return invocation.client().ask(routes.status())["broker"]["id"]


def _testable(said: BrokerAgents) -> tuple[list[str], list[tuple[str, str]]]:
    """The names that a test makes sense of, and why it does not of the others."""
    from relay.core.errors import Unreachable

    if said["truth"] is None:
        name = clean(said["broker"]["name"])
        why = f"it did not say what it can run: {said['why']}"
        raise Unreachable(f"{name} cannot be asked", why=why, hint=f"relay agents test NAME --broker {name}")
    skipped = []
    for agent in said["agents"]:
        if agent.get("runner"):
            skipped.append((agent["name"], "a runner, which would do what it is told"))
        elif not agent["installed"]:
            skipped.append((agent["name"], agent["note"] or "not installed"))
        elif agent["logged_in"] is False:
            skipped.append((agent["name"], f"not logged in; there: {agent['log_in']}"))
    left_out = {name for name, _ in skipped}
    return [agent["name"] for agent in said["agents"] if agent["name"] not in left_out], skipped


def _order(agent: str, broker: str | None, timeout: str) -> SpawnOrder:
    return ordering.order(
        name="-",
        agent=agent,
        words=_TASKS.get(agent, [TASK]),
        broker=broker,
        cwd=ordering.FRESH,
        mode="plan",
        model=None,
        timeout=timeout,
        label=[f"{LABEL}={agent}"],
        ttl=timeout,
        idempotency_key=None,
    )


def _tell(invocation: Invocation, spawns: Sequence[Spawn], skipped: list[tuple[str, str]]) -> int:
    if invocation.json:
        tested = [{"agent": each["agent"], "spawn": each, "skipped": None} for each in spawns]
        speech.document([*tested, *({"agent": name, "spawn": None, "skipped": why} for name, why in skipped)])
    else:
        table.show(TEST_HEADINGS, [_result(each) for each in spawns], "there is no agent to test")
        for each in spawns:
            if each["error"] and each["error"].get("hint"):
                speech.note(clean(f"{each['agent']}: {each['error']['hint']}"))
            elif each["state"] != "completed":
                speech.note(f"{clean(each['agent'])}: {invocation.home.command(f'logs {ref(each)}')}")
        for name, why in skipped:
            speech.note(clean(f"not tested: {name} ({why})"))
    return next((status for status in map(status_of, spawns) if status), 0 if spawns else FAILED)


def _result(spawn: Spawn) -> list[str]:
    said = result_text(spawn) if spawn["state"] == "completed" else spawn["reason"]
    took = ages.between(spawn["started"], spawn["ended"])
    return [spawn["agent"], word(spawn["state"]), took or "", brief(said)]
