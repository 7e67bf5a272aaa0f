"""Who drives an attached task: while another does, what a person types here is not sent."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NOWHERE = "what you type goes nowhere: another drives, or the task takes no input any more"


class Seat:
    """As the task's machine says.

    Args:
        is_person: who types here is one; what a program says is sent, to be answered.

    Attributes:
        is_anothers: another drives. What was sent now might come when this one drives again.
    """

    def __init__(self, is_person: bool) -> None:
        self._is_person = is_person
        self.is_anothers = False

    @property
    def bars(self) -> bool:
        """Whether nothing that is typed here is to be sent."""
        return self.is_anothers and self._is_person

    def told(self, message: dict[str, Any]) -> str:
        """Somebody else drives from now on, or this one again; what to say of it."""
        self.is_anothers = not message.get("drives")
        if self.is_anothers:
            return f"{message['driver']} drives now; attach again to take it back, or wait until they leave"
        return "you drive again: who drove has left"

    def greeted(self, hello: dict[str, Any], types: bool) -> str:
        """It is attached; what to say of who drives, after other words: nothing where it is this one, or nobody.

        Args:
            hello: the machine's first word.
            types: this one would type, if it drove.
        """
        other = hello["driver"] if types and not hello["drives"] else None
        self.is_anothers = other is not None
        return "" if other is None else f"; {other} drives now"
