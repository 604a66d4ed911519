"""Curves of trainings: PSNR of validations and loss against iterations.

    python validation/curves.py x2=RUN x3=RUN

RUN is the directory of a `toolkit train` run with validation and a teacher. Written to validation/training/:
`NAME.jsonl`, the log of the run; `NAME.toml`, its settings without paths; and `NAME.svg`, with bicubic and the teacher
as lines to compare with, measured on the same images as validation does it: no border is left out, so that the figures
are not those of `toolkit evaluate`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import torch

from toolkit.network.checkpoint import load_checkpoint
from toolkit.pages.drawing import drawn
from toolkit.quality.data import Degradation, bicubic, find_items, load_pair
from toolkit.system.atomic import write_bytes
from toolkit.training.config import TrainingConfig, read_config
from toolkit.training.journal import LOG_FILE, TrainingLine, ValidationLine, read_log
from toolkit.training.loop import CONFIG_FILE
from toolkit.training.validation import psnr_y, validate

OUTPUT = Path(__file__).parent / "training"


def main() -> None:
    runs = dict(argument.split("=", 1) for argument in sys.argv[1:])
    if not runs:
        sys.exit(__doc__)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name, run in runs.items():
        write_bytes(OUTPUT / f"{name}.jsonl", (Path(run) / LOG_FILE).read_bytes())
        settings = (Path(run) / CONFIG_FILE).read_text("utf-8")
        write_bytes(OUTPUT / f"{name}.toml", re.sub(r'"[^"]*/([^"/]*)"', r'"\1"', settings).encode())
        plot(name, read_config(Path(run) / CONFIG_FILE, {}))


def known(config: TrainingConfig) -> dict[str, float]:
    """PSNR of luma, in dB, of what a training is compared with."""
    scale = config.network.scale
    items = find_items([Path(config.validation)], scale)
    teacher = load_checkpoint(config.teacher).network
    pairs = [load_pair(item, scale, Degradation(jpeg=config.jpeg_quality)) for item in items]
    return {
        "teacher": float(np.mean(list(validate(teacher, items, config.jpeg_quality, torch.device("cpu"))))),
        "bicubic": float(np.mean([psnr_y(bicubic(pair.low, scale), pair.high) for pair in pairs])),
    }


def plot(name: str, config: TrainingConfig) -> None:
    """One picture: quality above, loss below."""
    lines = read_log(OUTPUT / f"{name}.jsonl")
    validations = [line for line in lines if isinstance(line, ValidationLine)]
    trainings = [line for line in lines if isinstance(line, TrainingLine)]
    with drawn(OUTPUT / f"{name}.svg", overwrite=True) as axes:
        axes.plot([line.iteration for line in validations], [line.psnr_y for line in validations], marker=".")
        for (kind, value), colour in zip(known(config).items(), ("tab:green", "tab:gray"), strict=True):
            axes.axhline(value, color=colour, linewidth=1, linestyle="--", label=f"{kind}, {value:.2f} dB")
        axes.set_xlabel("iterations")
        axes.set_ylabel("PSNR of luma in validation, dB")
        axes.set_title(f"{name}: {trainings[-1].iteration:,} iterations", fontsize=10)
        axes.legend(loc="center right")
        loss = axes.twinx()
        loss.plot(
            [line.iteration for line in trainings], [line.loss for line in trainings], color="tab:orange", alpha=0.4
        )
        loss.set_ylabel("loss")
        loss.set_yscale("log")


if __name__ == "__main__":
    main()
