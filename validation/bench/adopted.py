"""Networks of others: what adoption finds about each file, and what each precision loses on each runtime.

    python validation/bench/adopted.py --images IMAGES FILE.onnx ...

Prints Markdown. The change of PSNR-Y is from the adopted network in float32 on ONNX Runtime. The share lost is of the
network's own gain over bicubic, in mean PSNR-Y on the images; a network that gains nothing there has no share.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from toolkit.artifact import Artifact
from toolkit.errors import ToolkitError
from toolkit.graph.adoption.adopt import adopt
from toolkit.quality.conversion import convert
from toolkit.quality.evaluation import EvaluateOptions, evaluate
from toolkit.runtimes.subject import Subject
from toolkit.system.hardware import cpu_model

PRECISIONS = "fp16", "bf16", "int8"
RUNTIMES = "ort-cpu", "openvino", "simulated"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--images", action="append", type=Path, required=True)
    given = parser.parse_args()
    print(f"CPU: {cpu_model()[0]}\n")
    with tempfile.TemporaryDirectory() as scratch:
        for path in given.files:
            print(f"## {path.name}\n")
            artifact = adopt(path, directory=Path(scratch))
            contract(artifact)
            quality(artifact, given.images)


def contract(artifact: Artifact) -> None:
    """What was found, with the largest error of each kind of check."""
    print("| fact | found | by |\n|---|---|---|")
    for finding in artifact.manifest.source.findings:
        print(f"| {finding.fact} | {finding.value} | {finding.evidence} |")
    print("\n| check | count | largest | bound |\n|---|---|---|---|")
    checks = artifact.manifest.checks
    for kind in dict.fromkeys(check.kind for check in checks):
        same = [check for check in checks if check.kind == kind]
        print(f"| {kind} | {len(same)} | {max(check.measured for check in same):.1e} | {same[0].bound:.1e} |")
    print()


def quality(artifact: Artifact, images: list[Path]) -> None:
    """Each precision on each runtime; a conversion that is refused says why."""
    lowered, refused = [], []
    for precision in PRECISIONS:
        try:
            lowered.append(convert(artifact, precision, allow_worse_than_bicubic=True))
        except ToolkitError as error:
            refused.append(f"{precision}: {error.args[0]}")
    subjects = [Subject(item, runtime) for item in (artifact, *lowered) for runtime in RUNTIMES]
    report = evaluate(subjects, images, EvaluateOptions())
    print("| artifact | runtime | PSNR-Y | change | gain lost |\n|---|---|---|---|---|")
    own = report.networks[0].subjects[0].mean.psnr_y
    for subject in report.networks[0].subjects:
        lost = "–" if subject.spent is None else f"{subject.spent:.2%}"
        psnr = subject.mean.psnr_y
        print(f"| {subject.name} | {subject.runtime} | {psnr:.3f} | {psnr - own:+.3f} | {lost} |")
    for reason in refused:
        print(f"\nnot converted: {reason}")
    print()


if __name__ == "__main__":
    main()
