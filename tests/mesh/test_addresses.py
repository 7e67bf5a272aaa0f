"""What a broker tells others of where it listens: every address is one at which it does."""

from __future__ import annotations

import ipaddress

from relay.broker.addresses import told
from relay.core.addresses import host_of
from relay.core.hello import is_address


def versions(*listening: str) -> set[int]:
    found = told(listening)
    assert all(map(is_address, found)) and len(set(found)) == len(found)
    hosts = [ipaddress.ip_address(host_of(each)) for each in found]
    assert not any(each.is_loopback or (each.version == 6 and each.is_link_local) for each in hosts)
    return {each.version for each in hosts}


def test_a_wildcard_stands_for_the_addresses_of_its_family() -> None:
    # a machine may have none of one family, and then says none of the other
    assert versions("0.0.0.0:7411") <= {4} and versions("[::]:7411") <= {6}
    assert versions("0.0.0.0:7411") | versions("[::]:7411") == versions("0.0.0.0:7411", "[::]:7411")


def test_what_is_written_down_is_told_as_it_stands() -> None:
    assert told(["[::1]:7411", "127.0.0.1:7411", "[::1]:7411"]) == ("[::1]:7411", "127.0.0.1:7411")
    assert told(["vps.example:1"]) == ("vps.example:1",)
