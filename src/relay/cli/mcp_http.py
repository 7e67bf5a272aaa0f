"""What `relay mcp --http` has before it serves: a socket on loopback."""

from __future__ import annotations

import errno
import socket

from relay.core.errors import Code, LocalFault

HOST = "127.0.0.1"
BACKLOG = 64


def listening(port: int) -> socket.socket:
    """A socket that listens on loopback, and stays with the program that this one becomes.

    Args:
        port: 0 takes a free one.

    Raises:
        LocalFault: `port_taken`, or the system refuses it.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, port))
        made.listen(BACKLOG)
    except OSError as fault:
        made.close()
        raise LocalFault(
            f"port {port} cannot be listened on",
            code=Code.PORT_TAKEN if fault.errno == errno.EADDRINUSE else Code.BAD_CONFIG,
            why=fault.strerror or str(fault),
            hint="relay mcp --http --port 0   takes a free one",
        ) from None
    made.set_inheritable(True)
    return made
