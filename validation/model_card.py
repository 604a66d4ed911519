"""Figures of the bundled weights: toolkit/network/weights/figures.json, and exported/.

    python validation/model_card.py

Image sets and photographs from $RT4KSR_DATA (default ../shared). What the released checkpoints reach there is measured
in the same run. `tests/network/test_bundled.py` holds both against the weights.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from toolkit.graph.export import ExportOptions, export
from toolkit.network.bundled import bundled_checkpoint
from toolkit.network.checkpoint import load_checkpoint
from toolkit.quality.evaluation import evaluate
from toolkit.runtimes.subject import Subject
from toolkit.system.atomic import write_bytes

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("RT4KSR_DATA", "../shared"))
SETS = ("images/Set5", "images/Set14", "photos/val")


def main() -> None:
    if not (DATA / "images").is_dir():
        sys.exit(f"there is no {DATA / 'images'}: set RT4KSR_DATA")
    figures: dict[str, dict[str, dict[str, float]]] = {}
    rows = Table("scale", "images", "bicubic", "bundled", "released", box=None)
    for scale in (2, 3):
        ours = export(bundled_checkpoint(scale), directory=ROOT / "exported", overwrite=True)
        theirs = export(
            load_checkpoint(DATA / "checkpoints" / f"rt4ksr_x{scale}.pth"),
            ExportOptions(name=f"released_x{scale}"),
            ROOT / "runs" / "model_card",
        )
        reports = [evaluate([Subject(item, "ort-cpu")], [DATA / name for name in SETS]) for item in (ours, theirs)]
        sets = [report.networks[0].subjects[0].sets() for report in reports]
        figures[f"x{scale}"] = {}
        for name, (metrics, bicubic) in sets[0].items():
            figures[f"x{scale}"][name] = {
                "psnr_y": round(metrics.psnr_y, 3),
                "ssim_y": round(metrics.ssim_y, 4),
                "bicubic_psnr_y": round(bicubic.psnr_y, 3),
                "released_psnr_y": round(sets[1][name][0].psnr_y, 3),
            }
            shown = (bicubic.psnr_y, metrics.psnr_y, sets[1][name][0].psnr_y)
            rows.add_row(f"x{scale}", name, *(f"{value:.3f}" for value in shown))
    content = msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n"
    write_bytes(ROOT / "toolkit" / "network" / "weights" / "figures.json", content)
    Console().print(rows)


if __name__ == "__main__":
    main()
