"""The control socket as any program may use it: HTTP and JSON over `broker.sock`, one connection kept open.

Standard library only and blocking, on purpose another implementation than `relay.api`'s clients: what the
contract says is checked from outside.
"""

from __future__ import annotations

import http.client
import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class ControlError(Exception):
    """The broker answered with an error document.

    Attributes:
        code: the error's code of docs/errors.md.
        document: the whole of it.
    """

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        error = document.get("error", document)
        super().__init__(f"{status}: {error}")
        self.code = str(error.get("code", ""))
        self.document = error


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Control:
    """One connection to one broker; not for several threads at once.

    Args:
        path: the broker's socket.
        timeout: seconds without an answer after which a call fails with OSError.

    Attributes:
        token: shown with each request, as a task shows its own; None for none.
    """

    def __init__(self, path: Path, timeout: float = 40.0) -> None:
        self.token: str | None = None
        self._connection = _SocketConnection(path, timeout)
        self._kept = False

    def call(self, method: str, route: str, body: dict[str, Any] | None = None) -> Any:
        """The answer's document.

        Args:
            method: GET, POST or DELETE.
            route: below `/api/v1/`.
            body: sent as JSON.

        Raises:
            ControlError: the broker answered with an error.
            OSError, http.client.HTTPException: no (whole) answer; the connection is closed.
        """
        payload = None if body is None else json.dumps(body)
        try:
            status, data = self._exchange(method, route, payload)
        except ConnectionError:  # http.client.RemoteDisconnected is one
            if not self._kept:
                raise
            # the broker closes connections that nobody uses; a POST carries its operation id
            self._kept = False
            status, data = self._exchange(method, route, payload)
        self._kept = True
        document = json.loads(data) if data else None
        if status >= 400:
            raise ControlError(status, document if isinstance(document, dict) else {})
        return document

    def _exchange(self, method: str, route: str, payload: str | None) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"} if payload else {}
        headers |= {} if self.token is None else {"Relay-Token": self.token}
        try:
            self._connection.request(method, f"/api/v1/{route}", payload, headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def get(self, route: str) -> Any:
        """The document at a route."""
        return self.call("GET", route)

    def post(self, route: str, body: dict[str, Any]) -> Any:
        """The answer to a request; an operation id is added where there is none."""
        return self.call("POST", route, {"operation": uuid.uuid4().hex} | body)

    def spawn(self, *argv: str, **fields: Any) -> dict[str, Any]:
        """Ask for a command without a shell (agent `exec`); the spawn as it was accepted.

        Args:
            argv: the command's words.
            fields: further fields of the request (`broker`, `cwd`, `timeout_s`, `operation`, ...).
        """
        request = {"name": "-", "agent": "exec", "task": "", "argv": list(argv)} | fields
        answer: dict[str, Any] = self.post("spawns", request)
        return answer

    def wait(self, spawn: str, seconds: float = 30.0) -> dict[str, Any]:
        """The spawn once it is terminal, or as it stands after `seconds`."""
        answer: dict[str, Any] = self.get(f"spawns/{spawn}/wait?seconds={seconds:g}")
        return answer

    def spawns(self) -> list[dict[str, Any]]:
        """The spawns this broker knows of, the ended ones too, newest first; as many as it lists."""
        rows: list[dict[str, Any]] = self.get("spawns?all=1")
        return rows

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@contextmanager
def connected(path: Path, timeout: float = 40.0) -> Iterator[Control]:
    """A connection for the length of a block."""
    control = Control(path, timeout)
    try:
        yield control
    finally:
        control.close()
