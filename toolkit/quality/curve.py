"""Chart of a tuning: loss of quality against cost."""

from __future__ import annotations

from pathlib import Path

from toolkit.pages.drawing import drawn
from toolkit.quality.tuning import Tuned
from toolkit.quoting import plot


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
        timed = tuned.cost.kind == "time"
        axes.set_xlabel(plot(f"{tuned.cost}, % of float32's") if timed else "share of the multiply-adds in float32, %")
        axes.set_ylabel("share of the gain over bicubic lost, %")
        axes.set_title(plot(f"{tuned.artifact.manifest.name} on {tuned.images}"), fontsize=10)
        axes.legend()
