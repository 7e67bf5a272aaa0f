"""Three brokers of which two cannot reach each other, with one that is always on between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench import apart
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until

WITHIN = 30.0


def is_relayed(origin: Node, target: Node) -> bool:
    """Whether the origin knows that it reaches the target through another broker."""
    with origin.control() as control:
        brokers = control.get("brokers")
    return any(each["id"] == target.id and each["link"] == "relayed" for each in brokers)


@contextmanager
def through_the_middle() -> Iterator[tuple[Node, Node]]:
    """`laptop`, which may spawn on `mini`, and `mini`; `vps` hands on what they say to each other."""
    with Mesh.scratch("relay-middle-") as mesh:
        vps = mesh.add("vps")
        vps.relay("config", "set", "always_on", "true")
        vps.restart()
        laptop, mini = mesh.join(vps, "laptop"), mesh.join(vps, "mini")
        mesh.grant(on=mini, to=laptop)
        for node, other in ((laptop, mini), (mini, laptop)):
            node.stop()
            node.launcher = apart.launcher(other)
        laptop.start()
        mini.start()
        for origin, target in ((laptop, mini), (mini, laptop)):
            wait_until(lambda o=origin, t=target: is_relayed(o, t), WITHIN, "both to know of the way")  # type: ignore[misc]
        yield laptop, mini
