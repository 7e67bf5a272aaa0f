"""What every verb is given beside its own words: whose broker, and whether JSON is wanted."""

from __future__ import annotations

from relay.api.home import Home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.patient import PatientClient


class Invocation:
    """One command line's common part.

    Args:
        folder: `--home`, or None.
        as_json: `--json`.

    Raises:
        Misuse: the folder is blank; it would be the one that the person stands in.
    """

    __slots__ = ("home", "json")

    def __init__(self, folder: str | None, as_json: bool) -> None:
        if folder is not None and not folder.strip():
            from relay.cli.blanks import refuse_blank

            refuse_blank(home=folder)
        self.home = Home(folder)
        self.json = as_json

    def client(self) -> PatientClient:
        """A client of the home's broker; it connects when it is first asked something."""
        from relay.cli.patient import PatientClient

        return PatientClient(self.home, self.json)
