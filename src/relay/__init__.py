"""Relay: a peer-to-peer mesh of brokers that runs agents, scripts and tools on any of your machines.

`import relay` loads nothing else; each name below is imported when it is first used.
"""

TYPE_CHECKING = False  # type checkers know the name; importing `typing` for it would cost 8 ms a command
if TYPE_CHECKING:
    from relay.api import routes
    from relay.api.aclient import AsyncClient
    from relay.api.client import Client
    from relay.api.home import Home
    from relay.core.errors import RelayError
    from relay.library.answers import Answer
    from relay.library.connect import connect
    from relay.library.mesh import Mesh
    from relay.library.outcomes import AwaitingApproval, Failed
    from relay.library.runners import Call, runner
    from relay.library.seen import Ended, Event, NotCompleted
    from relay.library.serving import serve, serving
    from relay.library.spawns import Spawn
    from relay.library.tickets import Ticket

__all__ = [
    "Answer",
    "AsyncClient",
    "AwaitingApproval",
    "Call",
    "Client",
    "Ended",
    "Event",
    "Failed",
    "Home",
    "Mesh",
    "NotCompleted",
    "RelayError",
    "Spawn",
    "Ticket",
    "__version__",
    "connect",
    "routes",
    "runner",
    "serve",
    "serving",
]
__version__ = "0.1.0"

_HOME_OF = {
    "Answer": "relay.library.answers",
    "AsyncClient": "relay.api.aclient",
    "AwaitingApproval": "relay.library.outcomes",
    "Call": "relay.library.runners",
    "Client": "relay.api.client",
    "Ended": "relay.library.seen",
    "Event": "relay.library.seen",
    "Failed": "relay.library.outcomes",
    "Home": "relay.api.home",
    "Mesh": "relay.library.mesh",
    "NotCompleted": "relay.library.seen",
    "RelayError": "relay.core.errors",
    "Spawn": "relay.library.spawns",
    "Ticket": "relay.library.tickets",
    "connect": "relay.library.connect",
    "routes": "relay.api.routes",
    "runner": "relay.library.runners",
    "serve": "relay.library.serving",
    "serving": "relay.library.serving",
}


def __getattr__(name: str) -> object:
    """The public name, imported on first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'relay' has no attribute {name!r}")
    from importlib import import_module

    module = import_module(_HOME_OF[name])
    return module if name == "routes" else getattr(module, name)
