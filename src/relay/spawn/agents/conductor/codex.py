"""codex's app-server: JSON-RPC lines, from the handshake to the end of the turn (measured with 0.171).

    initialize ─► account/read ─► thread/start | thread/resume ─► turn/start ─► ... ─► turn/completed

What a person says meanwhile is the next turn of the same thread.
"""

from __future__ import annotations

from .lines import Cut, Word, tables

INITIALIZE, ACCOUNT, THREAD, TURN, INTERRUPT = 1, 2, 3, 4, 5
MOST_UNREACHED = 6  # it tries for ever, after 2, 6, 11, 21, 40, 80 s and so on: 160 s are what claude takes as well
APPROVALS = ("item/commandExecution/requestApproval", "item/fileChange/requestApproval")
PERMISSIONS = "item/permissions/requestApproval"
QUESTION = "item/tool/requestUserInput"
ELICITATION = "mcpServer/elicitation/request"
UNKNOWN_METHOD = -32601
UNREACHED = "waiting for network"
_ABOUT = {"clientInfo": {"name": "relay", "title": "Relay", "version": "1"}}
HELLO: Word = {"id": INITIALIZE, "method": "initialize", "params": _ABOUT}
WHO: tuple[Word, ...] = ({"method": "initialized"}, {"id": ACCOUNT, "method": "account/read", "params": {}})


class Conversation:
    """One run of the app-server. The plan has `task`, `thread` (what threads are started with) and perhaps `resume`."""

    leaves_within: float | None = 10.0

    def __init__(self, plan: Word, cwd: str) -> None:
        self._turns = [str(plan.get("task", ""))]
        self._thread_with = {**plan.get("thread", {}), "cwd": cwd}
        self._resume = plan.get("resume")
        self._thread: str | None = None
        self._asked: dict[str, Word] = {}
        self._unreached = 0
        self.is_over = False

    def opening(self) -> list[Word]:
        """Who is there."""
        return [HELLO]

    def heard(self, word: Word) -> list[Word]:
        """The next step of the handshake; or note what it asks."""
        if isinstance(word.get("method"), str):
            return self._called(word["method"], word)
        if word.get("error") is not None:
            self.is_over = True
            return []
        step, result = word.get("id"), word.get("result")
        return self._step(step, result if isinstance(result, dict) else {})

    def _step(self, step: object, result: Word) -> list[Word]:
        if step == INITIALIZE:
            return list(WHO)
        if step == ACCOUNT:
            if result.get("account") is None and result.get("requiresOpenaiAuth"):
                self.is_over = True  # the reader says so: no model would answer
                return []
            return [self._open_thread()]
        if step == THREAD:
            thread = result.get("thread")
            self._thread = str(thread.get("id")) if isinstance(thread, dict) else None
            return self._next_turn()
        return []

    def _open_thread(self) -> Word:
        if self._resume:
            with_id = {"threadId": self._resume, "excludeTurns": True, **self._thread_with}
            return {"id": THREAD, "method": "thread/resume", "params": with_id}
        return {"id": THREAD, "method": "thread/start", "params": self._thread_with}

    def _next_turn(self) -> list[Word]:
        if not self._turns or self._thread is None:
            self.is_over = True
            return []
        said = {"threadId": self._thread, "input": [{"type": "text", "text": self._turns.pop(0)}]}
        return [{"id": TURN, "method": "turn/start", "params": said}]

    def _called(self, method: str, word: Word) -> list[Word]:
        params = word.get("params")
        params = params if isinstance(params, dict) else {}
        if "id" in word:
            return self._asks(method, word["id"], params, is_cut=isinstance(word, Cut))
        if method == "serverRequest/resolved":
            self._asked.pop(str(params.get("requestId")), None)
        if method == "turn/completed" and params.get("threadId") == self._thread:
            return self._next_turn()
        return self._patience(method, params)

    def _patience(self, method: str, params: Word) -> list[Word]:
        """Interrupt a turn whose model was out of reach for too long."""
        if method.startswith("item/"):
            self._unreached = 0
        if method != "error" or UNREACHED not in str(params.get("error")):
            return []
        self._unreached += 1
        if self._unreached != MOST_UNREACHED:
            return []
        where = {"threadId": self._thread, "turnId": params.get("turnId")}
        return [{"id": INTERRUPT, "method": "turn/interrupt", "params": where}]

    def _asks(self, method: str, name: object, params: Word, is_cut: bool) -> list[Word]:
        if is_cut and method in (*APPROVALS, PERMISSIONS, QUESTION, ELICITATION):
            return [{"id": name, "result": _result(method, params, "deny", "")}]  # nobody can be shown it
        if method in (*APPROVALS, PERMISSIONS, QUESTION, ELICITATION):
            self._asked[str(name)] = {"id": name, "method": method, "params": params}
            return []
        return [{"id": name, "error": {"code": UNKNOWN_METHOD, "message": f"{method} is not supported here"}}]

    def told(self, word: Word) -> list[Word]:
        """A person's answer, or what a person says."""
        if isinstance(word.get("say"), str):
            self._turns.append(word["say"])
            return []
        asked = self._asked.pop(str(word.get("answer")), None)
        if asked is None:
            return []
        result = _result(asked["method"], asked["params"], str(word.get("verb")), str(word.get("text", "")))
        return [{"id": asked["id"], "result": result}]


def _result(method: str, params: Word, verb: str, text: str) -> Word:
    yes = verb == "approve"
    if method in APPROVALS:
        return {"decision": "accept" if yes else "decline"}
    if method == PERMISSIONS:
        return {"permissions": params.get("permissions", {}) if yes else {}, "scope": "turn"}
    if method == ELICITATION:
        return {"action": "accept" if yes else "decline", "content": {} if yes else None}
    said = [] if verb == "deny" else [text or "yes"]
    return {"answers": {str(each.get("id")): {"answers": said} for each in tables(params.get("questions"))}}
