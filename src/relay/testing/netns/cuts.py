"""The router's rules: which sites do not hear each other, silently or with a reset; and a NAT box's."""

from __future__ import annotations

from enum import Enum

from relay.testing.netns.namespaces import inside, run

_ROUTER = """
table inet relay {
  set cut_silent { type ifname . ifname; }
  set cut_reset { type ifname . ifname; }
  chain forward {
    type filter hook forward priority 0; policy accept;
    iifname . oifname @cut_silent drop
    iifname . oifname @cut_reset meta l4proto tcp reject with tcp reset
    iifname . oifname @cut_reset drop
  }
}
"""
_NAT_BOX = """
table ip relay {
  chain outgoing {
    type nat hook postrouting priority 100; policy accept;
    oifname "wan" masquerade
  }
  chain forward {
    type filter hook forward priority 0; policy accept;
    iifname "wan" ct state established,related accept
    iifname "wan" drop
  }
}
"""


class Cut(Enum):
    """How two sites are kept apart.

    `SILENT` drops packets: each side only ever hears nothing. `RESET` answers each TCP packet with a reset.
    """

    SILENT = "silent"
    RESET = "reset"


def _nft(namespace: str, script: str) -> None:
    run(*inside(namespace, "nft", "-f", "-"), given=script)


def is_possible(namespace: str) -> None:
    """Try the smallest of rules.

    Raises:
        NetworkFailed: this kernel does not take it.
    """
    _nft(namespace, "add table inet trial")


def prepare(router: str) -> None:
    """Give a router the sets that `cut` and `heal` change."""
    _nft(router, _ROUTER)


def masquerade(box: str) -> None:
    """Make a namespace a NAT box: what comes from inside goes out under its address, nothing new comes in."""
    _nft(box, _NAT_BOX)


def cut(router: str, first: str, second: str, how: Cut) -> None:
    """Let nothing through between two of the router's interfaces."""
    _nft(router, f"add element inet relay cut_{how.value} {_both(first, second)}")


def heal(router: str, first: str, second: str) -> None:
    """Let everything through again."""
    pairs = _both(first, second)
    # an element that is not there cannot be deleted; added first, it is
    script = (f"{word} element inet relay cut_{how.value} {pairs}\n" for how in Cut for word in ("add", "delete"))
    _nft(router, "".join(script))


def _both(first: str, second: str) -> str:
    return f'{{ "{first}" . "{second}", "{second}" . "{first}" }}'
