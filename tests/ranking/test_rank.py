"""`rank`: figures against closed forms, lanes that cannot run, refusals, and interrupted runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from media.nearest import lowering_artifact, nearest_artifact
from numpy.typing import NDArray
from photographs import picture
from PIL import Image
from samples import network as random_network
from samples import save_safetensors

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import CheckFailed, InputError, OutputExists
from toolkit.images.resizing import downscaled
from toolkit.manifest_parts import Network
from toolkit.profiling.reporting.reading import read_report
from toolkit.quality.data import Degradation
from toolkit.quality.pairs import PairList
from toolkit.quality.scores import score
from toolkit.ranking import lanes as lanes_module
from toolkit.ranking.lanes import Named, lanes_of, read_networks
from toolkit.ranking.ranking import common_workload
from toolkit.ranking.report import BICUBIC, RankingReport, Row, ordered
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import build, graph_runtimes
from toolkit.runtimes.subject import Subject
from toolkit.system.progress import Progress, no_progress
from toolkit.workloads import Shape

pytestmark = pytest.mark.usefixtures("forked_workers")

AT = "24x16"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two originals, in two sets."""
    directory = tmp_path_factory.mktemp("images")
    for name, size in (("one/a.png", (48, 40)), ("two/b.png", (40, 56))):
        (directory / name).parent.mkdir()
        Image.fromarray(picture(*size)).save(directory / name)
    return directory


@pytest.fixture(scope="module")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return nearest_artifact(tmp_path_factory.mktemp("nearest"))


@pytest.fixture(scope="module")
def ranked(nearest: Artifact, small_artifact: Artifact, images: Path) -> RankingReport:
    sets = [images / "one", images / "two"]
    return toolkit.rank([nearest, small_artifact], sets, AT, ["ort-cpu", "tensorrt"], duration=0.02, threads=1)


def row_of(report: RankingReport, network: str, runtime: str) -> Row:
    (row,) = (row for row in report.rows if (row.network, row.runtime) == (network, runtime))
    return row


def psnr_y(image: NDArray[np.uint8], original: NDArray[np.uint8]) -> float:
    """Of luma as in MATLAB's rgb2ycbcr, without a border of 2 pixels."""
    weights = np.array([65.481, 128.553, 24.966]) / 255
    one, other = (pixels[2:-2, 2:-2].astype(np.float64) @ weights for pixels in (image, original))
    return 10 * math.log10(255**2 / float(((one - other) ** 2).mean()))


def test_figures_are_those_of_the_networks(ranked: RankingReport, nearest: Artifact, images: Path) -> None:
    originals = [np.asarray(Image.open(images / name)) for name in ("one/a.png", "two/b.png")]
    small = [downscaled(pixels, 2) for pixels in originals]
    repeated = [psnr_y(low.repeat(2, 0).repeat(2, 1), high) for low, high in zip(small, originals, strict=True)]
    smooth = [
        np.asarray(Image.fromarray(low).resize(high.shape[1::-1], Image.Resampling.BICUBIC))
        for low, high in zip(small, originals, strict=True)
    ]
    baseline = [psnr_y(pixels, high) for pixels, high in zip(smooth, originals, strict=True)]
    row, bicubic = row_of(ranked, "nearest_x2_fp32", "ort-cpu"), row_of(ranked, BICUBIC, "Pillow")
    assert row.psnr_y == pytest.approx(np.mean(repeated), abs=1e-9)
    assert bicubic.psnr_y == pytest.approx(np.mean(baseline), abs=1e-9)
    assert row.gain == pytest.approx(np.mean(repeated) - np.mean(baseline), abs=1e-9)
    assert [(one.name, one.images) for one in row.sets] == [("one", 1), ("two", 1)]
    assert [one.mean.psnr_y for one in row.sets] == pytest.approx(repeated, abs=1e-9)
    assert row.multiply_adds == 3 * 12 * 16 * 24  # a 1x1 convolution from 3 to 12 channels
    assert (row.parameters, row.arithmetic, row.sha256) == (0, ("fp32",), nearest.manifest.onnx_sha256)
    assert row.median is not None
    assert row.gain_per_millisecond == row.gain / (1000 * row.median)
    assert row.peak_bytes is not None
    assert (bicubic.gain, bicubic.precision, bicubic.gain_per_millisecond) == (0, None, 0)
    assert bicubic.median is not None
    assert (ranked.given, ranked.returned, ranked.images, ranked.border) == ((16, 24), (32, 48), 2, 2)


def test_a_runtime_that_is_not_there_says_why(ranked: RankingReport) -> None:
    for name in ("nearest_x2_fp32", "rt4ksr_x2_c6b2_fp32"):
        row = row_of(ranked, name, "tensorrt")
        assert "no NVIDIA driver" in row.reason
        assert (row.median, row.psnr_y, row.quality_reason, row.failed) == (None, None, "", False)
    assert not ranked.complete
    assert [row.runtime for row in ranked.rows][-2:] == ["tensorrt"] * 2
    document = json.loads(ranked.to_json())
    assert document["rows"][0]["gain_per_millisecond"] == ranked.rows[0].gain_per_millisecond


def synthetic(gain: float | None, median: float | None) -> Row:
    return Row("a", "b", "fp32", gain=gain, median=median)


def test_the_order_and_the_frontier() -> None:
    found = ordered(
        [
            synthetic(None, 0.1),
            synthetic(1.0, 0.5),  # as good as the next, and slower
            synthetic(1.0, 0.4),
            synthetic(1.00004, 0.45),  # better by rounding only
            synthetic(2.0, 2.0),
            synthetic(0.5, 1.0),  # worse and slower
            synthetic(-1.0, 0.2),
            synthetic(3.0, None),
        ]
    )
    assert [(row.gain, row.median, row.frontier) for row in found] == [
        (3.0, None, False),
        (2.0, 2.0, True),
        (1.0, 0.4, True),
        (1.00004, 0.45, False),
        (1.0, 0.5, False),
        (0.5, 1.0, False),
        (-1.0, 0.2, True),
        (None, 0.1, False),
    ]


@pytest.fixture(scope="module")
def x3(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return nearest_artifact(tmp_path_factory.mktemp("x3"), 3)


def test_only_what_does_the_same_is_compared(nearest: Artifact, x3: Artifact) -> None:
    two, three = Named("two", nearest), Named("three", x3)
    assert common_workload([two, two], None).name == "1080p-4k"
    assert common_workload([three], None).name == "720p-4k"
    assert common_workload([three], "64x48").shape == Shape(48, 64)
    with pytest.raises(InputError, match=r"two upscales x2, and three x3: .* do not reach the same size"):
        common_workload([two, three], "64x48")
    with pytest.raises(InputError, match="three upscales x3, and 1080p-4k needs x2") as caught:
        common_workload([three], "1080p-4k")
    assert "--at 720p-4k" in caught.value.remedy
    fixed = replace(nearest, manifest=msgspec.structs.replace(nearest.manifest, shape=(16, 24)))
    assert common_workload([two, Named("fixed", fixed)], AT).shape == Shape(16, 24)
    with pytest.raises(InputError, match="fixed takes only 24x16, and 64x48 has 64x48"):
        common_workload([two, Named("fixed", fixed)], "64x48")
    five = replace(nearest, manifest=msgspec.structs.replace(nearest.manifest, network=_scaled(nearest, 5)))
    with pytest.raises(InputError, match="no 4K workload for x5"):
        common_workload([Named("five", five)], None)


def _scaled(artifact: Artifact, scale: int) -> Network:
    return msgspec.structs.replace(artifact.manifest.network, scale=scale)


def test_bad_input(nearest: Artifact, images: Path, tmp_path: Path) -> None:
    for networks, options, words in (
        ([], {}, "nothing to rank"),
        ([nearest], {"runtimes": ["ort-cup"]}, "no runtime 'ort-cup'"),
        ([f"{nearest.path}@simulated"], {}, "no runtime 'simulated'"),
        ([nearest], {"resume": True}, "only a ranking with an output"),
        ([nearest], {"at": "8k"}, "no workload '8k'"),
        ([nearest], {"border": -1}, "must not be negative"),
        ([Subject(nearest, "torch", lowered_to="fp16")], {}, "lowered by its runtime"),
    ):
        with pytest.raises(InputError, match=words):
            toolkit.rank(networks, [images], **({"at": AT} | options))
    for name in ("there.json", "there.profile.json"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(OutputExists, match=name):
            toolkit.rank([nearest], [images], AT, output=tmp_path / "there.json")
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()


def test_what_names_a_network(nearest: Artifact, tmp_path: Path) -> None:
    """Checkpoints are exported; names are unique; a runtime that was named is kept."""
    (tmp_path / "other").mkdir()
    copy = nearest_artifact(tmp_path / "other")
    weights = save_safetensors(tmp_path / "mine.safetensors", random_network())
    given = [nearest, copy, f"{weights}@ort-cpu", toolkit.load_checkpoint(weights), Subject(nearest, "openvino")]
    found = read_networks(given, tmp_path / "scratch", no_progress)
    assert [item.name for item in found] == [
        str(nearest.path),
        str(copy.path),
        str(weights),
        "mine (4)",
        "nearest_x2_fp32 (5)",
    ]
    assert [item.runtime for item in found] == [None, None, "ort-cpu", None, "openvino"]
    exported = [item.source for item in found[2:4]]
    assert {item.manifest.name for item in exported} == {"mine_fp32"}
    assert exported[0].manifest.source.weights_sha256 == exported[1].manifest.source.weights_sha256
    (alone,) = read_networks([weights], tmp_path / "again", no_progress)
    assert alone.name == "mine"


def test_lanes(small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fp32 networks in every precision that is asked for, others in their own; a failed conversion is a reason."""
    lowered = toolkit.convert(small_artifact, "fp16", directory=tmp_path, allow_worse_than_bicubic=True)
    real = lanes_module.convert

    def convert(artifact: Artifact, precision: str, **options: object) -> Artifact:
        if precision == "int8":
            raise CheckFailed("int8 is worse than ever")
        return real(artifact, precision, **options)

    monkeypatch.setattr(lanes_module, "convert", convert)
    networks = [Named("a", small_artifact), Named("b", lowered), Named("c", small_artifact, "openvino")]
    found = lanes_of(networks, ["ort-cpu", "native"], ["fp32", "bf16", "int8"], 1, tmp_path, no_progress)
    assert [(lane.network, lane.runtime, lane.precision) for lane in found] == [
        *(("a", runtime, precision) for precision in ("fp32", "bf16", "int8") for runtime in ("ort-cpu", "native")),
        *(("b", runtime, "fp16") for runtime in ("ort-cpu", "native")),
        *(("c", "openvino", precision) for precision in ("fp32", "bf16", "int8")),
    ]
    assert {lane.obstacle for lane in found if lane.subject is None} == {"int8 is worse than ever"}
    assert [lane.demanded for lane in found] == [False] * 8 + [True] * 3
    assert [lane.subject.precision for lane in found if lane.subject is not None][2:4] == ["bf16", "bf16"]


def test_the_graph_runtimes_run_graphs() -> None:
    assert {"ort-cpu", "openvino", "native", "tensorrt"} <= set(graph_runtimes())
    assert not [name for name in graph_runtimes() if name.startswith("torch")]


def test_an_engine_for_one_size(nearest: Artifact, images: Path, tmp_path: Path) -> None:
    """Its quality is that of the artifact beside it; without one there is none."""
    beside = nearest_artifact(tmp_path)
    engine = build(beside, "openvino", BuildOptions(shape=Shape(16, 24), threads=1)).engine
    report = toolkit.rank([nearest, engine], [images], AT, ["ort-cpu"], duration=0.02, threads=1)
    row, other = (
        row_of(report, engine.path.name.removesuffix(".engine"), "openvino"),
        row_of(report, nearest.manifest.name, "ort-cpu"),
    )
    assert (row.judged_on, row.demanded) == ("simulated", True)
    assert row.psnr_y == pytest.approx(other.psnr_y, abs=1e-6)
    assert row.median is not None
    beside.path.unlink()
    (lane,) = lanes_of([Named("engine", Engine.read(engine.path))], [], ["fp32"], 1, tmp_path, no_progress)
    assert lane.judged is None


def test_an_engine_for_any_size_runs_at_the_workload(nearest: Artifact, images: Path, tmp_path: Path) -> None:
    engine = build(nearest, "ort-cpu", BuildOptions(threads=1), tmp_path).engine
    report = toolkit.rank([engine], [images], AT, duration=0.02, threads=1)
    row = report.rows[-1] if report.rows[0].is_bicubic else report.rows[0]
    assert row.reason == row.judged_on == ""
    assert row.psnr_y is not None


def test_same_size_networks(tmp_path: Path) -> None:
    """At x1 bicubic is the input itself, and takes no time."""
    for side, pixels in (("HR", picture(40, 48)), ("LR", np.concatenate([picture(40, 48)[1:], picture(40, 48)[-1:]]))):
        (tmp_path / side).mkdir()
        Image.fromarray(pixels).save(tmp_path / side / "a.png")
    networks = [lowering_artifact(tmp_path / "networks"), nearest_artifact(tmp_path / "networks", 1)]
    report = toolkit.rank(networks, [tmp_path], AT, ["ort-cpu"], duration=0.02, threads=1)
    lowering, *rest = report.rows
    assert (lowering.network, lowering.psnr_y) == ("lowering_x1_fp32", 100.0)
    assert {row.network for row in rest} == {BICUBIC, "nearest_x1_fp32"}
    assert rest[0].psnr_y == pytest.approx(rest[1].psnr_y, abs=1e-12)
    assert row_of(report, BICUBIC, "Pillow").median is None


def test_a_network_that_fails_costs_its_row(nearest: Artifact, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = PairList.found([images], 2)
    broken = Subject(nearest, "openvino", 1)
    monkeypatch.setattr("toolkit.runtimes.openvino.runtime.OpenVinoRuntime._load", lambda *_: 1 / 0)
    found = score([broken, Subject(nearest, "ort-cpu", 1)], pairs, Degradation())
    failed, good = found.subjects
    assert (failed.failed, failed.mean) == (True, None)
    assert "division by zero" in failed.reason
    assert "ZeroDivisionError" in failed.traceback
    assert good.mean is not None
    with pytest.raises(InputError, match="upscales x2, and the images are for x3"):
        score([broken], PairList.found([images], 3), Degradation())


def test_an_interrupted_run_continues(nearest: Artifact, images: Path, tmp_path: Path) -> None:
    output, times = tmp_path / "ranking.json", tmp_path / "ranking.profile.json"
    networks = [f"{nearest.path}@ort-cpu", f"{nearest.path}@openvino"]

    def run(progress: Callable[[Progress], None] = no_progress, **how: bool) -> RankingReport:
        return toolkit.rank(networks, [images], AT, duration=0.05, threads=1, output=output, progress=progress, **how)

    def interrupt(progress: Progress) -> None:
        if progress.fraction is not None and progress.fraction > 0.75:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(interrupt)
    assert not output.exists()
    begun = read_report(times)
    assert not begun.complete
    blocks = [cell.blocks for cell in begun.cells]
    assert any(blocks)
    report = run(resume=True)
    assert [cell.blocks[: len(before)] for cell, before in zip(read_report(times).cells, blocks, strict=True)] == blocks
    assert json.loads(output.read_text()) == json.loads(report.to_json())
    assert all(row.median is not None for row in report.rows)
    with pytest.raises(OutputExists):
        run()
