"""What programs compute from artifacts with their defaults: client by artifact, against ONNX Runtime in float32.

    python validation/clients/table.py WORK [--only ncnn] [--markdown docs/clients.md]

WORK holds artifacts, engines and environments, which are made once. OpenCV is installed there into an environment of
its own, and onnxruntime-web by npm. A client that is not available here is reported and left out.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
from numpy.typing import NDArray
from programs import CLIENTS, Case, Client, Missing, Refused, Run

import toolkit
from toolkit.artifact import Artifact
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.calibration import calibration_images
from toolkit.graph.precision.convert import convert
from toolkit.graph.precision.registry import find_precision
from toolkit.network.bundled import bundled_checkpoint
from toolkit.precisions import Precision
from toolkit.system.atomic import write_bytes
from toolkit.system.hardware import cpu_model
from toolkit.workloads import Shape

HERE = Path(__file__).parent
EVEN, ODD = Shape(96, 128), Shape(95, 127)
WRONG = 64
"""Grey levels. A larger difference is no picture any more: the client does not take the artifact."""


def cases(work: Path) -> list[Case]:
    """Artifacts of the toolkit's own x2 weights, made once."""
    home, checkpoint = work / "artifacts", bundled_checkpoint(2)

    def made(name: str, make: Callable[[], Artifact]) -> Artifact:
        kept = home / name
        found = sorted(kept.glob("*.onnx"))
        return Artifact.read(found[0]) if found else copied(make(), kept)

    def exported(**options: object) -> Callable[[], Artifact]:
        return lambda: export(checkpoint, ExportOptions(**options), home / "made", overwrite=True)  # type: ignore[arg-type]

    plain = trained()
    lowered = {
        name: made(name, lambda name=name: convert(plain, name, directory=home / "made", overwrite=True))  # type: ignore[misc]
        for name in ("fp16", "bf16", "int8")
    }
    return [
        Case("fp32", plain, EVEN),
        Case("fp32, odd size", plain, ODD),
        Case("fp32, static", made("static", exported(shape=EVEN)), EVEN),
        Case("fp32, static, odd size", made("static-odd", exported(shape=ODD)), ODD),
        *(Case(name, artifact, EVEN) for name, artifact in lowered.items()),
        Case("uint8 NHWC", made("uint8", exported(uint8="NHWC")), EVEN),
    ]


def trained() -> Artifact:
    return Artifact.read(HERE.parents[1] / "exported" / "rt4ksr_x2_fp32.onnx")


def copied(artifact: Artifact, directory: Path) -> Artifact:
    directory.mkdir(parents=True, exist_ok=True)
    for path in (artifact.path, artifact.path.with_suffix(".json")):
        shutil.copy(path, directory)
    return Artifact.read(directory / artifact.path.name)


def reference(plain: Artifact, shape: Shape) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A photograph, and the grey levels of ONNX Runtime's result in float32."""
    image, manifest = calibration_images()[0][: shape.height, : shape.width], plain.manifest
    session = toolkit.load_session(plain, "ort-cpu")
    session.bind(shape)
    return image, manifest.output.to_image(session.run(manifest.input.from_image(image)))


@dataclass(frozen=True)
class Difference:
    """Largest distance in grey levels, and share of samples that differ."""

    levels: int
    share: float

    def __str__(self) -> str:
        return f"{self.levels}, {100 * self.share:.2g} %"


def difference(client: Client, case: Case, plain: Artifact, work: Path) -> Difference:
    """Of what a client makes of an artifact from the result of the plain artifact.

    Raises:
        Refused: the client does not run it, or its result has another size.
    """
    image, wanted = reference(plain, case.shape)
    home, port = work / "run", case.artifact.manifest.output
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    job = Run(case, case.artifact.manifest.input.from_image(image), home, work)
    frame = client(job)
    if frame.shape != job.result_shape:
        shapes = ("x".join(map(str, shape)) for shape in (frame.shape, job.result_shape))
        raise Refused("wrong size, {} instead of {}".format(*shapes))
    distance = np.abs(port.to_image(frame).astype(int) - wanted)
    return Difference(int(distance.max()), np.count_nonzero(distance) / distance.size)


class Notes:
    """Reasons of refusals, numbered in the order in which they are met."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, reason: str) -> int:
        return self._numbers.setdefault(reason, len(self._numbers) + 1)

    def lines(self) -> list[str]:
        return [f"{number}. {reason}" for reason, number in self._numbers.items()]


def cell(client: Client, case: Case, plain: Artifact, work: Path, notes: Notes) -> str:
    try:
        return str(difference(client, case, plain, work))
    except Refused as error:
        reason = str(error).replace(str(work), "").replace("|", "/")[:160]
        what = "wrong size" if reason.startswith("wrong size") else "refused"
        return f"{what} ({notes.number(reason)})"


def columns(clients: Mapping[str, Client], found: list[Case], work: Path, notes: Notes) -> dict[str, list[str]]:
    """The cells of each client. Those that are missing here are reported, and are not in the result."""
    made = {}
    for name, client in clients.items():
        try:
            made[name] = [cell(client, case, trained(), work, notes) for case in found]
        except Missing as error:
            print(f"left out: {name}: {error}", file=sys.stderr, flush=True)
            continue
        print(f"{name}: {' | '.join(made[name])}", file=sys.stderr, flush=True)
    return made


def written(found: list[Case], made: Mapping[str, list[str]], notes: Notes) -> str:
    """The table, the reasons of refusals, and the CPU."""
    lines = [f"| artifact | {' | '.join(made)} |", f"|---|{'---|' * len(made)}"]
    lines += [f"| {case.title} | {' | '.join(row)} |" for case, *row in zip(found, *made.values(), strict=True)]
    bf16 = "with" if find_precision("bf16").cpu_computes() else "without"
    return "\n".join([*lines, "", *notes.lines(), "", f"CPU: {cpu_model()[0]}, {bf16} instructions for bf16."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", help="clients whose names contain this")
    parser.add_argument("--markdown", type=Path, help="write the table into this file, between its markers")
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    found, notes = cases(work), Notes()
    chosen = {name: client for name, client in CLIENTS.items() if (arguments.only or "") in name}
    made = columns(chosen, found, work, notes)
    table = written(found, made, notes)
    print(table)
    if arguments.markdown:
        if absent := CLIENTS.keys() - made.keys():
            sys.exit(f"error: {arguments.markdown} is unchanged: the table would lose {', '.join(sorted(absent))}")
        insert(arguments.markdown, table)
        write_bytes(SUPPORT, support(table))


SUPPORT = HERE.parents[1] / "toolkit" / "clients.json"
"""What `toolkit inspect` says of each precision."""


def support(table: str) -> bytes:
    """Whether each client takes each precision, as JSON, from the lines of the table."""
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if "|" in line)
    found = {title: dict(zip(head[1:], map(is_result, cells), strict=True)) for title, *cells in rows}
    chosen = {title: clients for title, clients in found.items() if title in get_args(Precision)}
    return msgspec.json.format(msgspec.json.encode(chosen), indent=2) + b"\n"


def is_result(cell: str) -> bool:
    """Whether a cell holds the difference of a picture, and neither a refusal nor garbage."""
    return cell.endswith("%") and int(cell.partition(",")[0]) <= WRONG


BEGIN, END = "<!-- table: validation/clients/table.py -->", "<!-- end of table -->"


def insert(path: Path, table: str) -> None:
    before, _, rest = path.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


if __name__ == "__main__":
    main()
