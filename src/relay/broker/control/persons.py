"""The routes of what a person is asked: review, answers, failures, and a word on an end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from relay.broker.answers import Typed
from relay.broker.control.answers import OTHER_VERSION, body_of, json_answer
from relay.broker.orders import check_operation
from relay.broker.persons import Persons
from relay.core.errors import Code, Misuse
from relay.core.questions import MAX_ANSWER, Reply

Endpoint = Callable[[Request], Awaitable[Response]]
MAX_WAIT_S = 60.0


class PersonsControl:
    """The endpoints over one broker's questions.

    Args:
        persons: answers what is asked.
    """

    def __init__(self, persons: Persons) -> None:
        self._persons = persons

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [
            ("GET", "review", self.review),
            ("POST", "answers", self.answer),
            ("GET", "failures", self.failures),
            ("POST", "resolutions", self.resolve),
        ]

    async def review(self, request: Request) -> Response:
        """`relay review`."""
        return json_answer(await self._persons.review.listing())

    async def answer(self, request: Request) -> Response:
        """`relay approve`, `relay deny` and `relay send`."""
        body = await body_of(request)
        typed, wait_s = _typed(body), body.get("wait_s") or 0
        if not isinstance(wait_s, (int, float)) or not 0 <= wait_s <= MAX_WAIT_S:
            raise Misuse(
                "wait_s is out of range", why=f"it lies between 0 and {MAX_WAIT_S:g} seconds", hint=OTHER_VERSION
            )
        return json_answer(await self._persons.answers.answer(typed, float(wait_s)))

    async def failures(self, request: Request) -> Response:
        """`relay failures`."""
        return json_answer(await self._persons.failures.listing())

    async def resolve(self, request: Request) -> Response:
        """`relay resolve`."""
        body = await body_of(request)
        check_operation(body)
        refs = body.get("spawns")
        if not isinstance(refs, list) or not refs or not all(isinstance(ref, str) for ref in refs):
            raise Misuse("which spawns?", hint="relay failures")
        word, notes, person = (_text(body, key) for key in ("as", "notes", "requested_by"))
        return json_answer(await self._persons.failures.resolve(refs, word, notes, person))


def _text(body: dict[str, Any], key: str, most: int = MAX_ANSWER) -> str:
    value = body.get(key) or ""
    if not isinstance(value, str):
        raise Misuse(f"{key} is no text", hint=OTHER_VERSION)
    if len(value.encode("utf-8", "replace")) > most:
        raise Misuse(
            f"{key} is too long",
            code=Code.BAD_TASK,
            why=f"it may have {most} bytes",
            hint="say it in fewer words, or put it into a file over there",
        )
    return value


def _typed(body: dict[str, Any]) -> Typed:
    verb = _text(body, "verb")
    if verb not in Reply._value2member_map_:
        raise Misuse(f"{verb[:40]!r} is no answer", why=f"the answers are {', '.join(Reply)}", hint=OTHER_VERSION)
    text = _text(body, "text").encode("utf-8", "replace").decode()
    request = None if body.get("request") is None else _text(body, "request")
    person = _text(body, "requested_by")[:64]
    return Typed(check_operation(body), _text(body, "spawn"), request, Reply(verb), text, person)
