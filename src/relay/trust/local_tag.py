"""The name a broker goes by on the local network: members know one another by it, nobody else learns anything."""

from __future__ import annotations

import base64
import hashlib
import hmac

from relay.core import ids
from relay.core.envelope import authenticated
from relay.core.ids import BrokerId
from relay.trust.workspace import Workspace

_DOMAIN = b"relay-local-tag/1"
_TAG_BYTES = 15


def local_tag(workspace: Workspace, broker: BrokerId) -> str:
    """24 letters: an HMAC-SHA-256 over the broker's id and the epoch under the workspace key, cut to 120 bits."""
    epoch = str(workspace.epoch).encode("ascii")
    data = authenticated(_DOMAIN, workspace.id.encode("ascii"), epoch, ids.to_digest(broker))
    mac = hmac.new(workspace.key, data, hashlib.sha256).digest()
    return base64.b32encode(mac[:_TAG_BYTES]).decode("ascii").lower()
