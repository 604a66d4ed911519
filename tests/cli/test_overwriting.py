"""Nothing that another job wrote is replaced unasked, and that is found out before any work."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from profile_reports import cell, report
from samples import checkpoint

import toolkit
from toolkit.artifact import Artifact
from toolkit.cli import _run
from toolkit.errors import InputError, OutputExists
from toolkit.graph.precision.convert import convert
from toolkit.graph.precision.options import ConvertOptions
from toolkit.pages.drawing import drawn
from toolkit.profiling.reporting.pages import write_pages
from toolkit.profiling.reporting.side_by_side import TitledReport
from toolkit.quality.budget import BUDGETS
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import build_script
from toolkit.system.atomic import check_outputs, numbered, release, reserve, reserve_numbered
from toolkit.workloads import Shape

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def copy(small_artifact: Artifact, tmp_path: Path) -> Artifact:
    """The small artifact in a directory of its own."""
    for path in (small_artifact.path, small_artifact.path.with_suffix(".json"), small_artifact.weights_path):
        shutil.copy(path, tmp_path)
    return Artifact.read(tmp_path / small_artifact.path.name)


def test_an_artifact_from_other_weights_stays(copy: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    before = copy.path.read_bytes()
    # The refusal comes before any work.
    monkeypatch.setattr("toolkit.graph.export.trace", lambda *_: pytest.fail("traced"))
    with pytest.raises(OutputExists, match="was created from other weights or with other options") as caught:
        toolkit.export(checkpoint(seed=1), directory=copy.path.parent)
    assert "--overwrite" in caught.value.remedy
    assert copy.path.read_bytes() == before
    # The same weights may be exported again, and others where that is asked for.
    for again, overwrite in ((checkpoint(), False), (checkpoint(seed=1), True)):
        with pytest.raises(pytest.fail.Exception, match="traced"):
            toolkit.export(again, directory=copy.path.parent, overwrite=overwrite)
    copy.path.with_suffix(".json").write_text("{}")
    with pytest.raises(OutputExists, match="its manifest cannot be read"):
        toolkit.export(checkpoint(), directory=copy.path.parent)


def test_a_conversion_with_other_options_stays(copy: Artifact) -> None:
    made = toolkit.convert(copy, "int8")
    before = made.path.read_bytes()
    other = ConvertOptions(exclude=("head",))
    for function in (toolkit.convert, convert):
        with pytest.raises(OutputExists, match="other options"):
            function(copy, "int8", other)
    assert made.path.read_bytes() == before
    assert convert(copy, "int8").path.read_bytes() == before
    assert convert(copy, "int8", other, overwrite=True).path.read_bytes() != before


def test_a_tuned_artifact_stays(copy: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = copy.path.with_name(copy.path.name.replace("fp32", "int8_tuned"))
    tuned.write_bytes(b"somebody's")
    monkeypatch.setattr("toolkit.quality.tuning.Bench.of", lambda *_: pytest.fail("measured"))
    with pytest.raises(OutputExists):
        toolkit.tune(copy, "int8", BUDGETS["int8"])
    with pytest.raises(pytest.fail.Exception, match="measured"):
        toolkit.tune(copy, "int8", BUDGETS["int8"], overwrite=True)


def test_files(tmp_path: Path) -> None:
    there, new = tmp_path / "there.html", tmp_path / "new.html"
    there.touch()
    check_outputs(None, new, Path("/dev/null"), overwrite=False)
    check_outputs(there, overwrite=True)
    with pytest.raises(OutputExists, match=r"there\.html exists"):
        check_outputs(None, new, there, overwrite=False)


def test_reports_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    assert numbered(path) == numbered(path, latest=True) == path
    path.touch()
    assert (numbered(path), numbered(path, latest=True)) == (tmp_path / "report-2.json", path)
    (tmp_path / "report-2.json").touch()
    assert (numbered(path).name, numbered(path, latest=True).name) == ("report-3.json", "report-2.json")


def test_concurrent_runs_get_different_numbers(tmp_path: Path) -> None:
    """Eight threads reserve at the same moment, five times each."""
    start = threading.Barrier(8)

    def several(_: int) -> list[Path]:
        start.wait()
        return [reserve_numbered(tmp_path / "report.json") for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        names = [path.name for paths in pool.map(several, range(8)) for path in paths]
    assert sorted(names) == sorted(["report.json", *(f"report-{number}.json" for number in range(2, 41))])
    with pytest.raises(OutputExists):
        reserve(tmp_path / "report-7.json")
    (tmp_path / "report-7.json").write_text("a report")
    for number in (6, 7):
        release(tmp_path / f"report-{number}.json")
    assert not (tmp_path / "report-6.json").exists()
    assert (tmp_path / "report-7.json").read_text() == "a report"


def test_the_commands(copy: Artifact, tmp_path: Path, toolkit_command: Command) -> None:
    for name in ("page.html", "page.md", "gen.py", "mine.json"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "report.json").write_text(report(cell("ort-cpu", 0.1)).to_json())
    for arguments in (
        ("report", "report.json", "--html", "page.html"),
        ("report", "report.json", "--markdown", "page.md"),
        ("profile", copy.path.name, "--output", "mine.json"),
        ("profile", copy.path.name, "--gen", "gen.py"),
        ("build", copy.path.name, "--runtime", "ort-cpu", "--gen", "gen.py"),
        ("compare", copy.path.name, copy.path.name, "--gen", "gen.py"),
        ("evaluate", copy.path.name, "--images", ".", "--html", "page.html"),
    ):
        refused = toolkit_command(*arguments, cwd=tmp_path)
        assert refused.returncode == 2, arguments
        assert f"{arguments[-1]} exists" in refused.stderr
        assert (tmp_path / arguments[-1]).read_text() == "mine"
    assert toolkit_command("report", "--html", "page.html", "--overwrite", cwd=tmp_path).returncode == 0
    assert "<html" in (tmp_path / "page.html").read_text()


def test_a_sound_bundle_with_other_options_stays(
    copy: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = (BuildOptions(shape=Shape(side, side)) for side in (8, 16))
    engine = toolkit.build(copy, "ort-cpu", small).engine
    before = engine.info
    monkeypatch.setattr("toolkit.runtimes.onnxruntime.runtime.OrtCpuRuntime._build", lambda *_: pytest.fail("built"))
    with pytest.raises(OutputExists, match="built with other options: shape 8x8") as caught:
        toolkit.build(copy, "ort-cpu", large)
    assert "--overwrite" in caught.value.remedy
    assert Engine.read(engine.path).info == before
    assert not toolkit.build(copy, "ort-cpu", small).fresh
    with pytest.raises(pytest.fail.Exception, match="built"):
        toolkit.build(copy, "ort-cpu", large, overwrite=True)
    # One that does not load here any more is of no use: whatever it was built for, it may be built again.
    monkeypatch.setattr("toolkit.runtimes.onnxruntime.runtime.OrtCpuRuntime.mismatch", lambda *_: "another version")
    with pytest.raises(pytest.fail.Exception, match="built"):
        toolkit.build(copy, "ort-cpu", large)


def test_a_bundle_of_another_artifact_stays(copy: Artifact, tmp_path: Path) -> None:
    toolkit.build(copy, "ort-cpu", directory=tmp_path / "engines")
    other = toolkit.export(checkpoint(seed=1), directory=tmp_path / "other")
    with pytest.raises(OutputExists, match="was built from another artifact"):
        toolkit.build(other, "ort-cpu", directory=tmp_path / "engines")


def test_a_folder_that_is_no_bundle_stays(copy: Artifact) -> None:
    mine = copy.path.with_name(f"{copy.manifest.name}.ort-cpu.engine")
    mine.mkdir()
    (mine / "letter.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputExists, match="is not an engine bundle"):
            toolkit.build(copy, "ort-cpu", overwrite=overwrite)
    assert (mine / "letter.txt").read_text() == "mine"


def test_the_functions(copy: Artifact, tmp_path: Path) -> None:
    """The rule holds for those who call Python, too."""
    path = tmp_path / "there.svg"
    path.write_text("mine")
    measured = report(cell("ort-cpu", 0.1))
    pages = [TitledReport("a", measured)]
    calls: tuple[Callable[..., object], ...] = (
        lambda **how: write_pages(pages, path, **how),
        lambda **how: write_pages(pages, None, path, **how),
        lambda **how: build_script(copy, "ort-cpu", path=path, **how),
        lambda **how: _draw(path, **how),
    )
    for call in calls:
        with pytest.raises(OutputExists, match=r"there\.svg exists"):
            call()
        assert path.read_text() == "mine"
        call(overwrite=True)
        assert path.read_text() != "mine"
        path.write_text("mine")
    saved = tmp_path / "there.json"
    saved.write_text("mine")
    for refused in (
        lambda: toolkit.profile([copy], ["ort-cpu"], output=saved),
        lambda: toolkit.evaluate([toolkit.Subject(copy, "ort-cpu")], [tmp_path], toolkit.EvaluateOptions(page=path)),
    ):
        with pytest.raises(OutputExists, match=r"there\.(svg|json) exists"):
            refused()
    assert path.read_text() == saved.read_text() == "mine"
    assert not list(tmp_path.glob(".*"))


def _draw(path: Path, *, overwrite: bool = False) -> None:
    """What `plot_curve`, `plot_layers` and the plot of an ablation are drawn with."""
    with drawn(path, overwrite=overwrite) as axes:
        axes.plot([0, 1])


def test_a_report_is_not_replaced_by_its_page(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("measurements")
    with pytest.raises(InputError, match=r"report\.json does not have a supported suffix"):
        _run(["report", str(path), "--html", str(path), "--overwrite"])
    assert path.read_text() == "measurements"


def test_a_file_named_as_standard_output_is_not_in_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-").touch()
    check_outputs(Path("-"), overwrite=False)
    with pytest.raises(OutputExists):
        check_outputs(Path("./other").with_name("-").resolve(), overwrite=False)
