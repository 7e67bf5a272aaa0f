"""An internet in a box: a router with a wire to each site, and NAT boxes in front of some."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from relay.testing.netns import cuts
from relay.testing.netns.cuts import Cut
from relay.testing.netns.namespaces import Namespaces, allow, inside, ip
from relay.testing.netns.wires import End, Quality, Wires

# RFC 2544's range for tests of networks; a NAT box's inside is the one most homes have, the same behind each
_OUTSIDE = "198.18.{number}.{end}"
_INSIDE = "192.168.1.{end}"
_LAST_NUMBER = 250
_BOX, _FIRST_INSIDE, _LAST_INSIDE = 1, 2, 250


@dataclass(slots=True)
class Site:
    """A place where a broker runs.

    Attributes:
        name: in the test.
        namespace: where its programs run.
        edge: the namespace with its wire: the same, or its NAT box.
        port: the router's device at the other end of the wire.
        number: of the network on its wire; another one after `renumber`.
        end: of its address behind the NAT box; another one after `move`.
    """

    name: str
    namespace: str
    edge: str
    port: str
    number: int = 0
    end: int = _FIRST_INSIDE

    @property
    def is_behind_nat(self) -> bool:
        """Whether nobody outside can dial it."""
        return self.namespace != self.edge

    @property
    def address(self) -> str:
        """Under which the internet sees it."""
        return _OUTSIDE.format(number=self.number, end=2)

    def inside(self, *words: str) -> tuple[str, ...]:
        """The command that runs a command there."""
        return inside(self.namespace, *words)


class Internet:
    """A router and its sites. Nothing is made before the first site is.

    Args:
        seed: of the losses on its wires; None for another one each time.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = random.SystemRandom().getrandbits(32) if seed is None else seed
        self.spaces = Namespaces()
        self.sites: dict[str, Site] = {}
        self._wires = Wires(self.seed)
        self._router = ""
        self._numbers = iter(range(1, _LAST_NUMBER))

    def site(self, name: str, *, behind_nat: bool = False, quality: Quality | None = None) -> Site:
        """One more place, reachable from all others unless it is behind NAT.

        Args:
            name: small letters and digits.
            behind_nat: with a box in front that lets nothing in that was not asked for.
            quality: of its wire; None for one that is as good as this machine.

        Raises:
            NetworkFailed: this machine does not let us (`ability.why_not` says so before).
        """
        if not self._router:
            self._open()
        space = self.spaces.make(name)
        edge = self.spaces.make(f"{name}-nat") if behind_nat else space
        site = self.sites[name] = Site(name, space, edge, f"to-{len(self.sites)}")
        self._wires.lay(End(self._router, site.port), End(edge, "wan"), quality)
        self.renumber(name)
        if behind_nat:
            self._inside(site)
        return site

    def _open(self) -> None:
        self._router = self.spaces.make("router")
        allow(self._router, "ip_forward")
        cuts.prepare(self._router)

    def _inside(self, site: Site) -> None:
        self._wires.lay(End(site.edge, "lan"), End(site.namespace, "lan"))
        _readdress(site.edge, "lan", f"{_INSIDE.format(end=_BOX)}/24")
        self._lease(site)
        allow(site.edge, "ip_forward")
        cuts.masquerade(site.edge)

    def _lease(self, site: Site) -> None:
        _readdress(site.namespace, "lan", f"{_INSIDE.format(end=site.end)}/24")
        ip(site.namespace, "route", "replace", "default", "via", _INSIDE.format(end=_BOX))

    def move(self, name: str) -> None:
        """Give the machine at a site another address, the one of its own interface, as a change of networks does."""
        site = self.sites[name]
        if site.is_behind_nat:
            site.end = site.end + 1 if site.end < _LAST_INSIDE else _FIRST_INSIDE
            self._lease(site)
        else:
            self.renumber(name)

    def renumber(self, name: str) -> None:
        """Give a site (or its NAT box) another address; the old one is gone at once, with its routes."""
        site = self.sites[name]
        site.number = next(self._numbers)
        for space, device, end in ((self._router, site.port, 1), (site.edge, "wan", 2)):
            _readdress(space, device, f"{_OUTSIDE.format(number=site.number, end=end)}/30")
        ip(site.edge, "route", "replace", "default", "via", _OUTSIDE.format(number=site.number, end=1))

    def cut(self, first: str, second: str, how: Cut = Cut.SILENT) -> None:
        """Let nothing through between two sites."""
        cuts.cut(self._router, self.sites[first].port, self.sites[second].port, how)

    def heal(self, first: str, second: str) -> None:
        """Let everything through between two sites again."""
        cuts.heal(self._router, self.sites[first].port, self.sites[second].port)

    def heal_all(self) -> None:
        """No two sites are cut apart."""
        for first, second in combinations(self.sites, 2):
            self.heal(first, second)

    def isolate(self, name: str, how: Cut = Cut.SILENT) -> None:
        """Cut one site off from all others."""
        for other in self._others(name):
            self.cut(name, other, how)

    def _others(self, name: str) -> Iterable[str]:
        return (other for other in self.sites if other != name)

    def close(self) -> None:
        """Remove all of it, and end what runs in it. May be called again."""
        self._wires.close()
        self.spaces.close()


def _readdress(namespace: str, device: str, address: str) -> None:
    """This address instead of all others; the routes over them go too."""
    ip(namespace, "address", "flush", "dev", device)
    ip(namespace, "address", "add", address, "dev", device)
    ip(namespace, "link", "set", device, "up")
