import dataclasses
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core import ids
from relay.core.errors import Code, Misuse
from relay.core.grants import (
    PROFILES,
    VERBS,
    Asked,
    Change,
    Denied,
    Grant,
    Granted,
    Verdict,
    Waiting,
    combined,
    covers_directory,
    extended,
    judge,
    judge_chain,
    profile,
)

NOW = 1_800_000_000_000
LAPTOP = ids.broker_id(b"\x01" * 32)
GRANT = Grant(LAPTOP, ("spawn",), ("claude", "*"), ("/srv/app",), "edit", 2)
SPAWN = Asked("spawn", "claude", "/srv/app/web", "/srv/app/web")


def verdict(grant: Grant | None = GRANT, asked: Asked = SPAWN, label: str = "laptop", now: int = NOW) -> Verdict:
    return judge(grant, asked, now, label)


def denied(grant: Grant | None = GRANT, asked: Asked = SPAWN, label: str = "laptop", now: int = NOW) -> Denied:
    result = judge(grant, asked, now, label)
    assert isinstance(result, Denied)
    return result


def but(**changes: object) -> Asked:
    return dataclasses.replace(SPAWN, **changes)  # type: ignore[arg-type]


def granting(**changes: object) -> Grant:
    return dataclasses.replace(GRANT, **changes)  # type: ignore[arg-type]


def test_what_the_grant_covers_is_granted() -> None:
    assert verdict() == Granted()
    assert verdict(granting(ask=True)) == Granted(hold=True)


def test_no_grant_names_the_whole_command() -> None:
    shell = but(agent="shell", directory="/srv/app", wanted_cwd="/srv/app")
    result = denied(None, shell)
    assert result.code is Code.NO_GRANT
    assert result.hint == "relay trust allow laptop --agent shell --dir /srv/app"


@pytest.mark.parametrize(
    ("grant", "asked", "code", "hint"),
    [
        (GRANT, but(verb="stop"), Code.NO_VERB, "relay trust allow laptop --verb stop"),
        (GRANT, but(agent="shell"), Code.NO_AGENT, "relay trust allow laptop --agent shell"),
        (GRANT, but(agent="exec"), Code.NO_AGENT, "relay trust allow laptop --agent exec"),
        (granting(agents=("claude",)), but(agent="codex"), Code.NO_AGENT, "relay trust allow laptop --agent codex"),
        (
            GRANT,
            but(directory="/srv/application"),
            Code.FOREIGN_DIRECTORY,
            "relay trust allow laptop --dir /srv/application",
        ),
        (GRANT, but(directory=None, wanted_cwd="new"), Code.FOREIGN_DIRECTORY, "relay trust allow laptop --dir new"),
        (GRANT, but(mode="full"), Code.MODE_BEYOND_GRANT, "relay trust allow laptop --mode full"),
        (granting(expires=NOW), SPAWN, Code.GRANT_EXPIRED, "relay trust allow laptop --expires 30d"),
        (granting(frozen=True), SPAWN, Code.GRANT_FROZEN, "relay trust allow laptop"),
        (granting(frozen=True), but(mode="full"), Code.GRANT_FROZEN, "relay trust allow laptop --mode full"),
    ],
)
def test_denials_name_the_command_that_mends(grant: Grant, asked: Asked, code: Code, hint: str) -> None:
    result = denied(grant, asked)
    assert (result.code, result.hint) == (code, hint)
    assert result.message and result.why


def test_no_directory_names_the_choices() -> None:
    result = denied(GRANT, but(directory=None, wanted_cwd=None))
    assert result.code is Code.NO_DIRECTORY
    assert "--cwd DIR" in result.hint and "--cwd new" in result.hint


def test_a_chain_that_is_too_deep_is_denied() -> None:
    assert verdict(asked=but(depth=1)) == Granted()
    assert denied(asked=but(depth=2)).code is Code.TOO_DEEP
    assert judge(GRANT, but(depth=2), NOW, "laptop", max_depth=2) == Granted()


def test_too_many_at_once_wait_and_are_not_denied() -> None:
    result = verdict(asked=but(running=2))
    assert isinstance(result, Waiting) and "2 at once" in result.why


def test_a_star_never_covers_shell_or_exec() -> None:
    star = granting(agents=("*",))
    assert verdict(star, but(agent="anything")) == Granted()
    assert "by name only" in denied(star, but(agent="shell")).why
    assert verdict(granting(agents=("shell",)), but(agent="shell")) == Granted()


@pytest.mark.parametrize("verb", ["view", "send", "stop"])
def test_spawn_implies_the_own_spawns_only(verb: str) -> None:
    assert verdict(asked=Asked(verb, own=True)) == Granted()
    assert denied(asked=Asked(verb)).code is Code.NO_VERB
    assert denied(granting(verbs=("message",)), Asked(verb, own=True)).code is Code.NO_VERB


def test_attach_and_approve_are_never_implied() -> None:
    for verb in set(VERBS) - {"spawn", "view", "send", "stop"}:
        assert denied(asked=Asked(verb, own=True)).code is Code.NO_VERB


@pytest.mark.parametrize(
    ("directory", "covered"),
    [
        ("/srv/app", True),
        ("/srv/app/deep/er", True),
        ("/srv/app2", False),
        ("/srv", False),
        ("/", False),
        ("srv/app", False),
        ("", False),
        ("/srv/app/../secret", False),
        ("//srv/app", False),
    ],
)
def test_directories_are_compared_part_by_part(directory: str, covered: bool) -> None:
    assert covers_directory(("new", "/srv/app"), directory) is covered


def test_the_root_covers_everything_and_nothing_covers_nothing() -> None:
    assert covers_directory(("/",), "/etc")
    assert not covers_directory(("new",), "new") and not covers_directory((), "/etc")


def test_hints_are_quoted_for_the_shell() -> None:
    nasty = "/srv/a b'; rm -rf ~"
    result = denied(None, but(directory=nasty, wanted_cwd=nasty), label="lap; top")
    words = shlex.split(result.hint)
    assert words[:4] == ["relay", "trust", "allow", "lap; top"] and nasty in words


def test_everybody_on_the_chain_needs_a_grant() -> None:
    other = dataclasses.replace(GRANT, broker=ids.broker_id(b"\x02" * 32))
    asked = but(depth=1)
    assert judge_chain(("laptop", GRANT), [("phone", other)], asked, NOW) == Granted()
    result = judge_chain(("laptop", GRANT), [("phone", None)], asked, NOW)
    assert isinstance(result, Denied) and "phone" in result.hint
    missing = judge_chain(("laptop", None), [("phone", other)], asked, NOW)
    assert isinstance(missing, Denied) and "laptop" in missing.hint
    asking = dataclasses.replace(other, ask=True)
    assert judge_chain(("laptop", GRANT), [("phone", asking)], asked, NOW) == Granted(hold=True)
    busy = judge_chain(("laptop", GRANT), [("phone", asking)], but(depth=1, running=2), NOW)
    assert isinstance(busy, Waiting) and busy.hold


def from_hint(hint: str) -> Change:
    """The change `relay trust allow` would make of a hint."""
    words = shlex.split(hint)[4:]
    pairs = list(zip(words[::2], words[1::2], strict=True))
    verbs, agents, dirs, modes = (
        tuple(value for flag, value in pairs if flag == wanted) for wanted in ("--verb", "--agent", "--dir", "--mode")
    )
    expires = NOW + 1000 if ("--expires", "30d") in pairs else None
    return Change(verbs, agents, dirs, modes[0] if modes else None, expires=expires)


GRANTS = st.none() | st.builds(
    Grant,
    st.just(LAPTOP),
    st.lists(st.sampled_from(VERBS), max_size=3).map(tuple),
    st.lists(st.sampled_from(["*", "claude", "shell"]), max_size=2).map(tuple),
    st.lists(st.sampled_from(["/", "/srv", "new"]), max_size=2).map(tuple),
    st.sampled_from(["plan", "edit", "full"]),
    st.integers(1, 3),
    st.booleans(),
    st.none() | st.sampled_from([NOW - 1, NOW + 1]),
    st.booleans(),
)
ASKED = st.builds(
    Asked,
    st.sampled_from(VERBS),
    st.sampled_from(["claude", "shell", "exec", "codex"]),
    st.sampled_from(["/srv/app", "/home/x"]),
    st.sampled_from(["/srv/app", "new"]),
    st.sampled_from(["plan", "edit", "full"]),
    st.integers(0, 1),
    st.integers(0, 4),
    st.booleans(),
)


@settings(max_examples=500, deadline=None)
@given(GRANTS, ASKED)
def test_doing_what_the_hint_says_mends_every_denial(grant: Grant | None, asked: Asked) -> None:
    first = judge(grant, asked, NOW, "laptop")
    if isinstance(first, Denied):
        mended = extended(grant or Grant(LAPTOP), from_hint(first.hint))
        assert not isinstance(judge(mended, asked, NOW, "laptop"), Denied), first


def test_profiles() -> None:
    read_only = extended(Grant(LAPTOP), profile("read-only"))
    assert read_only.verbs == ("view",) and not read_only.agents
    runner = extended(Grant(LAPTOP), combined(profile("runner"), Change(dirs=("/srv/app",))))
    assert (runner.verbs, runner.agents, runner.dirs) == (("spawn",), ("*",), ("new", "/srv/app"))
    assert runner.mode == "edit"
    full = extended(Grant(LAPTOP), PROFILES["full"])
    assert set(full.verbs) == set(VERBS) - {"notify"}
    assert full.agents == ("*", "shell", "exec", "python") and full.mode == "full"
    with pytest.raises(Misuse, match="no profile"):
        profile("king")


def test_a_change_adds_and_sets_and_thaws() -> None:
    before = granting(frozen=True, expires=NOW, ask=True)
    after = extended(before, Change(verbs=("view",), dirs=("new",), mode="plan", max_parallel=9, ask=False, expires=0))
    assert after == Grant(LAPTOP, ("spawn", "view"), ("claude", "*"), ("/srv/app", "new"), "plan", 9)
    assert extended(before, Change()) == dataclasses.replace(before, frozen=False)
