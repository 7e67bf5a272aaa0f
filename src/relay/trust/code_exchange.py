"""The two halves of an exchange by code: SPAKE2 as the `spake2` package has it, bound to who talks about what.

    joiner                                              inviter
      Opening: number, keys, its half   ───────────►    looks the invite up by its number
                                        ◄───────────    Offer: workspace, role, its half
      JoinRequest, its proof under the
      verifier that was agreed on       ───────────►    a wrong proof burns the invite
                                        ◄───────────    Welcome: confirmation, the signed answer

Neither half says whether its maker knows the code. The joiner shows it first, and an inviter that did not know it
would have to answer without a confirmation: one run is one guess, and the inviter sees each.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from relay.core.codes import (
    Agreed,
    InviteCode,
    Offer,
    Opening,
    agree,
    inviter_label,
    joiner_label,
)
from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId
from relay.trust.identity import Identity

if TYPE_CHECKING:
    from types import ModuleType


def _package() -> ModuleType:
    """The package makes its groups when it is imported, 50 ms that a broker which pairs with nobody need not spend."""
    import spake2

    return spake2  # type: ignore[no-any-return]


def _fault(why: str) -> PeerFault:
    return PeerFault("a pairing message was refused", why=why)


class Guest:
    """The joiner's half.

    Args:
        identity: the joiner.
        code: as typed.
    """

    def __init__(self, identity: Identity, code: InviteCode) -> None:
        self._half = _package().SPAKE2_A(code.password)
        start: bytes = self._half.start()
        self.opening = Opening(code.number, identity.public, identity.sealing.public, start)

    def finish(self, inviter: BrokerId, offer: Offer, start: bytes) -> Agreed:
        """What was agreed on.

        Args:
            inviter: the fingerprint of the key that the connection was made with.
            offer, start: the inviter's message.

        Raises:
            PeerFault: its half is none.
        """
        return agree(_finished(self._half, start), _label(self.opening), inviter_label(inviter, offer))


def respond(password: bytes, opening: Opening, inviter: BrokerId, offer: Offer) -> tuple[bytes, Agreed]:
    """The inviter's half, and what was agreed on if the joiner knows the code.

    Args:
        password: of the invite.
        opening: the joiner's message.
        inviter: this broker.
        offer: what it lets the joiner become.

    Raises:
        PeerFault: the joiner's half is none.
    """
    half = _package().SPAKE2_B(password)
    start: bytes = half.start()
    return start, agree(_finished(half, opening.start), _label(opening), inviter_label(inviter, offer))


def _label(opening: Opening) -> bytes:
    return joiner_label(opening.number, opening.public, opening.sealing_public)


def _finished(half: Any, start: bytes) -> bytes:
    try:
        key: bytes = half.finish(start)
    except (_package().SPAKEError, ValueError, AssertionError):
        # the package checks what is no point of its group by assertions too
        raise _fault("its half of the exchange is none") from None
    return key


def check_confirmation(agreed: Agreed, confirmation: bytes) -> None:
    """Whoever answered knows the code.

    Raises:
        PeerFault: it does not: somebody else answers at that address.
    """
    if not hmac.compare_digest(agreed.confirmation, confirmation):
        why, hint = "who answered does not know the code", "check HOST:PORT; relay invite prints it beside the code"
        raise PeerFault("the answer was refused", code=Code.BAD_SIGNATURE, why=why, hint=hint)
