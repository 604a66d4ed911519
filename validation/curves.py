"""Curves of trainings: PSNR of validations and loss against iterations.

    python validation/curves.py x2=RUN x3=RUN

RUN is the directory of a `toolkit train` run. Written to validation/training/: `NAME.jsonl`, the log of the run;
`NAME.toml`, its settings without paths; and `NAME.svg`, with bicubic and the released checkpoint from
toolkit/network/weights/figures.json as lines to compare with.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from toolkit.atomic import write_bytes
from toolkit.drawing import drawn
from toolkit.training.journal import LOG_FILE, TrainingLine, ValidationLine, read_log
from toolkit.training.loop import CONFIG_FILE

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "toolkit" / "network" / "weights" / "figures.json"
OUTPUT = ROOT / "validation" / "training"
VALIDATION = "Set5"


def main() -> None:
    runs = dict(argument.split("=", 1) for argument in sys.argv[1:])
    if not runs:
        sys.exit(__doc__)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name, run in runs.items():
        write_bytes(OUTPUT / f"{name}.jsonl", (Path(run) / LOG_FILE).read_bytes())
        settings = (Path(run) / CONFIG_FILE).read_text("utf-8")
        write_bytes(OUTPUT / f"{name}.toml", re.sub(r'"[^"]*/([^"/]*)"', r'"\1"', settings).encode())
        plot(name)


def plot(name: str) -> None:
    """One picture: quality above, loss below."""
    lines = read_log(OUTPUT / f"{name}.jsonl")
    known = json.loads(FIGURES.read_text("utf-8"))[name][VALIDATION]
    validations = [line for line in lines if isinstance(line, ValidationLine)]
    trainings = [line for line in lines if isinstance(line, TrainingLine)]
    with drawn(OUTPUT / f"{name}.svg") as axes:
        axes.plot([line.iteration for line in validations], [line.psnr_y for line in validations], marker=".")
        for kind, colour in (("released", "tab:green"), ("bicubic", "tab:gray")):
            value = known[f"{kind}_psnr_y"]
            axes.axhline(value, color=colour, linewidth=1, linestyle="--", label=f"{kind}, {value:.2f} dB")
        axes.set_xlabel("iterations")
        axes.set_ylabel(f"PSNR of luma on {VALIDATION}, dB")
        axes.set_title(f"{name}: {trainings[-1].iteration:,} iterations", fontsize=10)
        axes.legend(loc="lower right")
        loss = axes.twinx()
        loss.plot(
            [line.iteration for line in trainings], [line.loss for line in trainings], color="tab:orange", alpha=0.4
        )
        loss.set_ylabel("loss")
        loss.set_yscale("log")


if __name__ == "__main__":
    main()
