"""Export a checkpoint, prove that the graph computes the same function, and upscale a picture with it.

    python export_verify_run.py PICTURE RESULT [CHECKPOINT]

Without a checkpoint, the weights that come with the toolkit are exported.
"""

import sys
from pathlib import Path

from PIL import Image, ImageOps

import toolkit


def main(picture: str, result: str, checkpoint: str = "") -> None:
    loaded = toolkit.load_checkpoint(checkpoint) if checkpoint else toolkit.bundled_checkpoint(2)
    artifact = toolkit.export(loaded, directory=Path("exported"))

    # Each check has the measured value and its bound. `full_frame` would also compare a 4K frame, which takes longer.
    report = toolkit.verify_fusion(loaded, artifact, full_frame=False)
    failed = [check for check in report.checks if not check.passed]
    print(f"{len(report.checks)} checks, {len(failed)} failed", *failed, sep="\n")
    if failed:
        sys.exit(1)

    with Image.open(picture) as opened, toolkit.Upscaler(artifact) as upscale:
        image = ImageOps.exif_transpose(opened).convert("RGB")  # upright, as cameras mean it
        large = upscale(image)  # any size; a Pillow image in, a Pillow image out
        large.save(result)
        print(f"{artifact.path}: {image.width}x{image.height} -> {large.width}x{large.height}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
