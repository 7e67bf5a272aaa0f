"""The JSON of founding a workspace and of ways into it; see `shapes`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from relay.api.shapes import Named, Workspace


class Founded(TypedDict):
    """What `init` and `join` made."""

    broker: Named
    workspace: Workspace
    home: NotRequired[str]
    compare: NotRequired[str]


class Invite(TypedDict):
    """A one-time way in."""

    link: str
    expires: str


class InviteCode(TypedDict):
    """A one-time way in that can be read out; `invite` is what events call it."""

    code: str
    address: str
    addresses: list[str]
    invite: str
    expires: str
