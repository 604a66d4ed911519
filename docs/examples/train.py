"""Train a network on a directory of photographs, export it, and measure it on images that it has not seen.

    python train.py PHOTOS IMAGES RUN [ITERATIONS]

RUN is the directory of the run. Started again after Ctrl-C, it continues there.
"""

import sys
from pathlib import Path

import toolkit


def main(photos: str, images: str, run: str, iterations: str = "20000") -> None:
    # Every setting is an option of `toolkit train`, too; its help explains them.
    config = toolkit.TrainingConfig(
        data=photos,
        validation=images,
        iterations=int(iterations),
        patches=(64,),
        batch=16,
        learning_rate=1e-3,
        schedule="cosine",
        validation_interval=max(1, int(iterations) // 10),
    )

    def progress(now: toolkit.Progress) -> None:
        print(f"\r{now.activity} {now.fraction or 0:4.0%}", end="", file=sys.stderr)

    result = toolkit.train(config, Path(run), resume=True, progress=progress, note=print)
    print(f"\n{result.iteration} iterations, best PSNR-Y {result.psnr_y} dB at {result.best_iteration}")

    checkpoint = toolkit.load_checkpoint(result.weights)
    artifact = toolkit.export(checkpoint, directory=Path(run) / "exported", overwrite=True)
    report = toolkit.evaluate([toolkit.Subject(artifact, "ort-cpu")], [images])
    for network in report.networks:
        print(f"{artifact.path}: gain over bicubic {network.gain:+.2f} dB of PSNR-Y")


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:])
