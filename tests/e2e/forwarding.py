"""A TCP forwarder that keeps what passes: what somebody on the wire can see."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from relay.testing.mesh import free_port
from relay.testing.node import Node
from tests.e2e.scene import relay


class Forwarder:
    """Listens on one loopback port and forwards to another, both ways.

    Args:
        port: where it listens.
        to: where it forwards to.
    """

    def __init__(self, port: int, to: int) -> None:
        self._to = to
        self._seen = bytearray()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @classmethod
    @contextlib.contextmanager
    def in_front_of(cls, node: Node) -> Iterator[Forwarder]:
        """Stop a node, move it to another port, and listen where it was; whoever knows its address comes here."""
        node.stop()
        known, node.port = node.port, free_port()
        assert relay(node, "config", "set", "listen", node.address).returncode == 0
        forwarder = cls(known, node.port)
        try:
            yield forwarder
        finally:
            forwarder.close()

    def seen(self) -> bytes:
        """All that has passed, in the order it came."""
        with self._lock:
            return bytes(self._seen)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    near.close()
                    continue
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    thread = threading.Thread(target=self._pump, args=(source, sink), daemon=True)
                    thread.start()
                    self._threads.append(thread)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    self._seen += data
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End every connection and stop listening."""
        for each in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)
