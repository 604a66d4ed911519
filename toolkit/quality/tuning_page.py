"""A tuning as one HTML page: quality against cost, and what each node costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from toolkit.conversion import CurvePoint
from toolkit.pages.axes import crowded
from toolkit.pages.charts import Bar, Line, Point, bars, scatter
from toolkit.pages.document import document, figure, figures, fold, table
from toolkit.quality.tuning import Tuned
from toolkit.quoting import html
from toolkit.system.atomic import write_bytes

_MOST_UNITS = 16
"""Most nodes that a chart shows."""

_LEAST_COST = 1e-3
"""Share of the cost of float32 below which mixes are drawn alike: an axis of logarithms has no 0."""


def write_tuning_page(tuned: Tuned, path: Path, *, overwrite: bool = False) -> None:
    """Write the page of a tuning.

    Raises:
        InputError: it cannot be written.
        OutputExists: it exists, and `overwrite` is false.
    """
    write_bytes(path, document("RT4KSR mixed precision", _content(tuned)).encode(), overwrite=overwrite)


def what_costs(tuned: Tuned) -> str:
    """Name of the axis of costs."""
    return f"{tuned.cost}, % of float32's" if tuned.cost.kind == "time" else "% of the multiply-adds in float32"


def kept_nodes(point: CurvePoint, tuned: Tuned) -> str:
    """The nodes of a mix that stay in float32, in words."""
    return "everything" if len(point.kept) == len(tuned.alone) else ", ".join(point.kept) or "nothing"


def _content(tuned: Tuned) -> Iterator[str]:
    manifest, spent, limits, chosen = tuned.artifact.manifest, tuned.spent, tuned.limits, tuned.chosen
    headline = (
        f"{manifest.precision} with {len(chosen.kept)} of {len(tuned.alone)} nodes in float32 loses {spent.mean:.1%} "
        f"of the gain of {tuned.gain:.2f} dB over bicubic; {limits.mean:.1%} are allowed."
    )
    yield f"<p class='headline'>{html(headline)}</p>"
    details = (
        f"Measured on {tuned.images}. In the worst image {spent.worst_image:.1%} of the gain are lost "
        f"({limits.worst_image:.1%} allowed); the worst patch differs from fp32 by {spent.worst_patch:.2f} grey levels "
        f"({limits.worst_patch:g} allowed). Kept in float32: {kept_nodes(chosen, tuned)}."
    )
    yield f"<p>{html(details)}</p><p class='soft'>{html(manifest.name)}</p>"
    yield figures([_curve(tuned), *_units(tuned)])
    rows = [(f"{point.cost:.1%}", f"{point.spent:.2%}", kept_nodes(point, tuned)) for point in tuned.curve]
    marked = [1 if point == chosen else None for point in tuned.curve]
    yield fold(
        f"{len(rows)} mixes", table((what_costs(tuned), "gain lost", "kept in float32"), rows, texts=0, marked=marked)
    )
    units = [(name, f"{tuned.alone[name].mean:.2%}", f"{tuned.raised[name].mean:.2%}") for name in tuned.alone]
    header = ("node", "gain lost if only it is lowered", "gain lost if only it is float32")
    yield fold(f"{len(units)} nodes", table(header, units, texts=1))


def _curve(tuned: Tuned) -> str:
    """Quality against cost. Where most mixes are cheap, or lose little, the axis is logarithmic."""
    logarithmic = crowded([point.cost for point in tuned.curve]), crowded([point.spent for point in tuned.curve])
    costs = [100 * (max(point.cost, _LEAST_COST) if logarithmic[0] else point.cost) for point in tuned.curve]
    lost = [100 * point.spent for point in tuned.curve]
    budget = 100 * tuned.limits.mean
    points = [
        Point(cost, loss, "chosen" if point == tuned.chosen else "", "c1" if point == tuned.chosen else "c0")
        for point, cost, loss in zip(tuned.curve, costs, lost, strict=True)
    ]
    lines = (
        Line(tuple(zip(costs, lost, strict=True)), ""),
        Line(((min(costs), budget), (max(costs), budget)), f"budget {budget:g} %"),
    )
    title = "Quality against cost"
    chart = scatter(title, points, what_costs(tuned), "% of the gain lost", lines=lines, logarithmic=logarithmic)
    ends = [
        *([f"that cost less than {_LEAST_COST:.1%} are at the left end"] if logarithmic[0] else []),
        *(["that lose nothing are at the lower end"] if logarithmic[1] else []),
    ]
    caption = "Further down is better, further left is cheaper."
    return figure(title, chart, f"{caption} Mixes {' and those '.join(ends)}." if ends else caption)


def _units(tuned: Tuned) -> Iterator[str]:
    """What each node loses if it is the only one that is lowered, the largest losses first."""
    ordered = sorted(tuned.alone, key=lambda name: -tuned.alone[name].mean)
    shown = [name for name in ordered[:_MOST_UNITS] if tuned.alone[name].mean > 0]
    if not shown:
        return
    rows = []
    for name in shown:
        loss = 100 * tuned.alone[name].mean
        rows.append(
            Bar(name[:44], f"{loss:.2f} %", ((loss, "c1" if name in tuned.chosen.kept else "c0", f"{loss:.2f} %"),))
        )
    title = "Loss by node"
    caption = "Share of the gain that is lost if only this node is lowered. Orange: stays in float32."
    left_out = len(ordered) - len(shown)
    caption += f" {left_out} nodes that lose less are not shown." if left_out else ""
    yield figure(title, bars(title, rows, "% of the gain lost"), caption)
