"""Manifests: what schema 1 wrote as sentences is read as typed facts, and what is written is read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from toolkit.artifact import Artifact, decode_manifest, encode
from toolkit.checks import Check, Limits, Spent, Verdict
from toolkit.conversion import CurveCost
from toolkit.errors import ArtifactError
from toolkit.quality.verdict import record_verdict


def named(name: str, measured: float = 0.1, bound: float = 0.2) -> dict[str, Any]:
    return {"name": name, "measured": measured, "bound": bound, "passed": measured <= bound}


def budget(where: str, spent: float) -> list[dict[str, Any]]:
    """The three checks that schema 1 wrote for a verdict."""
    return [
        named(f"budget on {where}: share of the mean gain spent", spent, 0.1),
        named(f"budget on {where}: worst image, share of the mean gain", 0.2, 0.3),
        named(f"budget on {where}: worst patch, grey levels from fp32", 1.5, 4.0),
    ]


def old_manifest(artifact: Artifact, path: Path, checks: list[dict[str, Any]], curve_cost: str | None = None) -> Path:
    """The manifest of an artifact as schema 1 had it, with these checks."""
    document = json.loads(encode(artifact.manifest))
    document |= {"schema": 1, "checks": checks}
    del document["verdicts"]
    if curve_cost is not None:
        document["conversion"] = {"parent_sha256": "0" * 64, "curve_cost": curve_cost}
    path.write_text(json.dumps(document))
    return path


def test_names_of_schema_1_become_facts(small_artifact: Artifact, tmp_path: Path) -> None:
    names = [
        "fusion: body.0.conv",
        "stored weights: tail.conv",
        "graph: onnxsim",
        "graph: unshuffle + conv as one 6x6 conv",
        "graph: uint8 at both ends, share of values off by one",
        "graph: fixed size (at 24x25)",
        "graph: uint8 at both ends, share of values off by one (at 24x25)",
        "int8 against float64, largest error",
        "bf16 against float64, mean error",
    ]
    manifest = decode_manifest(old_manifest(small_artifact, tmp_path / "a.json", [named(name) for name in names]))
    assert manifest.schema == 2
    assert manifest.checks == (
        Check.of("fusion", "body.0.conv", 0.1, 0.2),
        Check.of("stored weights", "tail.conv", 0.1, 0.2),
        Check.of("graph", "onnxsim", 0.1, 0.2),
        Check.of("graph", "unshuffle + conv as one 6x6 conv", 0.1, 0.2),
        Check.of("values off by one", "uint8 at both ends", 0.1, 0.2),
        Check.of("graph", "fixed size", 0.1, 0.2, "at 25x24"),
        Check.of("values off by one", "uint8 at both ends", 0.1, 0.2, "at 25x24"),
        Check.of("largest error", "int8", 0.1, 0.2),
        Check.of("mean error", "bf16", 0.1, 0.2),
    )
    assert manifest.verdicts == ()


def before_details(document: dict[str, Any]) -> dict[str, Any]:
    """A manifest as it was when facts of RT4KSR were among those of every network."""
    network = dict(document["network"])
    details = network.pop("details")
    assert (details.pop("architecture"), network.pop("size_multiple")) == ("rt4ksr", 2)
    return document | {"network": network | details, "smallest": network.pop("smallest")}


@pytest.mark.parametrize("schema", [1, 2])
def test_facts_of_one_architecture_are_set_apart(schema: int, small_artifact: Artifact, tmp_path: Path) -> None:
    document = before_details(json.loads(encode(small_artifact.manifest))) | {"schema": schema}
    assert {"channels", "blocks", "high_frequency", "scale"} <= document["network"].keys()
    if schema == 1:
        del document["verdicts"]
        document["checks"] = []
    (tmp_path / "a.json").write_text(json.dumps(document))
    read = decode_manifest(tmp_path / "a.json")
    assert read.network == small_artifact.manifest.network
    assert read.network.details is not None
    assert read.network.details.architecture == "rt4ksr"
    assert encode(msgspec.structs.replace(read, checks=small_artifact.manifest.checks)) == encode(
        small_artifact.manifest
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda old: old["network"].update(charm=1),
        lambda old: old["network"].pop("channels"),
        lambda old: old.update(network=7),
        lambda old: old.update(smallest=0),
        lambda old: old.update(smallest=None),
    ],
)
def test_what_older_manifests_did_not_have_is_refused(change: Any, small_artifact: Artifact, tmp_path: Path) -> None:
    document = before_details(json.loads(encode(small_artifact.manifest)))
    change(document)
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="is not a manifest"):
        decode_manifest(tmp_path / "a.json")


NO_WEIGHTS = {"weights": None, "weights_sha256": None}


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("", {"onnx_bytes": -1}, "onnx_bytes -1"),
        ("", {"onnx_bytes": 0}, "onnx_bytes 0"),
        ("", {"opset": 0}, "opset 0"),
        ("", {"shape": [0, 8]}, "side of the input 0"),
        ("", {"shape": [8, 1 << 17]}, "side of the input 131072"),
        ("network", {"scale": 0}, "scale 0"),
        ("network", {"parameters": -1}, "parameters -1"),
        ("network", {"size_multiple": 0}, "size multiple 0"),
        ("network", {"smallest": -2}, "smallest -2"),
        ("network", {"receptive_field": -1}, "receptive field -1"),
        ("network", {"receptive_field": "far"}, "receptive_field"),
        ("input", {"value_range": [1.0, 0.0]}, "empty or not finite"),
        ("input", {"value_range": [0.0, None]}, "value_range"),
        ("source", {"parameters": -1}, "parameters of the source -1"),
        ("source", {"weights": None}, "only one of weights"),
        ("source", NO_WEIGHTS, "is a checkpoint, and has no weights"),
        ("source", {"weights": "../a.safetensors"}, "not a plain file name"),
    ],
)
def test_nonsense_is_refused(
    part: str, values: dict[str, Any], message: str, small_artifact: Artifact, tmp_path: Path
) -> None:
    document = json.loads(encode(small_artifact.manifest))
    (document[part] if part else document).update(values)
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=message):
        decode_manifest(tmp_path / "a.json")


def test_an_artifact_may_come_from_a_graph(small_artifact: Artifact, tmp_path: Path) -> None:
    source = msgspec.structs.replace(small_artifact.manifest.source, kind="onnx", **NO_WEIGHTS)
    manifest = msgspec.structs.replace(small_artifact.manifest, source=source)
    with pytest.raises(ValueError, match="contradict"):
        Artifact.write(tmp_path, small_artifact.path.read_bytes(), manifest, b"weights")
    Artifact.write(tmp_path, small_artifact.path.read_bytes(), manifest, None)
    read = Artifact.read(tmp_path / f"{manifest.name}.onnx")
    assert read.manifest == manifest
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".onnx"]


def test_verdicts_of_schema_1(small_artifact: Artifact, tmp_path: Path) -> None:
    checks = [
        named("graph: onnxsim"),
        *budget("native, 5 images of Set5", 0.4),
        *budget("simulated, images of the toolkit", 0.05),
        *budget("ort-cpu, 1 image of a, b: c", 0.1),
        *budget("openvino", 0.01),
    ]
    manifest = decode_manifest(old_manifest(small_artifact, tmp_path / "a.json", checks))
    limits = Limits(0.1, 0.3, 4.0)
    assert manifest.verdicts == (
        Verdict("native", "Set5", 5, Spent(0.4, 0.2, 1.5), limits, False),
        Verdict("simulated", "the toolkit", 0, Spent(0.05, 0.2, 1.5), limits, True),
        Verdict("ort-cpu", "a, b: c", 1, Spent(0.1, 0.2, 1.5), limits, True),
        Verdict("openvino", "", 0, Spent(0.01, 0.2, 1.5), limits, True),
    )
    assert [check.kind for check in manifest.checks] == ["graph"]


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("", None),
        ("multiply-adds", CurveCost("multiply-adds")),
        ("time on ort-cpu, 540x960", CurveCost("time", "ort-cpu", (540, 960))),
    ],
)
def test_costs_of_schema_1(text: str, cost: CurveCost | None, small_artifact: Artifact, tmp_path: Path) -> None:
    manifest = decode_manifest(old_manifest(small_artifact, tmp_path / "a.json", [], text))
    assert manifest.conversion is not None
    assert manifest.conversion.curve_cost == cost


@pytest.mark.parametrize(
    "checks",
    [
        [named("the moon")],
        [named("budget on native, 5 images of Set5: charm")],
        budget("native, 5 images of Set5", 0.4)[:2],
        [{"name": "graph: onnxsim"}],
        [named("graph: onnxsim") | {"passed": False}],
        [named("graph: onnxsim") | {"kind": "graph"}],
        7,
    ],
)
def test_what_schema_1_did_not_have_is_refused(checks: Any, small_artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a manifest"):
        decode_manifest(old_manifest(small_artifact, tmp_path / "a.json", checks))


def test_an_unknown_cost_of_schema_1_is_refused(small_artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a manifest"):
        decode_manifest(old_manifest(small_artifact, tmp_path / "a.json", [], "patience"))


def test_verdicts_are_written_and_read(small_artifact: Artifact, tmp_path: Path) -> None:
    """One for each runtime: a later one takes the place of an earlier one, on whatever images."""
    weights = small_artifact.weights_path.read_bytes()
    copy = Artifact.write(tmp_path, small_artifact.path.read_bytes(), small_artifact.manifest, weights)
    limits, spent = Limits(0.1, 0.3, 4.0), Spent(0.05, 0.2, 1.5)
    first, other = Verdict.of("native", "Set5", 5, spent, limits), Verdict.of("ort-cpu", "Set5", 5, spent, limits)
    # A network that gains nothing has nothing to lose: infinity would be `null` in JSON, and unreadable.
    second = Verdict.of("native", "Set14", 14, None, limits)
    for verdict in (first, other, second):
        copy = record_verdict(copy, verdict)
    read = Artifact.read(copy.path).manifest
    assert read.verdicts == (other, second)
    assert read.verdict_on("native") == second
    assert read.verdict_on("tensorrt") is None
    assert not second.passed
    assert "gains nothing" in str(second)


def test_a_verdict_cannot_contradict_its_numbers() -> None:
    limits = Limits(0.1, 0.3, 4.0)
    for spent in (Spent(0.2, 0.2, 1.5), Spent(float("nan"), 0.2, 1.5), None):
        with pytest.raises(ValueError, match="verdict on native"):
            Verdict("native", "Set5", 5, spent, limits, True)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"kind": "charm", "subject": "a", "measured": 1, "bound": 2, "passed": True}, Check)


def test_a_verdict_in_words() -> None:
    verdict = Verdict.of("native", "Set5", 5, Spent(2.07, 3.5, 12.25), Limits(0.1, 0.3, 4.0))
    assert str(verdict) == (
        "native, 5 images of Set5: loses 207% of the gain over bicubic (allowed 10.0%), in the worst image 350.0% "
        "(30.0%); worst patch 12.25 grey levels from fp32 (4)"
    )
