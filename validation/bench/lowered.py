"""What bf16 and int8 lose of the gain over bicubic: the toolkit's own networks, on each runtime and image set.

    python validation/bench/lowered.py --images ../shared/images/Set5 --images ../shared/images/Set14

Prints Markdown. int8 is converted as by `toolkit convert` without options; bf16 runs on OpenVINO and native. The share
is of the network's own gain in mean PSNR-Y over all images given, while PSNR-Y is given for each set.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from toolkit.artifact import Artifact
from toolkit.quality.conversion import convert
from toolkit.quality.evaluation import EvaluateOptions, evaluate
from toolkit.quality.report import NetworkReport
from toolkit.runtimes.subject import Subject
from toolkit.system.hardware import cpu_model

ROOT = Path(__file__).parents[2]
NETWORKS = "rt4ksr_x2", "rt4ksr_x3", "rt4ksr_x2_int", "rt4ksr_x3_int"
RUNTIMES = {"bf16": ("openvino", "native"), "int8": ("ort-cpu", "openvino", "native")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", action="append", type=Path, required=True)
    parser.add_argument("--runtimes", default="ort-cpu,openvino,native", help="those to measure")
    given = parser.parse_args()
    wanted = given.runtimes.split(",")
    print(f"CPU: {cpu_model()[0]}\n")
    print("| network | precision | runtime | PSNR-Y | gain lost |\n|---|---|---|---|---:|")
    with tempfile.TemporaryDirectory() as scratch:
        for name in NETWORKS:
            artifact = Artifact.read(ROOT / "exported" / f"{name}_fp32.onnx")
            subjects = [Subject(artifact, "ort-cpu")]
            for precision, runtimes in RUNTIMES.items():
                made = convert(artifact, precision, directory=Path(scratch), allow_worse_than_bicubic=True)
                subjects += [Subject(made, runtime) for runtime in runtimes if runtime in wanted]
            show(evaluate(subjects, given.images, EvaluateOptions()).networks[0])


def show(network: NetworkReport) -> None:
    for subject in network.subjects:
        lost = "–" if subject.spent is None else f"{subject.spent:.1%}"
        psnr = ", ".join(f"{name} {metrics.psnr_y:.3f}" for name, (metrics, _) in subject.sets().items())
        print(f"| {network.name} | {subject.precision} | {subject.runtime} | {psnr} | {lost} |", flush=True)


if __name__ == "__main__":
    main()
