"""SVG charts: bars, distributions and scatter plots, coloured by the classes of `pages/document.py`.

Charts are narrow, and labels are above their rows, so that they fit a phone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.pages.axes import Axis, number, spanning
from toolkit.quoting import html

WIDTH = 460
COLOURS = 8

_ROW = 40
_BAR = 12
_LEFT, _RIGHT = 8, WIDTH - 8
_HEIGHT = 300
_FOOT = 36
_LINE, _LETTER = 13, 6.2
"""Line height of small text, and the mean width of its letters."""

_FEW = 40
"""Up to this many frames are drawn as dots; more as their density."""


@dataclass(frozen=True)
class Bar:
    """A row of a bar chart: parts as (length, CSS class, tooltip), and the text at its end."""

    label: str
    value: str
    parts: tuple[tuple[float, str, str], ...]


@dataclass(frozen=True)
class Spread:
    """A row of a distribution chart: values, their median and its interval."""

    label: str
    value: str
    values: Sequence[float]
    median: float
    interval: tuple[float, float] | None
    style: str


@dataclass(frozen=True)
class Point:
    """A point of a scatter plot and its label."""

    x: float
    y: float
    label: str
    style: str


@dataclass(frozen=True)
class Line:
    """A line of a scatter plot, and the label at its end."""

    points: tuple[tuple[float, float], ...]
    label: str


def bars(title: str, rows: Sequence[Bar], unit: str, *, highest: float | None = None) -> str:
    """Horizontal bars from 0."""
    top = highest or max((sum(length for length, _, _ in row.parts) for row in rows), default=1.0)
    axis = Axis(0.0, top or 1.0, _LEFT, _RIGHT)
    base = len(rows) * _ROW
    drawn = [*_grid(axis, base, unit)]
    for index, row in enumerate(rows):
        y, begin = index * _ROW, 0.0
        drawn.append(_caption(row.label, row.value, y))
        for length, style, what in row.parts:
            left, right = axis.at(begin), axis.at(begin + length)
            drawn.append(
                f'<rect class="{style}" x="{left:.1f}" y="{y + 20}" width="{max(right - left, 0.5):.1f}" '
                f'height="{_BAR}"><title>{html(f"{row.label}: {what}")}</title></rect>'
            )
            begin += length
    return _svg(title, base + _FOOT, drawn)


def spreads(title: str, rows: Sequence[Spread], unit: str, marks: Sequence[tuple[float, str]] = ()) -> str:
    """The distribution of each row, on one logarithmic axis; `marks` are labelled vertical lines."""
    axis = spanning([value for row in rows for value in row.values], _LEFT, _RIGHT, logarithmic=True)
    base = len(rows) * (_ROW + 6)
    drawn = [*_grid(axis, base, unit)]
    for index, (value, label) in enumerate(marks):
        if axis.low < value < axis.high:
            x, before = axis.at(value), index == 0
            drawn.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{base}"/>')
            anchor, beside = ("end", x - 3) if before else ("start", x + 3)
            drawn.append(f'<text class="small" text-anchor="{anchor}" x="{beside:.1f}" y="{base}">{html(label)}</text>')
    for index, row in enumerate(rows):
        y = index * (_ROW + 6)
        drawn.append(_caption(row.label, row.value, y))
        middle = y + 30
        drawn += _dots(row, axis, middle) if len(row.values) <= _FEW else [_violin(row, axis, middle)]
        if row.interval is not None:
            left, right = (axis.at(end) for end in row.interval)
            drawn.append(f'<line class="interval" x1="{left:.1f}" x2="{right:.1f}" y1="{middle}" y2="{middle}"/>')
        x = axis.at(row.median)
        drawn.append(f'<line class="median" x1="{x:.1f}" x2="{x:.1f}" y1="{middle - 9}" y2="{middle + 9}"/>')
    return _svg(title, base + _FOOT, drawn)


def scatter(
    title: str,
    points: Sequence[Point],
    x_unit: str,
    y_unit: str,
    *,
    lines: Sequence[Line] = (),
    logarithmic: tuple[bool, bool] = (True, False),
) -> str:
    """Labelled points; `logarithmic`: whether x is, and whether y is."""
    xs = [point.x for point in points] + [x for line in lines for x, _ in line.points]
    ys = [point.y for point in points] + [y for line in lines for _, y in line.points]
    x_axis = spanning(xs, 46, _RIGHT, logarithmic=logarithmic[0])
    y_axis = spanning(ys, _HEIGHT, 22, logarithmic=logarithmic[1])
    drawn = [*_grid(x_axis, _HEIGHT, x_unit, top=22)]
    drawn.append(f'<text class="small" x="0" y="12">{html(y_unit)}</text>')
    for tick in y_axis.ticks():
        y = y_axis.at(tick)
        drawn.append(f'<line class="grid" x1="46" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text class="small" text-anchor="end" x="42" y="{y + 4:.1f}">{number(tick)}</text>')
    for line in lines:
        path = " ".join(f"{x_axis.at(x):.1f},{y_axis.at(y):.1f}" for x, y in line.points)
        x, y = line.points[-1]
        drawn.append(f'<polyline class="limit" points="{path}"/>')
        drawn.append(
            f'<text class="small" text-anchor="end" x="{x_axis.at(x):.1f}" y="{y_axis.at(y) - 5:.1f}">'
            f"{html(line.label)}</text>"
        )
    taken: list[_Box] = []
    for point in sorted(points, key=lambda point: y_axis.at(point.y)):
        drawn += _labelled(point, x_axis.at(point.x), y_axis.at(point.y), taken)
    return _svg(title, _HEIGHT + _FOOT, drawn)


def _labelled(point: Point, x: float, y: float, taken: list[_Box]) -> Iterator[str]:
    """A point, and its label at the nearest free place; without a label if there is none."""
    yield f'<circle class="{point.style}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{html(point.label)}</title></circle>'
    width = _LETTER * len(point.label)
    sides = [x + 8, x - 8 - width]
    if x > WIDTH * 0.6:  # towards the centre, so that the label stays inside the chart
        sides.reverse()
    steps = sorted(range(-20, 21), key=abs)
    boxes = (_Box(left, y + 4 + step * _LINE, width) for step in steps for left in sides)
    box = next((box for box in boxes if box.fits() and not any(box.meets(other) for other in taken)), None)
    if box is not None:
        taken.append(box)
        yield f'<text class="small" x="{box.x:.1f}" y="{box.y:.1f}">{html(point.label)}</text>'


@dataclass(frozen=True)
class _Box:
    """Position of a line of small text."""

    x: float
    y: float
    width: float

    def fits(self) -> bool:
        """Whether it is inside the chart."""
        return self.x >= 46 and self.x + self.width <= WIDTH and 30 < self.y < _HEIGHT - 2

    def meets(self, other: _Box) -> bool:
        apart = self.x > other.x + other.width or other.x > self.x + self.width
        return not apart and abs(self.y - other.y) < _LINE


def _dots(row: Spread, axis: Axis, middle: float) -> Iterator[str]:
    for value in row.values:
        yield f'<circle class="{row.style} faint" cx="{axis.at(value):.1f}" cy="{middle}" r="4"/>'


def _violin(row: Spread, axis: Axis, middle: float) -> str:
    """A smoothed histogram of the values, mirrored at the middle of the row."""
    positions = np.array([axis.at(value) for value in row.values])
    counts, edges = np.histogram(positions, bins=48)
    smooth = np.convolve(np.pad(counts.astype(float), 2), [1, 2, 3, 2, 1], "same")
    step = edges[1] - edges[0]
    xs = np.concatenate([[edges[0] - 1.5 * step, edges[0] - 0.5 * step], (edges[:-1] + edges[1:]) / 2])
    xs = np.concatenate([xs, [edges[-1] + 0.5 * step, edges[-1] + 1.5 * step]]).clip(_LEFT, _RIGHT)
    heights = 12 * smooth / smooth.max()
    upper = [f"{x:.1f},{middle - h:.1f}" for x, h in zip(xs, heights, strict=True)]
    lower = [f"{x:.1f},{middle + h:.1f}" for x, h in zip(xs[::-1], heights[::-1], strict=True)]
    return f'<polygon class="{row.style} faint" points="{" ".join(upper + lower)}"/>'


def _grid(axis: Axis, base: float, unit: str, top: float = 0) -> Iterator[str]:
    for tick in axis.ticks():
        x = axis.at(tick)
        anchor = "end" if x > WIDTH - 20 else "start" if x < 20 else "middle"
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{base}"/>'
        yield f'<text class="small" text-anchor="{anchor}" x="{x:.1f}" y="{base + 15}">{number(tick)}</text>'
    yield f'<text class="small" text-anchor="end" x="{_RIGHT}" y="{base + 30}">{html(unit)}</text>'


def _caption(label: str, value: str, y: float) -> str:
    return (
        f'<text x="{_LEFT}" y="{y + 14}">{html(label)}</text>'
        f'<text class="value" text-anchor="end" x="{_RIGHT}" y="{y + 14}">{html(value)}</text>'
    )


def _svg(title: str, height: float, drawn: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{html(title)}">'
        f"<title>{html(title)}</title>{''.join(drawn)}</svg>"
    )
