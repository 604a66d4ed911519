"""Operations, bytes and ceilings, against other ways to count them."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from samples import SMALL

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.graph.analysis.work import Work, count_work
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.convert import convert
from toolkit.network.architectures.rt4ksr.presets import PRESETS
from toolkit.network.checkpoint import untrained_checkpoint
from toolkit.network.complexity import complexity
from toolkit.profiling.measuring import roofline as module
from toolkit.profiling.measuring.environment import environment
from toolkit.profiling.measuring.roofline import ceilings, roofline
from toolkit.runtimes.pytorch import ceilings as torch_ceilings
from toolkit.system.hardware import Ceiling
from toolkit.system.isolated import Ended
from toolkit.workloads import Shape

SHAPE = Shape(24, 32)


def test_multiply_adds_are_pytorchs(small_artifact: Artifact) -> None:
    """PyTorch counts them by running the network, whose unshuffle and first conv are one convolution in the graph."""
    assert count_work(small_artifact, SHAPE).multiply_adds == complexity(SMALL, SHAPE).multiply_adds


def test_bytes_are_the_frames_and_the_weights(small_artifact: Artifact, tmp_path: Path) -> None:
    pixels = SHAPE.height * SHAPE.width
    work = count_work(small_artifact, SHAPE)
    frames = 3 * pixels * (1 + 4)  # x2: the output has four times as many pixels
    assert work.least_bytes == 4 * frames + work.weight_bytes
    assert work.weight_bytes < small_artifact.manifest.onnx_bytes
    assert work.operations == 2 * work.multiply_adds + work.elementwise
    fp16 = count_work(convert(small_artifact, "fp16", directory=tmp_path), SHAPE)
    assert fp16.multiply_adds == work.multiply_adds
    assert fp16.weight_bytes < 0.6 * work.weight_bytes


def test_odd_and_static_sizes_are_counted_as_they_run(small_artifact: Artifact) -> None:
    assert count_work(small_artifact, Shape(23, 31)) == count_work(small_artifact, SHAPE)


WORK = Work(multiply_adds=1000, elementwise=0, least_bytes=200, weight_bytes=0)
CEILING = Ceiling("cpu", 100.0, {"fp32": 1000.0, "bf16": 10_000.0}, "")


def test_the_roofline_is_the_slower_of_arithmetic_and_memory() -> None:
    limited = roofline(WORK, {"fp32": 3}, 4.0, [CEILING])
    assert limited is not None
    assert (limited.limited_by, limited.bound_seconds, limited.share) == ("memory", 2.0, 0.5)
    slow = msgspec.structs.replace(CEILING, multiply_adds_per_second={"fp32": 250.0})
    limited = roofline(WORK, {"fp32": 3, "uint8": 1}, 4.0, [slow])
    assert limited is not None
    assert (limited.limited_by, limited.bound_seconds, limited.share) == ("arithmetic", 4.0, 1.0)
    fewer = msgspec.structs.replace(WORK, avoided=600)
    limited = roofline(fewer, {"fp32": 3}, 4.0, [slow])
    assert limited is not None
    assert (limited.limited_by, limited.bound_seconds) == ("memory", 2.0), "400 multiply-adds take 1.6 s"
    assert roofline(WORK, {"int8": 3}, 4.0, [CEILING]) is None
    assert roofline(WORK, {"fp32": 3}, 4.0, []) is None


def test_ceilings_are_measured_once_and_only_get_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    measured = iter([(CEILING,), (Ceiling("cpu", 50.0, {"fp32": 2000.0}, ""),)])
    monkeypatch.setattr(module, "_measured", lambda *_: next(measured))
    here = environment()
    assert ceilings(here, 2, (0,)) == (CEILING,)
    assert ceilings(here, 2, (0,)) == (CEILING,)
    (better,) = ceilings(here, 2, (0,), again=True)
    assert (better.bytes_per_second, better.multiply_adds_per_second["fp32"]) == (100.0, 2000.0)
    assert ceilings(here, 2, (0,)) == (better,)


def test_a_measurement_of_ceilings_is_announced_and_a_cached_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    told: list[str] = []

    def measured(*_: object) -> tuple[Ceiling, ...]:
        assert len(told) == 1  # before the measurement, not after it
        return (CEILING,)

    monkeypatch.setattr(module, "_measured", measured)
    for _ in range(2):
        ceilings(environment(), 2, (0,), notify=told.append)
    assert len(told) == 1
    assert "once per machine" in told[0]


@pytest.mark.parametrize(
    ("ended", "message"),
    [
        (Ended("crashed", "", "SIGSEGV"), "could not be measured: SIGSEGV"),
        (Ended("late", "", "it did not answer"), "was not measured within 180 s"),
        (Ended("done", "[{}]", ""), "could not be measured: Object missing required field"),
    ],
)
def test_a_failed_measurement_of_ceilings_is_an_error(
    ended: Ended, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "run_isolated", lambda *_, **__: ended)
    with pytest.raises(InputError, match=message) as caught:
        ceilings(environment(), 2, ())
    assert "--no-roofline" in caught.value.remedy


@pytest.mark.slow
def test_ceilings_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of them but that every processor of today does a billion multiply-adds in a second."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    processor = ceilings(environment(), 1, ())[0]
    assert processor.device == "cpu"
    assert processor.bytes_per_second > 1e8
    assert processor.multiply_adds_per_second["fp32"] > 1e9


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["rt4ksr", "rt4ksr-xl"])
def test_multiply_adds_of_presets(preset: str, tmp_path: Path) -> None:
    made = export(untrained_checkpoint(2, preset=preset), ExportOptions(), tmp_path)
    assert count_work(made, SHAPE).multiply_adds == complexity(PRESETS[preset], SHAPE).multiply_adds


def test_an_arithmetic_that_pytorch_only_emulates_is_no_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """int8 without VNNI: the large product would take minutes, and is never started."""
    sides: list[int] = []

    def product(_precision: str, side: int, _device: str) -> Callable[[], object]:
        def run() -> None:
            sides.append(side)
            time.sleep(0.02)

        return run

    monkeypatch.setattr(torch_ceilings, "_product", product)
    assert torch_ceilings._rate("int8", "cpu") is None
    assert set(sides) == {256}


def test_float32_has_a_ceiling_however_busy_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one every share of the roofline would be missing, and stay so: ceilings are kept."""
    monkeypatch.setattr(torch_ceilings, "_product", lambda *_: lambda: time.sleep(0.02))
    monkeypatch.setattr(torch_ceilings, "_convolution_rate", lambda _dtype: 5e9)
    monkeypatch.setattr(torch_ceilings, "_SECONDS", 0.05)
    rate = torch_ceilings._rate("fp32", "cpu")
    assert rate is not None
    assert 5e9 < rate <= 2048**3 / 0.02
