"""Figures of the bundled weights: toolkit/network/weights/figures.json, and exported/.

    python validation/model_card.py              # all of them
    python validation/model_card.py x2_int       # these, and keep what the file says of the others

Image sets and photographs from $RT4KSR_DATA (default ../shared). What the released checkpoints reach there is measured
in the same run. Figures on video are means of what `validation/bench/codecs.py` has measured, which runs before this.
`tests/network/test_bundled.py` holds them against the weights.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import numpy as np
from bench.codecs import SETS, Row, read
from rich.console import Console
from rich.table import Table

from toolkit.artifact import Artifact
from toolkit.graph.export import ExportOptions, export
from toolkit.network.bundled import bundled_checkpoint
from toolkit.network.bundled_files import BUNDLED, BUNDLED_SCALES, Bundled
from toolkit.network.checkpoint import load_checkpoint
from toolkit.quality.evaluation import evaluate
from toolkit.runtimes.subject import Subject
from toolkit.system.atomic import write_bytes

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("RT4KSR_DATA", "../shared"))
IMAGES = ("images/Set5", "images/Set14", "photos/val")

Figures = dict[str, dict[str, float]]
"""Figures by image set, or by codec and quality."""


def main() -> None:
    if not (DATA / "images").is_dir():
        sys.exit(f"there is no {DATA / 'images'}: set RT4KSR_DATA")
    path = ROOT / "toolkit" / "network" / "weights" / "figures.json"
    chosen = sys.argv[1:]
    figures: dict[str, Figures | dict[str, Figures]] = msgspec.json.decode(path.read_bytes()) if chosen else {}
    rows = Table("weights", "images", "bicubic", "bundled", "released", box=None)
    for scale in BUNDLED_SCALES:
        wanted = [item for item in BUNDLED if item.scale == scale and (not chosen or name_of(item) in chosen)]
        if not wanted:
            continue
        theirs = export(
            load_checkpoint(DATA / "checkpoints" / f"rt4ksr_x{scale}.pth"),
            ExportOptions(name=f"released_x{scale}"),
            ROOT / "runs" / "model_card",
        )
        released = measured(theirs)
        for item in wanted:
            ours = export(bundled_checkpoint(scale, item.purpose), directory=ROOT / "exported", overwrite=True)
            name = name_of(item)
            figures[name] = on_images(measured(ours), released)
            figures[f"{name} on video"] = on_video(read(ROOT / "validation" / "codecs" / f"x{scale}.jsonl"), ours)
            for images, found in figures[name].items():
                values = (found["bicubic_psnr_y"], found["psnr_y"], found["released_psnr_y"])
                rows.add_row(name, images, *(f"{value:.3f}" for value in values))
    content = msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n"
    write_bytes(path, content)
    Console().print(rows)


def name_of(item: Bundled) -> str:
    """As `x2_video`."""
    return item.file.removeprefix("rt4ksr_").removesuffix(".safetensors")


def measured(artifact: Artifact) -> Figures:
    """PSNR and SSIM of luma on all image sets, and PSNR of bicubic interpolation."""
    report = evaluate([Subject(artifact, "ort-cpu")], [DATA / name for name in IMAGES])
    return {
        name: {
            "psnr_y": round(metrics.psnr_y, 3),
            "ssim_y": round(metrics.ssim_y, 4),
            "bicubic_psnr_y": round(bicubic.psnr_y, 3),
        }
        for name, (metrics, bicubic) in report.networks[0].subjects[0].sets().items()
    }


def on_images(ours: Figures, released: Figures) -> Figures:
    return {name: {**found, "released_psnr_y": released[name]["psnr_y"]} for name, found in ours.items()}


def on_video(rows: list[Row], artifact: Artifact) -> dict[str, Figures]:
    """Means over the clips of each set, for each codec and quality: see `bench.codecs.Row`."""
    weights = artifact.manifest.source.network_sha256
    found: dict[str, Figures] = {}
    for name, chosen in SETS.items():
        for label in dict.fromkeys(row.input for row in rows):
            here = [row for row in rows if (row.clips, row.input, row.weights) == (name, label, weights)]
            if len({row.clip for row in here}) < chosen.count:
                continue  # not measured completely
            means = np.mean([[row.gain, row.u, row.v, row.flicker] for row in here], axis=0)
            fields = ("gain", "u", "v", "flicker")
            figures = {field: round(float(value), 3) for field, value in zip(fields, means, strict=True)}
            found.setdefault(name, {})[label] = figures
    return found


if __name__ == "__main__":
    main()
