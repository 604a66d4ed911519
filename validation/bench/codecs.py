"""Gain of networks over bicubic on video after every codec: luma, chroma compared with Lanczos, and flicker.

    python validation/bench/codecs.py [--scale 3] [--clips eight] [--frames 8] [--network FILE.onnx]

Measured are the toolkit's own weights, the released checkpoint in $RT4KSR_DATA (default ../shared), and further
artifacts. Clips are photographs of $RT4KSR_DATA/photos/val, none of which was trained on: `eight` are the first eight
as 640x360, `held-out` all ten as 480x270 with other directions of the camera. Each clip is a line of
`validation/codecs/xSCALE.jsonl` as soon as it is measured; a second run measures only what is missing there: other
weights, or more frames. The table follows each codec.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from toolkit.artifact import Artifact
from toolkit.graph.export import ExportOptions, export
from toolkit.images import find_images
from toolkit.media.networks import bundled_artifact
from toolkit.media.split_view import enlarged
from toolkit.media.upscaler import FrameUpscaler
from toolkit.network.bundled_files import BUNDLED
from toolkit.network.checkpoint import load_checkpoint
from toolkit.quality.videos.coding import CleanLow, Coding, Low, encode_low
from toolkit.quality.videos.meter import Method, measure_clip
from toolkit.quality.videos.references import PHOTO_LOW, Clip, PhotoClip
from toolkit.runtimes.subject import Subject
from toolkit.workloads import Shape

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("RT4KSR_DATA", "../shared"))
CODINGS = (
    None,
    *(Coding("libx264", quality) for quality in (18, 23, 28, 33)),
    Coding("libx265", 28),
    Coding("libsvtav1", 45),
    Coding("libvpx-vp9", 41),
    Coding("mpeg2video", 8),
    Coding("mpeg4", 8),
)


@dataclass(frozen=True)
class ClipSet:
    """Photographs that become clips: their number, low-resolution size, and the seed of the camera's directions."""

    count: int
    low: Shape
    seed: int


SETS = {"eight": ClipSet(8, PHOTO_LOW, 0), "held-out": ClipSet(10, Shape(270, 480), 1)}


class Row(msgspec.Struct, frozen=True):
    """A network on a clip: dB of PSNR over bicubic (Y) and over Lanczos of the chroma planes (U, V), and its flicker as
    a share of bicubic's."""

    clips: str
    clip: str
    input: str
    frames: int
    network: str
    weights: str
    gain: float
    u: float
    v: float
    flicker: float

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        return self.clips, self.clip, self.input, self.frames, self.weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--clips", choices=SETS, action="append")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--network", type=Path, action="append", default=[])
    parser.add_argument("--runtime")
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    if not (DATA / "photos" / "val").is_dir():
        sys.exit(f"there is no {DATA / 'photos' / 'val'}: set RT4KSR_DATA")
    artifacts = networks(given.scale) | {path.stem: Artifact.read(path) for path in given.network}
    subjects = {name: Subject.of(item, given.runtime, given.threads) for name, item in artifacts.items()}
    path = ROOT / "validation" / "codecs" / f"x{given.scale}.jsonl"
    path.parent.mkdir(exist_ok=True)
    known = {row.key: row for row in read(path)}
    upscalers = {name: FrameUpscaler(subject) for name, subject in subjects.items()}
    for name in given.clips or SETS:
        made: list[Row] = []
        for coding in CODINGS:
            made += measured(name, coding, upscalers, known, path, given.frames)
            Console(width=120).print(table(name, made, list(subjects)))


def networks(scale: int) -> dict[str, Artifact]:
    """The toolkit's own weights by purpose, and the released checkpoint."""
    found = {item.purpose: bundled_artifact(scale, item.purpose) for item in BUNDLED if item.scale == scale}
    released = DATA / "checkpoints" / f"rt4ksr_x{scale}.pth"
    if not released.is_file():
        return dict(found)
    options = ExportOptions(name=f"released_x{scale}")
    return {**found, "released": export(load_checkpoint(released), options, ROOT / "runs" / "codecs")}


def read(path: Path) -> list[Row]:
    """The rows of a file; a line that a stopped run left incomplete is skipped."""
    rows = []
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            rows.append(msgspec.json.decode(line, type=Row))
        except msgspec.DecodeError:
            continue
    return rows


def clips_of(name: str, scale: int, frames: int) -> Iterator[Clip]:
    chosen = SETS[name]
    photos = find_images(DATA / "photos" / "val", chosen.count)
    for number, photo in enumerate(photos):
        random = np.random.default_rng((chosen.seed, number))
        yield PhotoClip.of(photo, photo.name, chosen.low.upscaled(scale), frames, random)


def measured(
    name: str,
    coding: Coding | None,
    upscalers: dict[str, FrameUpscaler],
    known: dict[tuple[str, str, str, int, str], Row],
    path: Path,
    frames: int,
) -> list[Row]:
    """Rows of all clips of a set after a codec; those that are not known are appended to the file."""
    label = "clean" if coding is None else coding.label
    scale = next(iter(upscalers.values())).subject.scale
    rows = []
    for clip in clips_of(name, scale, frames):
        keys = {key: (name, clip.name, label, frames, item.subject.weights) for key, item in upscalers.items()}
        missing = {key: upscalers[key] for key, found in keys.items() if found not in known}
        if missing:
            with tempfile.TemporaryDirectory() as directory, path.open("ab") as file:
                low = lowered(clip, coding, scale, Path(directory) / "low.mkv")
                for row in compared(low, missing, name, label, frames):
                    known[row.key] = row
                    file.write(msgspec.json.encode(row) + b"\n")
        rows += [known[found] for found in keys.values()]
    return rows


def lowered(clip: Clip, coding: Coding | None, scale: int, path: Path) -> Low:
    if coding is None:
        return CleanLow(clip, "clean", None, scale)
    return encode_low(clip, coding, scale, path, lambda: None)


def compared(low: Low, upscalers: dict[str, FrameUpscaler], name: str, label: str, frames: int) -> Iterator[Row]:
    scale = low.scale

    def bicubic(planes: np.ndarray, white: int) -> np.ndarray:
        return enlarged(planes, Shape(*planes.shape[1:]).upscaled(scale), white)

    # Chroma that bypasses the network is the same for all, so it is measured once, beside bicubic luma.
    methods = [Method(bicubic, "lanczos"), *(Method(item) for item in upscalers.values())]
    scores = measure_clip(low, methods, deep=True, vmaf="", frame_begun=lambda: None, offer=lambda _: None)
    base, *others = (score.metrics for score in scores)
    for (key, item), metrics in zip(upscalers.items(), others, strict=True):
        yield Row(
            clips=name,
            clip=low.clip.name,
            input=label,
            frames=frames,
            network=key,
            weights=item.subject.weights,
            gain=round(metrics.psnr_y - base.psnr_y, 3),
            u=round(metrics.psnr_u - base.psnr_u, 3),
            v=round(metrics.psnr_v - base.psnr_v, 3),
            flicker=round(metrics.flicker / base.flicker, 3) if base.flicker else 1.0,
        )


def table(name: str, rows: Sequence[Row], names: list[str]) -> Table:
    """Means over clips: a line for each input, with gain, U / V and flicker of each network."""
    made = Table(
        "input", box=None, title=f"{name}: gain Y over bicubic, U/V over Lanczos in dB; flicker over bicubic's"
    )
    for network in names:
        made.add_column(network, justify="right")
    for label in dict.fromkeys(row.input for row in rows):
        cells = []
        for network in names:
            found = [row for row in rows if (row.input, row.network) == (label, network)]
            gain, u, v, flicker = np.mean([[row.gain, row.u, row.v, row.flicker] for row in found], axis=0)
            cells.append(f"{gain:+.2f}  {u:+.2f}/{v:+.2f}  {flicker:.2f}")
        made.add_row(label, *cells)
    return made


if __name__ == "__main__":
    main()
