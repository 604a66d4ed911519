"""Sizes that a person types and reads are WIDTHxHEIGHT, and repeated in words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from profile_reports import cell, report

import toolkit
from toolkit.artifact import Artifact
from toolkit.media.target import Target
from toolkit.workloads import Shape

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_an_engine_is_built_as_wide_as_was_typed(
    small_artifact: Artifact, tmp_path: Path, toolkit_command: Command
) -> None:
    build = ("build", small_artifact.path, "--runtime", "openvino", "--shape", "40x16", "-o", tmp_path)
    built = toolkit_command(*build)
    assert built.returncode == 0, built.stderr
    assert "input size: 40x16 (40 wide, 16 high)" in built.stdout
    engine = toolkit.Engine.read(tmp_path / f"{small_artifact.manifest.name}.openvino.engine")
    assert engine.built_for == Shape(height=16, width=40)
    assert "--shape 40x16" in engine.rebuild_command
    listed = toolkit_command("build", "--list", "-o", tmp_path)
    assert "40x16 (40 wide, 16 high)" in listed.stdout
    assert json.loads(toolkit_command("build", "--list", "-o", tmp_path, "--json").stdout)[0]["shape"] == [16, 40]


def test_a_box_is_typed_either_way() -> None:
    """Portraits are turned, whichever way the box was typed."""
    for text in ("3840x2160", "2160x3840", "4k"):
        target = Target.of(None, text)
        assert target.box == Shape(height=2160, width=3840)
        assert target.result(Shape(height=1080, width=1920))[1] == Shape(height=2160, width=3840)
        assert target.result(Shape(height=1920, width=1080))[1] == Shape(height=3840, width=2160)


def test_profiles_of_schema_2_had_the_height_first(tmp_path: Path) -> None:
    new = report(cell("ort-cpu", 0.1, workload="32x24"), cell("openvino", 0.1, workload="1080p-4k"))
    document = json.loads(new.to_json())
    document["schema"] = 2
    document["cells"][0]["workload"] = "24x32"
    (tmp_path / "old.json").write_text(json.dumps(document))
    old = toolkit.read_report(tmp_path / "old.json")
    assert [item.workload for item in old.cells] == ["32x24", "1080p-4k"]
    assert msgspec.structs.replace(old, schema=new.schema) == new
    document["cells"] = 7
    (tmp_path / "broken.json").write_text(json.dumps(document))
    with pytest.raises(toolkit.InputError, match="is not a profile report"):
        toolkit.read_report(tmp_path / "broken.json")
