"""Curves on logarithmic axes as an SVG: enough for docs/scale.svg, and no more."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 34, 34
COLOURS = ("#1f5fa8", "#c2571a")
GREY, INK = "#c9ced6", "#333a44"


@dataclass(frozen=True, slots=True)
class Curve:
    """A name and points, each (x, y) above zero."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves under one title, on axes of their own."""

    title: str
    curves: Sequence[Curve]


class _Axes:
    """Where a value lies in a panel; both axes run over whole powers of ten."""

    def __init__(self, panel: Panel) -> None:
        points = [point for curve in panel.curves for point in curve.points]
        self.x = _decades([x for x, _ in points])
        self.y = _decades([y for _, y in points])

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - self.x.start) / (self.x.stop - 1 - self.x.start)
        up = (math.log10(y) - self.y.start) / (self.y.stop - 1 - self.y.start)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def _decades(values: Sequence[float]) -> range:
    low = math.floor(math.log10(min(values)) + 1e-9)
    high = math.ceil(math.log10(max(values)) - 1e-9)
    return range(low, max(high, low + 1) + 1)


def _line(one: tuple[float, float], other: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = one, other
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{GREY}"/>'


def _text(x: float, y: float, words: str, *, anchor: str = "start", fill: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{escape(words)}</text>'


def _grid(axes: _Axes) -> Iterator[str]:
    lowest, highest = 10.0**axes.y.start, 10.0 ** (axes.y.stop - 1)
    first, last = 10.0**axes.x.start, 10.0 ** (axes.x.stop - 1)
    for power in axes.x:
        foot = axes.at(10.0**power, lowest)
        yield _line(foot, axes.at(10.0**power, highest))
        yield _text(foot[0], foot[1] + 16, f"{10.0**power:,g}", anchor="middle")
    for power in axes.y:
        side = axes.at(first, 10.0**power)
        yield _line(side, axes.at(last, 10.0**power))
        yield _text(side[0] - 6, side[1] + 4, f"{10.0**power:,g}", anchor="end")


def _curve(axes: _Axes, curve: Curve, at: int) -> Iterator[str]:
    colour, places = COLOURS[at], [axes.at(*point) for point in curve.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
    yield _text(LEFT + 8, TOP + 16 + 16 * at, curve.name, fill=colour)


def _panel(panel: Panel) -> Iterator[str]:
    axes = _Axes(panel)
    yield _text(LEFT, 20, panel.title)
    yield from _grid(axes)
    for at, curve in enumerate(panel.curves):
        yield from _curve(axes, curve, at)


def drawn(panels: Sequence[Panel]) -> str:
    """The panels two beside each other, x for the number of brokers."""
    rows = -(-len(panels) // 2)
    size = f'width="{2 * WIDTH}" height="{rows * HEIGHT}" viewBox="0 0 {2 * WIDTH} {rows * HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    parts = [head, '<rect width="100%" height="100%" fill="#ffffff"/>']
    for at, panel in enumerate(panels):
        parts.append(f'<g transform="translate({at % 2 * WIDTH},{at // 2 * HEIGHT})">')
        parts += _panel(panel)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])
