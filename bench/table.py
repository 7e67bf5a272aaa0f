"""The table: a line a measurement, its ratio and target first."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        what: what was measured.
        value: the figures, as text.
        beside: what it was measured against, with its figures.
        ratio: ours over the other's, where there is one.
        target: what the ratio (or `figure`) should be.
        at_least: the target is a lower bound, not an upper one.
        unit: of ratio and target; `x` for a ratio.
    """

    what: str
    value: str
    beside: str = ""
    ratio: float | None = None
    target: float | None = None
    at_least: bool = False
    unit: str = "x"

    @property
    def verdict(self) -> str:
        """PASS, or by how much it falls short, or nothing where there is no target."""
        if self.ratio is None or self.target is None:
            return ""
        if (self.ratio >= self.target) if self.at_least else (self.ratio <= self.target):
            return "PASS"
        gap = self.target / self.ratio if self.at_least else self.ratio / self.target
        return f"short by {(gap - 1) * 100:.0f} %"

    def cells(self) -> tuple[str, str, str, str, str, str]:
        """The line's six cells."""
        if self.ratio is None:
            return ("", "", "", self.what, self.value, self.beside)
        bound = "" if self.target is None else f"{'>=' if self.at_least else '<='} {self.target:g} {self.unit}"
        return (f"{self.ratio:.2f} {self.unit}", bound, self.verdict, self.what, self.value, self.beside)


@dataclass(slots=True)
class Table:
    """Lines, printed together at the end."""

    lines: list[Line] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, line: Line) -> None:
        """Take a line in."""
        self.lines.append(line)

    def skip(self, why: str) -> None:
        """Say what was not measured, and why."""
        self.skipped.append(why)

    def __str__(self) -> str:
        # ratios first: they are what can be compared between runs and machines
        ordered = sorted(self.lines, key=lambda line: line.ratio is None or line.unit != "x")
        rows = [("ours/theirs", "target", "", "what", "ours", "beside"), *(line.cells() for line in ordered)]
        widths = [max(len(row[at]) for row in rows) for at in range(6)]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        table = "\n".join(line.rstrip() for line in lines)
        return "\n".join([table, *(f"not measured: {why}" for why in self.skipped)])
