"""What a profile measures besides frame times: boundaries, streams, layers, builds; scripts; going on after a stop."""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
from profile_reports import cell, quick_profile, report

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.profiling import profile as module
from toolkit.profiling.measuring.client import crash_summary
from toolkit.profiling.measuring.messages import Boundary
from toolkit.profiling.measuring.schedule import MINIMUM_ROUNDS
from toolkit.profiling.options import ProfileOptions
from toolkit.profiling.reporting.report import CellReport
from toolkit.profiling.resume import earlier_measurements
from toolkit.profiling.script import profile_script
from toolkit.runtimes.layers import LayerClock, nodes_in
from toolkit.system.progress import Progress

pytestmark = pytest.mark.usefixtures("forked_workers")

quick = partial(quick_profile, duration=0.02, workloads=["32x24"])


def measured(found: toolkit.ProfileReport, runtime: str) -> CellReport:
    return next(cell for cell in found.cells if cell.runtime == runtime)


@pytest.mark.parametrize("boundary", ["compute", "image"])
def test_every_boundary_is_measured(boundary: Boundary, small_artifact: Artifact) -> None:
    found = quick([small_artifact], ["ort-cpu", "openvino"], boundary=boundary)
    assert found.boundary == boundary
    assert all(cell.statistics is not None for cell in found.cells)


@pytest.mark.parametrize("runtime", ["torch", "ort-cpu", "openvino"])
def test_what_was_placed_is_computed(runtime: str, small_artifact: Artifact) -> None:
    session = toolkit.load_session(small_artifact, runtime)
    session.bind(toolkit.Shape(9, 8))
    with pytest.raises(InputError, match="no frame yet"):
        session.compute()
    frames = np.random.default_rng(0).random((2, 1, 3, 9, 8)).astype(np.float32)
    wanted = session.run(frames[0]).copy()
    session.run(frames[1])
    session.place(frames[0])
    session.compute()
    assert session.stages() is None
    np.testing.assert_array_equal(session.run(frames[0]), wanted)


def test_streams_layers_and_builds(small_artifact: Artifact) -> None:
    found = quick([small_artifact], ["ort-cpu", "openvino"], streams=2, per_layer=True, builds=2)
    for runtime in ("ort-cpu", "openvino"):
        cell = measured(found, runtime)
        assert cell.throughput is not None
        assert cell.throughput.streams == 2
        assert cell.throughput.frames_per_second > 0
        nodes = [node for layer in cell.layers for node in layer.nodes]
        # Every convolution is found again, whatever the runtime made of its name. The last one is fused with the limit
        # of the output, by whose name ONNX Runtime calls both.
        assert {"head", "body.0.conv", "body.1.conv", "tail.conv"} <= set(nodes)
        assert {"upsample", "output.clamp"} & set(nodes)
        assert all(layer.seconds >= 0 for layer in cell.layers)
        assert len(cell.builds) == 2
        assert cell.builds[0].difference == 0
        assert cell.builds[1].difference < 1e-5
    unfused = measured(found, "torch-unfused")
    assert unfused.builds_note == "builds no engines"
    assert any("body.0.conv" in layer.name for layer in unfused.layers)


def test_names_of_layers_are_taken_apart() -> None:
    known = ("head", "head.0", "body.1.norm.mean", "body.1.norm.mean_1", "body.1.conv", "body.1.gelu")
    assert nodes_in("head_nchwc", known) == ("head",)
    assert nodes_in("ahead", known) == ()
    assert nodes_in("body.1.norm.mean_1", known) == ("body.1.norm.mean_1",)
    assert nodes_in("body.1.conv + PWN(body.1.gelu)", known) == ("body.1.conv", "body.1.gelu")


def test_layers_are_means_without_the_first_frame() -> None:
    clock = LayerClock()
    for frame in range(3):
        for _ in range(2):  # twice in a frame
            clock.note("conv", "Conv", 100.0 if frame == 0 else frame)
    (layer,) = clock.layers(2, lambda name: (name,))
    assert (layer.seconds, layer.kind, layer.nodes) == (3.0, "Conv", ("conv",))


_TRACE = """\
Fatal Python error: Segmentation fault

Thread 0x1 (most recent call first):
  File "a/wait.py", line 1 in wait

Current thread 0x2 (most recent call first):
  File "/b/engine.py", line 20 in run
  File "c.py", line 3 in main

Extension modules: numpy (total: 1)
"""


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("", "nothing on stderr"),
        ("one\ntwo\n", "two"),
        ("Fatal Python error: Aborted\n", "Fatal Python error: Aborted"),
        (
            _TRACE,
            "Fatal Python error: Segmentation fault, at engine.py:20 in run",
        ),
    ],
)
def test_crash_summary(text: str, summary: str) -> None:
    assert crash_summary(text) == summary


class Stopped(Exception):
    pass


def test_an_interrupted_run_is_gone_on_with(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "report.json"
    rounds = 0

    def stop(progress: Progress) -> None:
        nonlocal rounds
        rounds += progress.activity == "measuring"
        if rounds == 5:  # in the third round of two cells
            raise Stopped

    again = partial(quick, [small_artifact], ["ort-cpu"], output=output)
    with pytest.raises(Stopped):
        again(progress=stop)
    kept = toolkit.read_report(output)
    assert not kept.complete
    assert [len(cell.blocks) for cell in kept.cells] == [2, 2]
    assert [cell.finished for cell in kept.cells] == [False, False]

    done = again(resume=True)
    assert done.complete
    assert done.begun == kept.begun
    for before, after in zip(kept.cells, done.cells, strict=True):
        assert after.blocks[:2] == before.blocks
        assert [block.round for block in after.blocks] == list(range(1, len(after.blocks) + 1))
        assert len(after.blocks) >= MINIMUM_ROUNDS
        assert after.speed_up is not None
    assert toolkit.read_report(output) == done

    # All is known now: nothing is measured again.
    monkeypatch.setattr(module, "measure", lambda requests, *_, **__: [] if not requests else pytest.fail("again"))
    assert again(resume=True).cells == done.cells
    with pytest.raises(InputError, match="boundary host, not compute"):
        again(resume=True, boundary="compute")
    with pytest.raises(InputError, match="has other configurations"):
        toolkit.profile([small_artifact], ["openvino"], ["32x24"], output=output, resume=True)


def test_a_failed_run_leaves_no_report_and_no_reservation(small_artifact: Artifact, tmp_path: Path) -> None:
    output = tmp_path / "report.json"

    def fail(*_: object) -> None:
        assert output.read_bytes() == b""  # reserved before anything is measured
        raise Stopped

    with pytest.raises(Stopped):
        quick([small_artifact], ["ort-cpu"], output=output, progress=fail)
    assert not output.exists()


def test_a_report_is_a_json_file(small_artifact: Artifact, tmp_path: Path) -> None:
    for name in ("rep", "rep.txt"):
        with pytest.raises(InputError, match=rf"{name} must be a \.json file"):
            quick([small_artifact], ["ort-cpu"], output=tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_failed_is_tried_again() -> None:
    ran = cell("ort-cpu", 0.5)
    failed = msgspec.structs.replace(cell("openvino", 0.4), statistics=None, blocks=(), reason="signal 11")
    old = report(ran, failed)
    finished, begun = earlier_measurements(old, [ran, failed], old.settings, old.environment)
    assert finished == [ran, None]
    assert begun == [None, None]


@pytest.mark.parametrize("runtime", ["ort-cpu", "openvino"])
def test_a_script_times_a_cell_without_the_toolkit(runtime: str, small_artifact: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "cell.py"
    text = profile_script([small_artifact], [runtime], ["32x24"], options=ProfileOptions(0.02, 1), path=path)
    assert "toolkit" not in re.sub(r'""".*?"""', "", text, count=1, flags=re.DOTALL)
    done = subprocess.run([sys.executable, path, "--save", tmp_path / "out.npy"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ frames after \d+: median \d+\.\d+ ms", done.stdout)
    assert np.load(tmp_path / "out.npy").shape == (1, 3, 48, 64)


@pytest.mark.parametrize(
    ("runtimes", "options", "message"),
    [
        (["ort-cpu", "openvino"], {}, "2 are selected"),
        (["torch"], {}, "no scripts for torch"),
        (["ort-cpu"], {"boundary": "image"}, "no scripts for the boundary image"),
        (["tensorrt"], {"boundary": "compute"}, "copies every frame"),
    ],
)
def test_what_has_no_script(
    runtimes: list[str], options: dict[str, Boundary], message: str, small_artifact: Artifact
) -> None:
    with pytest.raises(InputError, match=message):
        profile_script([small_artifact], runtimes, ["32x24"], options=ProfileOptions(**options))
