"""What agents print, in the shapes that their programs were seen to print, and what each reader makes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relay.core.errors import Code, Misuse
from relay.core.questions import Asked
from relay.core.spawning import SpawnRequest
from relay.core.states import State
from relay.core.wishes import Wishes
from relay.spawn.agents.agent import Agent, Finding, Reader
from relay.spawn.agents.aider import Aider
from relay.spawn.agents.asking import asks
from relay.spawn.agents.claude import Claude
from relay.spawn.agents.codex import Codex, ServerReader
from relay.spawn.agents.codex_exec import ExecReader
from relay.spawn.agents.gemini import Gemini, GeminiReader
from relay.spawn.agents.goose import Goose, GooseReader
from relay.spawn.agents.llm import Llm, groq
from relay.spawn.agents.opencode import Opencode, OpencodeReader
from relay.spawn.agents.rules import ObjectReader, Rule

Event = dict[str, Any]


def read(reader: Reader, events: list[Event], exit_code: int = 0, errors: bytes = b"") -> tuple[list[str], Finding]:
    """The progress and the finding of these events."""
    reader.feed(1, errors)
    words = reader.feed(0, b"".join(json.dumps(each).encode() + b"\n" for each in events))
    return words, reader.finding(exit_code)


def ends(found: Finding) -> tuple[State, Code | None]:
    """How it ended."""
    return found.state, found.code


def request(agent: str, **changes: Any) -> SpawnRequest:
    """A request for an agent."""
    fields: dict[str, Any] = {"id": "abcdefghij234567", "name": "coder", "agent": agent, "task": "-Fix it"}
    return SpawnRequest(**fields | {"created": 1, "expires": 2} | changes)


# codex: the app-server

STARTED: list[Event] = [
    {"id": 1, "result": {"userAgent": "relay/0.171.0"}},
    {"id": 2, "result": {"account": None, "requiresOpenaiAuth": False}},
    {"id": 3, "result": {"thread": {"id": "t1"}, "model": "stub-1"}},
]
TOKENS = {"totalTokens": 38, "inputTokens": 24, "outputTokens": 14}


def called(method: str, **params: Any) -> Event:
    """A notification."""
    return {"method": method, "params": params}


def item(over: bool, kind: str, **more: Any) -> Event:
    """Of an item."""
    return called("item/completed" if over else "item/started", threadId="t1", item={"type": kind, **more})


def turn(status: str = "completed", error: Event | None = None) -> Event:
    """The end of a turn."""
    return called("turn/completed", threadId="t1", turn={"status": status, "error": error})


def test_codex_success() -> None:
    words, found = read(
        ServerReader(),
        [
            *STARTED,
            item(False, "commandExecution", command="make"),
            item(True, "commandExecution", command="make", status="completed"),
            item(True, "agentMessage", text="Done."),
            called("thread/tokenUsage/updated", tokenUsage={"total": TOKENS}),
            turn(),
        ],
    )
    assert words == ["uses make", "Done."]
    assert (ends(found), found.summary, found.session) == ((State.COMPLETED, None), "Done.", "t1")
    assert found.usage == {"input_tokens": 24, "output_tokens": 14, "turns": 1} and found.model == "stub-1"


@pytest.mark.parametrize(
    ("events", "exit_code", "code"),
    [
        ([item(True, "commandExecution", command="rm", status="declined"), turn()], 0, Code.AGENT_DENIED),
        ([turn("failed", {"message": "unexpected status 401 Unauthorized"})], 0, Code.AGENT_NO_LOGIN),
        ([turn("failed", {"message": "limit", "codexErrorInfo": "usageLimitExceeded"})], 0, Code.AGENT_USAGE_LIMIT),
        ([turn("failed", {"message": "busy", "codexErrorInfo": {"x": {"httpStatusCode": 429}}})], 0, Code.AGENT_ERROR),
        ([turn("interrupted")], 0, Code.AGENT_NO_RESULT),
        ([turn()], 3, Code.EXIT_NONZERO),
        ([], 0, Code.AGENT_NO_RESULT),
        ([{"id": 3, "error": {"message": "no rollout found for thread id x"}}], 0, Code.AGENT_NO_SESSION),
        ([{"id": 2, "result": {"account": None, "requiresOpenaiAuth": True}}], 0, Code.AGENT_NO_LOGIN),
        ([called("turn/completed", threadId="of another", turn={"status": "completed"})], 0, Code.AGENT_NO_RESULT),
    ],
)
def test_codex_failures(events: list[Event], exit_code: int, code: Code) -> None:
    assert ends(read(ServerReader(), [*STARTED, *events], exit_code)[1]) == (State.FAILED, code)


def test_codex_asks_and_withdraws() -> None:
    reader = ServerReader()
    asked = {"id": 0, **called("item/commandExecution/requestApproval", command="rm -rf build", cwd="/w", reason="why")}
    choice = {"id": "q", "question": "Which?", "options": [{"label": "red"}, {"label": "blue"}]}
    read(reader, [asked, {"id": 1, **called("item/tool/requestUserInput", questions=[choice])}])
    assert asks(reader)
    first, second = reader.asked()
    assert (first.name, first.kind, first.mode, first.tool) == ("0", Asked.PERMISSION, "full", "command")
    assert first.input == {"command": "rm -rf build", "cwd": "/w", "reason": "why"} and "rm -rf build" in first.text
    assert (second.name, second.kind, second.text) == ("1", Asked.QUESTION, "Which? (red, blue)")
    read(reader, [called("serverRequest/resolved", requestId=0)])
    assert (reader.asked(), reader.withdrawn()) == ([], ["0"])


def test_codex_waits_for_its_model() -> None:
    status = {"responseStreamDisconnected": {"httpStatusCode": 503}}
    error = {"message": "Reconnecting... 1/5", "codexErrorInfo": status}
    words, found = read(ServerReader(), [*STARTED, called("error", error=error, willRetry=True)])
    assert words == ["waiting for the API, try 1 of 5, 503"] and found.waited_for == words[0]


# codex exec, for agents.toml


def test_codex_exec() -> None:
    said: list[Event] = [
        {"type": "thread.started", "thread_id": "t1"},
        {"type": "item.completed", "item": {"type": "error", "message": "a mere warning"}},
        {"type": "item.completed", "item": {"type": "agent_message", "text": "Done."}},
    ]
    over = {"type": "turn.completed", "usage": {"input_tokens": 3}}
    found = read(ExecReader("mine"), [*said, over])[1]
    assert (ends(found), found.session, found.usage) == ((State.COMPLETED, None), "t1", {"input_tokens": 3})
    assert ends(read(ExecReader("mine"), said)[1]) == (State.FAILED, Code.AGENT_NO_RESULT)
    failed = {"type": "turn.failed", "error": {"message": "busy"}}
    assert ends(read(ExecReader("mine"), [*said, failed], 1)[1]) == (State.FAILED, Code.AGENT_ERROR)


# claude, beside what test_claude.py has


def test_claude_asks_and_withdraws() -> None:
    reader = Claude().reader()
    given = {"subtype": "can_use_tool", "tool_name": "Write", "input": {"file_path": "a"}, "description": "a"}
    read(
        reader,
        [
            {"type": "control_request", "request_id": "r1", "request": given},
            {"type": "control_request", "request_id": "r2", "request": {**given, "tool_name": "Bash"}},
            {"type": "control_request", "request_id": "r3", "request": {"subtype": "hook_callback"}},
            {"type": "control_cancel_request", "request_id": "r1"},
        ],
    )
    assert asks(reader)
    asked = [(each.name, each.kind, each.tool, each.mode) for each in reader.asked()]
    assert asked == [("r1", Asked.PERMISSION, "Write", "edit"), ("r2", Asked.PERMISSION, "Bash", "full")]
    assert reader.withdrawn() == ["r1"]


def test_claude_tells_of_a_limit_with_its_reset_and_of_tools_that_were_missing() -> None:
    servers = [{"name": "files", "status": "failed"}, {"name": "good", "status": "connected"}]
    found = read(
        Claude().reader(),
        [
            {"type": "system", "subtype": "init", "session_id": "s", "model": "m", "mcp_servers": servers},
            {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "resetsAt": 1_800_000_000}},
            {"type": "result", "subtype": "success", "is_error": True, "result": "You've hit your session limit"},
        ],
        1,
    )[1]
    assert ends(found) == (State.FAILED, Code.AGENT_USAGE_LIMIT) and found.resets == 1_800_000_000_000
    assert found.notes == ("its MCP server files did not start: the tools of that were missing",)


# gemini


def gemini(*events: Event, status: str = "success", exit_code: int = 0, error: Event | None = None) -> Finding:
    """The finding of a run of gemini."""
    last = {"type": "result", "status": status, "stats": {"input_tokens": 5}} | ({"error": error} if error else {})
    return read(GeminiReader(), [{"type": "init", "session_id": "s", "model": "m"}, *events, last], exit_code)[1]


def test_gemini() -> None:
    tool = {"type": "tool_use", "tool_name": "write_file", "tool_id": "1"}
    done = {"type": "tool_result", "tool_id": "1", "status": "success"}
    message = [{"type": "message", "role": "assistant", "content": each, "delta": True} for each in ("Do", "ne.")]
    found = gemini(tool, done, *message)
    assert (ends(found), found.summary, found.usage) == ((State.COMPLETED, None), "Done.", {"input_tokens": 5})
    denied = {**done, "status": "error", "error": {"type": "POLICY", "message": "Tool execution denied by policy"}}
    assert ends(gemini(tool, denied, *message)) == (State.FAILED, Code.AGENT_DENIED)
    wrong = {"message": "API key not valid. Please pass a valid API key."}
    assert ends(gemini(status="error", error=wrong, exit_code=144)) == (State.FAILED, Code.AGENT_NO_LOGIN)
    assert ends(gemini(exit_code=53)) == (State.FAILED, Code.AGENT_MAX_TURNS)
    assert ends(read(GeminiReader(), [], 1)[1]) == (State.FAILED, Code.AGENT_NO_RESULT)
    no_login = b"Please set an Auth method in your settings.json\n"
    assert ends(read(GeminiReader(), [], 41, no_login)[1]) == (State.FAILED, Code.AGENT_NO_LOGIN)


# opencode


def test_opencode() -> None:
    text = {"type": "text", "sessionID": "s", "part": {"text": "Done."}}
    finish = {"type": "step_finish", "part": {"reason": "stop", "tokens": {"input": 5, "output": 2}}}
    words, found = read(OpencodeReader(), [text, finish, finish])
    assert (words, ends(found), found.session) == (["Done."], (State.COMPLETED, None), "s")
    assert found.usage == {"input_tokens": 10, "output_tokens": 4}
    tools = {"type": "step_finish", "part": {"reason": "tool-calls"}}
    assert ends(read(OpencodeReader(), [tools])[1]) == (State.FAILED, Code.AGENT_NO_RESULT)
    state = {"status": "error", "error": "The user rejected permission to use this specific tool call."}
    denied = {"type": "tool_use", "part": {"tool": "bash", "state": state}}
    assert ends(read(OpencodeReader(), [denied, finish])[1]) == (State.FAILED, Code.AGENT_DENIED)
    error = {"type": "error", "error": {"name": "APIError", "data": {"statusCode": 401, "message": "no"}}}
    assert ends(read(OpencodeReader(), [error], 1)[1]) == (State.FAILED, Code.AGENT_NO_LOGIN)


# goose, aider, llm, rules


def test_goose() -> None:
    said = {"type": "message", "message": {"role": "assistant", "content": [{"type": "text", "text": "Done."}]}}
    found = read(GooseReader(), [said, {"type": "complete", "total_tokens": 9}])[1]
    assert (ends(found), found.summary, found.usage) == ((State.COMPLETED, None), "Done.", {"total_tokens": 9})
    assert ends(read(GooseReader(), [said])[1]) == (State.FAILED, Code.AGENT_NO_RESULT)
    assert ends(read(GooseReader(), [{"type": "error", "error": "no"}])[1]) == (State.FAILED, Code.AGENT_ERROR)


@pytest.mark.parametrize(
    ("text", "exit_code", "code"),
    [
        ("Applied edit to a.py\n", 0, None),
        ("litellm.AuthenticationError: AuthenticationError: OpenAIException - no\n", 0, Code.AGENT_NO_LOGIN),
        (  # measured with 0.86
            "litellm.AuthenticationError: Incorrect\nThe API provider is not able to authenticate you. Check it.\n",
            0,
            Code.AGENT_NO_LOGIN,
        ),
        ("litellm.APIConnectionError: Connection error.\nRetrying in 0.2 seconds...", 0, Code.AGENT_ERROR),
        ("Error: no such model", 1, Code.AGENT_ERROR),
        ("", 1, Code.EXIT_NONZERO),
    ],
)
def test_a_text_is_read_for_the_errors_that_the_exit_code_keeps_quiet_about(
    text: str, exit_code: int, code: Code | None
) -> None:
    reader = Aider().reader()
    for at in range(0, len(text), 7):
        reader.feed(0, text[at : at + 7].encode())
    assert ends(reader.finding(exit_code)) == (State.FAILED if code else State.COMPLETED, code)


def test_a_rule_is_the_last_object_that_has_its_keys() -> None:
    rule = Rule({"type": "end", "result.ok": True}, session="id", summary="text")
    good, bad = ({"type": "end", "result": {"ok": ok}} for ok in (True, 1))
    words, found = read(ObjectReader("mine", rule), [{"id": "s", "text": "Hm."}, bad, good, {"type": "x"}])
    assert (words, ends(found)) == (["Hm."], (State.COMPLETED, None))
    assert (found.session, found.summary) == ("s", "Hm.")
    assert ends(read(ObjectReader("mine", rule), [good, bad])[1]) == (State.FAILED, Code.AGENT_ERROR)
    assert ends(read(ObjectReader("mine", rule), [{"type": "end"}])[1]) == (State.FAILED, Code.AGENT_NO_RESULT)
    assert ends(read(ObjectReader("mine", rule), [good], 2)[1]) == (State.FAILED, Code.EXIT_NONZERO)


# commands

ALL: list[Agent] = [Claude(), Codex(), Gemini(), Opencode(), Aider(), Goose(), Llm(), groq()]


@pytest.mark.parametrize("agent", ALL, ids=lambda each: each.name)
def test_no_task_can_become_an_option(agent: Agent) -> None:
    command = agent.command(request(agent.name), 1)
    assert command.stdin and "-Fix it" in command.stdin and "-Fix it" not in command.argv
    with pytest.raises(Misuse) as caught:
        agent.command(request(agent.name, task=" "), 1)
    assert caught.value.code is Code.BAD_TASK


@pytest.mark.parametrize("agent", ALL, ids=lambda each: each.name)
def test_no_session_can_become_an_option_or_a_path(agent: Agent) -> None:
    if agent.name == "aider":
        assert "--restore-chat-history" in agent.command(request(agent.name), 2, "any").argv
        return
    went_on = agent.command(request(agent.name), 2, "0f7a4c1e-54f8")
    assert "0f7a4c1e-54f8" in str((went_on.argv, went_on.stdin))
    for session in ("--evil", "a/b", "", "a b", "../x", "é"):
        with pytest.raises(Misuse):
            agent.command(request(agent.name), 2, session)


@pytest.mark.parametrize("agent", ALL, ids=lambda each: each.name)
def test_each_mode_is_a_command_of_its_own_where_the_agent_knows_modes(agent: Agent) -> None:
    made = {str(agent.command(request(agent.name, mode=mode), 1)) for mode in ("plan", "edit", "full")}
    assert len(made) == {"llm": 1, "groq": 1, "goose": 2}.get(agent.name, 3)


@pytest.mark.parametrize("agent", ALL, ids=lambda each: each.name)
def test_a_limit_of_turns_is_kept_or_refused(agent: Agent) -> None:
    asked = request(agent.name, wishes=Wishes(max_turns=7))
    if agent.name in ("claude", "goose"):
        assert "--max-turns" in str(agent.command(asked, 1))
        return
    with pytest.raises(Misuse) as caught:
        agent.command(asked, 1)
    assert caught.value.code is Code.AGENT_CANNOT
