"""What int8 does to text and thin lines as a screen shows them, which are sharper than anything that was reduced.

    python validation/bench/screens.py

Prints Markdown: the difference between int8 (as `toolkit convert` makes it without options) and float32 in grey levels,
on pages that Pillow's font draws at the network's input size, and on the demo's photograph. There is no truth for them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from toolkit.artifact import Artifact
from toolkit.media.upscaler import FrameUpscaler
from toolkit.quality.conversion import convert
from toolkit.quality.measurement import worst_patch
from toolkit.runtimes.subject import Subject

ROOT = Path(__file__).parents[2]
NETWORKS = "rt4ksr_x2", "rt4ksr_x3", "rt4ksr_x2_int", "rt4ksr_x3_int"
SIZE = 256, 192
TEXT = "The quick brown fox il|1 jumps {#@} over"


def main() -> None:
    photo = Image.open(ROOT / "toolkit" / "demonstration" / "astronaut.png").convert("RGB").crop((100, 60, 356, 252))
    pictures = {
        "black on white, 10 px": page("white", "black", 10),
        "yellow on blue, 12 px": page("blue", "yellow", 12),
        "white on a photograph, 16 px": page("", "white", 16, photo),
        "the photograph": photo,
    }
    print("| network | picture | mean | 99.9 % of samples below | worst 64x64 patch |\n|---|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as scratch:
        for name in NETWORKS:
            exact = Artifact.read(ROOT / "exported" / f"{name}_fp32.onnx")
            made = convert(exact, "int8", directory=Path(scratch), allow_worse_than_bicubic=True)
            both = [FrameUpscaler(Subject(artifact, "ort-cpu", 1)) for artifact in (exact, made)]
            for picture, image in pictures.items():
                planes = np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
                one, other = (upscaler(planes, 255).transpose(1, 2, 0) for upscaler in both)
                apart = np.abs(one.astype(int) - other)
                worst = worst_patch(np.ascontiguousarray(other), np.ascontiguousarray(one), 2).difference
                print(
                    f"| {name} | {picture} | {apart.mean():.2f} | {np.percentile(apart, 99.9):.0f} | {worst:.1f} |",
                    flush=True,
                )


def page(paper: str, ink: str, size: int, photo: Image.Image | None = None) -> Image.Image:
    image = Image.new("RGB", SIZE, paper) if photo is None else photo.copy()
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    for top in range(0, SIZE[1], int(size * 1.3)):
        draw.text((4, top), TEXT, fill=ink, font=font)
    for line in range(6):
        draw.line((200 + 8 * line, 100, 250, 180 - 9 * line), fill=ink)
    return image


if __name__ == "__main__":
    main()
