"""Chart of a tuning: loss of quality against cost."""

from __future__ import annotations

from pathlib import Path

from toolkit.pages.axes import crowded
from toolkit.pages.drawing import drawn
from toolkit.quality.tuning import Tuned
from toolkit.quality.tuning_page import what_costs
from toolkit.quoting import plot

_LEAST = 0.01
"""Percent below which an axis is linear at most."""


def plot_curve(tuned: Tuned, path: Path, *, overwrite: bool = False) -> None:
    """Draw the curve of a tuning; the suffix of `path` chooses the format (PNG, SVG or PDF).

    Raises:
        Unavailable: matplotlib is not installed.
        InputError: the file cannot be written.
        OutputExists: it exists, and `overwrite` is false.
    """
    budget = 100 * tuned.limits.mean
    with drawn(path, overwrite=overwrite) as axes:
        cost, spent = ([100 * getattr(point, name) for point in tuned.curve] for name in ("cost", "spent"))
        axes.step(cost, spent, where="post", marker="o", markersize=4)
        axes.axhline(budget, color="tab:red", linewidth=1, label=f"budget {budget:g} %")
        axes.plot([100 * tuned.chosen.cost], [100 * tuned.chosen.spent], "*", markersize=14, label="chosen")
        for axis, values, rescale in ((axes.xaxis, cost, axes.set_xscale), (axes.yaxis, spent, axes.set_yscale)):
            if crowded(values):  # linear up to the least value, for 0
                rescale("symlog", linthresh=_least(values))
                axis.set_major_formatter("{x:g}")
        axes.set_xlabel(plot(what_costs(tuned)))
        axes.set_ylabel("share of the gain over bicubic lost, %")
        axes.set_title(plot(f"{tuned.artifact.manifest.name} on {tuned.images}"), fontsize=10)
        axes.legend()


def _least(values: list[float]) -> float:
    return max(min((value for value in values if value > 0), default=1.0), _LEAST)
