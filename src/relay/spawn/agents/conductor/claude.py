"""claude's stream-json, both ways: what it is told, and how a person's answer reads to it (measured with 2.1.197).

It stays until its input ends, which is right once it has told its result: what was said before is still worked off.
"""

from __future__ import annotations

from typing import Any

from .lines import Cut, Word, tables

QUESTION = "AskUserQuestion"
TOO_LONG = "This is refused: it is more than 8 MiB, which nobody can be shown. Do it in smaller parts."


class Conversation:
    """One run of claude. The plan has `task`."""

    leaves_within: float | None = None

    def __init__(self, plan: Word, cwd: str) -> None:
        self._task = str(plan.get("task", ""))
        self._asked: dict[str, Word] = {}
        self.is_over = False

    def opening(self) -> list[Word]:
        """The task."""
        return [_turn(self._task)]

    def heard(self, word: Word) -> list[Word]:
        """Note what it asks; refuse what nobody here can do."""
        kind, name = word.get("type"), word.get("request_id")
        if kind == "result":
            self.is_over = True
        elif kind == "control_cancel_request" and isinstance(name, str):
            self._asked.pop(name, None)
        elif kind == "control_request" and isinstance(name, str):
            request = word.get("request")
            if isinstance(request, dict) and request.get("subtype") == "can_use_tool":
                if isinstance(word, Cut):
                    return [_response({"subtype": "success", "request_id": name, "response": _refusal(TOO_LONG)})]
                self._asked[name] = request
            else:
                return [_response({"subtype": "error", "request_id": name, "error": "not supported here"})]
        return []

    def told(self, word: Word) -> list[Word]:
        """A person's answer, or what a person says."""
        if isinstance(word.get("say"), str):
            return [_turn(word["say"])]
        name = word.get("answer")
        request = self._asked.pop(name, None) if isinstance(name, str) else None
        if request is None:
            return []
        answer = _answer(request, str(word.get("verb")), str(word.get("text", "")))
        return [_response({"subtype": "success", "request_id": name, "response": answer})]


def _turn(text: str) -> Word:
    return {"type": "user", "message": {"role": "user", "content": text}}


def _response(response: Word) -> Word:
    return {"type": "control_response", "response": response}


def _answer(request: Word, verb: str, text: str) -> Word:
    given = request.get("input")
    given = given if isinstance(given, dict) else {}
    asks = request.get("tool_name") == QUESTION
    if verb == "deny" or (verb == "send" and not asks):
        # words for a permission are what to do instead
        return _refusal(text or "A person denied this.")
    if not asks:
        return {"behavior": "allow", "updatedInput": given}
    return {"behavior": "allow", "updatedInput": {**given, "answers": _answers(given.get("questions"), text or "yes")}}


def _refusal(why: str) -> Word:
    return {"behavior": "deny", "message": why}


def _answers(questions: Any, text: str) -> dict[str, str]:
    """A text for one question; a line each for several, and the last line for those that are left."""
    asked = [str(each.get("question")) for each in tables(questions)]
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [text]
    if len(asked) <= 1:
        return dict.fromkeys(asked, text)
    return {each: lines[min(at, len(lines) - 1)] for at, each in enumerate(asked)}
