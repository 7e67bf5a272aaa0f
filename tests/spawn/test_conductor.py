"""The conductor: each protocol by script, and the program around them with a stand-in for the agent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from relay.spawn.agents.conducted import conducted
from relay.spawn.agents.conductor import claude, codex
from relay.spawn.agents.conductor import lines as lines_of
from relay.spawn.agents.conductor.lines import Cut, Lines


def permission(name: str, tool: str, **given: Any) -> dict[str, Any]:
    """What claude asks."""
    request = {"subtype": "can_use_tool", "tool_name": tool, "input": given}
    return {"type": "control_request", "request_id": name, "request": request}


def answered(words: list[dict[str, Any]]) -> Any:
    """The answer in claude's one word."""
    (word,) = words
    return word["response"]["response"]


# lines


def test_lines_however_they_are_cut() -> None:
    data = b'{"a": 1}\nno json\n[1]\n\n{"b": "\xc3\xa9"}\n{"c": 3}'
    for size in range(1, len(data) + 1):
        lines = Lines()
        found = [word for at in range(0, len(data), size) for word in lines.feed(data[at : at + size])]
        assert [*found, *lines.end()] == [{"a": 1}, {"b": "é"}, {"c": 3}]


def test_a_line_that_is_too_long_is_passed_over_and_not_kept() -> None:
    lines = Lines(100)
    assert [lines.feed(b"x" * 60) for _ in range(50)] == [[]] * 50
    assert lines._pieces == []
    assert lines.feed(b'\n{"a": 1}\n') == [{"a": 1}]


def test_of_a_line_that_is_too_long_all_is_kept_but_the_rest_of_its_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_of, "MAX_TEXT", 12)
    said = {"a": "\\\"é\x00" * 20, "b": {"c": [1.5, True, "short"]}, "d": "\U0001f600" * 30, "e": "plain " * 40, "f": 1}
    for data in (json.dumps(said).encode(), json.dumps(said, ensure_ascii=False).encode()):
        for size in (1, 2, 3, 7, 64, len(data)):
            lines = Lines(250)
            whole = data + b'\n{"g": 1}\n'
            found = [word for at in range(0, len(whole), size) for word in lines.feed(whole[at : at + size])]
            first, then = found
            assert isinstance(first, Cut) and not isinstance(then, Cut) and not lines.unread
            assert (first["b"], first["f"], then) == (said["b"], 1, {"g": 1})
            for key in "ade":
                assert 0 < len(first[key]) <= 14 and str(said[key]).startswith(first[key][:1])


def test_a_line_that_is_too_long_without_its_texts_is_passed_over() -> None:
    lines = Lines(100)
    assert lines.feed(b'{"a": [' + b"1, " * 100) == [] and lines._pieces == []
    assert lines.feed(b'1]}\n{"a": 1}\n') == [{"a": 1}] and lines.unread


# claude


def test_claude_is_told_the_task_and_its_input_ends_with_the_result() -> None:
    talk = claude.Conversation({"task": "Fix it"}, "/work")
    assert talk.opening() == [{"type": "user", "message": {"role": "user", "content": "Fix it"}}]
    assert talk.heard({"type": "assistant"}) == [] and not talk.is_over
    talk.heard({"type": "result"})
    assert talk.is_over


def test_claude_gets_its_whole_input_back_with_a_yes_and_words_with_a_no() -> None:
    talk = claude.Conversation({"task": "x"}, "/work")
    given = {"file_path": "a", "content": "y" * 100_000}
    for verb, text, expected in (
        ("approve", "", {"behavior": "allow", "updatedInput": given}),
        ("deny", "", {"behavior": "deny", "message": "A person denied this."}),
        ("send", "Do b", {"behavior": "deny", "message": "Do b"}),
    ):
        assert talk.heard(permission("r1", "Write", **given)) == []
        assert answered(talk.told({"answer": "r1", "verb": verb, "text": text})) == expected
        assert talk.told({"answer": "r1", "verb": verb, "text": text}) == []  # once


def test_claude_gets_an_answer_for_each_question() -> None:
    talk = claude.Conversation({"task": "x"}, "/work")
    two = [{"question": "Which?"}, {"question": "Where?"}]
    for questions, text, expected in (
        (two[:1], "blue\ngreen", {"Which?": "blue\ngreen"}),
        (two, "blue\nhere", {"Which?": "blue", "Where?": "here"}),
        (two, "blue", {"Which?": "blue", "Where?": "blue"}),
        (two[:1], "", {"Which?": "yes"}),
    ):
        talk.heard(permission("q", "AskUserQuestion", questions=questions))
        reply = answered(talk.told({"answer": "q", "verb": "send", "text": text}))
        assert reply == {"behavior": "allow", "updatedInput": {"questions": questions, "answers": expected}}


def test_claude_is_not_left_waiting_for_what_nobody_here_can_do() -> None:
    talk = claude.Conversation({"task": "x"}, "/work")
    (word,) = talk.heard({"type": "control_request", "request_id": "h", "request": {"subtype": "hook_callback"}})
    assert word["response"]["subtype"] == "error" and word["response"]["request_id"] == "h"
    talk.heard(permission("gone", "Bash"))
    talk.heard({"type": "control_cancel_request", "request_id": "gone"})
    assert talk.told({"answer": "gone", "verb": "approve"}) == []


# codex


def begun(**plan: Any) -> codex.Conversation:
    """A conversation up to its first turn."""
    talk = codex.Conversation({"task": "Fix it", "thread": {"sandbox": "read-only"}, **plan}, "/work")
    assert talk.opening()[0]["method"] == "initialize"
    talk.heard({"id": codex.INITIALIZE, "result": {}})
    talk.heard({"id": codex.ACCOUNT, "result": {"account": None, "requiresOpenaiAuth": False}})
    (turn,) = talk.heard({"id": codex.THREAD, "result": {"thread": {"id": "t1"}}})
    assert turn["params"] == {"threadId": "t1", "input": [{"type": "text", "text": "Fix it"}]}
    return talk


def over(thread: str = "t1") -> dict[str, Any]:
    """The end of a turn."""
    return {"method": "turn/completed", "params": {"threadId": thread, "turn": {"status": "completed"}}}


def test_codex_goes_from_the_handshake_to_the_end_of_its_turn() -> None:
    talk = begun()
    assert talk.heard(over("another")) == [] and not talk.is_over
    assert talk.heard(over()) == [] and talk.is_over


def test_codex_hears_what_is_said_meanwhile_as_its_next_turn() -> None:
    talk = begun()
    assert talk.told({"say": "And paint it"}) == []
    (turn,) = talk.heard(over())
    assert turn["params"]["input"][0]["text"] == "And paint it" and not talk.is_over
    talk.heard(over())
    assert talk.is_over


def test_codex_takes_up_a_thread() -> None:
    talk = codex.Conversation({"task": "x", "thread": {"sandbox": "read-only"}, "resume": "t0"}, "/work")
    (opened,) = talk.heard({"id": codex.ACCOUNT, "result": {"account": {"type": "apiKey"}, "requiresOpenaiAuth": True}})
    assert opened["method"] == "thread/resume"
    assert (opened["params"]["threadId"], opened["params"]["cwd"]) == ("t0", "/work")
    talk.heard({"id": codex.THREAD, "error": {"code": -32600, "message": "no rollout found"}})
    assert talk.is_over


def test_codex_without_a_login_asks_no_model() -> None:
    talk = codex.Conversation({"task": "x"}, "/work")
    assert talk.heard({"id": codex.ACCOUNT, "result": {"account": None, "requiresOpenaiAuth": True}}) == []
    assert talk.is_over


@pytest.mark.parametrize(
    ("method", "verb", "expected"),
    [
        ("item/commandExecution/requestApproval", "approve", {"decision": "accept"}),
        ("item/commandExecution/requestApproval", "deny", {"decision": "decline"}),
        ("item/fileChange/requestApproval", "send", {"decision": "decline"}),
        ("item/permissions/requestApproval", "approve", {"permissions": {"network": 1}, "scope": "turn"}),
        ("item/permissions/requestApproval", "deny", {"permissions": {}, "scope": "turn"}),
        ("item/tool/requestUserInput", "send", {"answers": {"q1": {"answers": ["blue"]}}}),
        ("item/tool/requestUserInput", "deny", {"answers": {"q1": {"answers": []}}}),
        ("mcpServer/elicitation/request", "deny", {"action": "decline", "content": None}),
    ],
)
def test_codex_is_answered_in_the_form_of_what_it_asked(method: str, verb: str, expected: dict[str, Any]) -> None:
    talk = begun()
    params = {"permissions": {"network": 1}, "questions": [{"id": "q1"}]}
    assert talk.heard({"id": 7, "method": method, "params": params}) == []
    assert talk.told({"answer": "7", "verb": verb, "text": "blue"}) == [{"id": 7, "result": expected}]


def test_codex_is_not_left_waiting_for_what_nobody_here_can_do() -> None:
    (word,) = begun().heard({"id": 3, "method": "item/tool/call", "params": {}})
    assert word["id"] == 3 and word["error"]["code"] == codex.UNKNOWN_METHOD


def test_codex_is_interrupted_where_its_model_stays_out_of_reach() -> None:
    talk = begun()
    away = {"method": "error", "params": {"error": {"message": f"Reconnecting... {codex.UNREACHED}"}, "turnId": "u"}}
    for _ in range(3):
        assert talk.heard(away) == []
    talk.heard({"method": "item/started", "params": {}})  # it was reached: the count begins anew
    said = [talk.heard(away) for _ in range(codex.MOST_UNREACHED + 2)]
    assert [bool(each) for each in said] == [*[False] * (codex.MOST_UNREACHED - 1), True, False, False]
    assert said[codex.MOST_UNREACHED - 1][0]["params"] == {"threadId": "t1", "turnId": "u"}


# the program

AGENT = """
import json, sys
print(json.dumps({"type": "heard", "text": json.loads(sys.stdin.readline())["message"]["content"]}), flush=True)
print(json.dumps({"type": "control_request", "request_id": "r", "request": {"subtype": "can_use_tool", "input": {}}}))
sys.stdout.flush()
print(json.dumps({"type": "heard", "verb": json.loads(sys.stdin.readline())["response"]["response"]["behavior"]}))
print(json.dumps({"type": "result"}), flush=True)
print(json.dumps({"type": "rest", "text": sys.stdin.read()}), flush=True)
"""


def conduct(argv: list[str], *told: dict[str, Any], task: str = "x") -> tuple[int, list[dict[str, Any]]]:
    """The exit status of a conductor and the objects in its output; its input ends after these words."""
    command = conducted("claude", argv, task)
    said = (command.stdin or "").encode() + b"".join(json.dumps(word).encode() + b"\n" for word in told)
    done = subprocess.run(command.argv, input=said, capture_output=True, timeout=30, check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]


def test_a_conversation_through_the_program(tmp_path: Path) -> None:
    command = conducted("claude", [sys.executable, "-c", AGENT], "Fix é " * 50_000)
    with subprocess.Popen(command.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout and command.stdin
        process.stdin.write(command.stdin.encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["text"] == "Fix é " * 50_000
        assert json.loads(process.stdout.readline())["request_id"] == "r"
        process.stdin.write(b'{"answer": "r", "verb": "approve"}\n')
        process.stdin.flush()
        said = [json.loads(line) for line in process.stdout]
        assert [each.get("verb", each.get("text", "")) for each in said] == ["allow", "", ""]
        assert process.wait(10) == 0


def test_its_exit_status_and_its_signal_are_the_agents() -> None:
    assert conduct(["sh", "-c", "exit 7"])[0] == 7
    assert conduct(["sh", "-c", "kill -9 $$"])[0] == -9


LONG = """
import json, sys
say = lambda **word: print(json.dumps(word), flush=True)
sys.stdin.readline()
request = {"subtype": "can_use_tool", "tool_name": "Write", "input": {"content": "x" * (9 << 20)}}
say(type="control_request", request_id="r", request=request)
say(type="assistant", told=json.loads(sys.stdin.readline())["response"]["response"])
say(result="é" * (6 << 20), type="result", subtype="success", permission_denials=[])
assert sys.stdin.read() == ""
"""


def test_a_word_that_is_too_long_to_show_is_refused_and_a_result_that_is_ends_the_conversation() -> None:
    status, said = conduct([sys.executable, "-c", LONG])
    assert status == 0 and [each["type"] for each in said] == ["control_request", "assistant", "result"]
    assert said[1]["told"]["behavior"] == "deny" and "smaller parts" in said[1]["told"]["message"]
    assert len(said[2]["result"]) == 6 << 20, "the log has all of it"


def test_what_an_agent_leaves_running_does_not_hold_it_up() -> None:
    """Its child keeps the output open, and is the shim's to end."""
    # not the errors: those are this test's own pipe, which it would itself read to its end
    status, said = conduct(["sh", "-c", "sleep 20 2>&- & echo '{\"pid\": '$!'}'; exit 3"])
    assert status == 3 and said
    subprocess.run(["kill", str(said[0]["pid"])], check=True)


def test_all_that_it_wrote_before_its_end_is_there() -> None:
    wrote = "import sys; sys.stdout.write('{\"x\": \"' + 'y' * 1000 + '\"}\\n'); " * 300
    assert len(conduct([sys.executable, "-c", wrote])[1]) == 300


def test_a_program_that_cannot_be_started_is_told() -> None:
    status, said = conduct(["/nowhere/claude"])
    assert status == 127 and said[0]["event"] == "not_started"
