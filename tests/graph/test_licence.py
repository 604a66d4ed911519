"""The licence of weights: known for some files, stated for others, kept in every manifest made from them."""

import json
from pathlib import Path

import pytest
from samples import checkpoint, needs_data, released

from toolkit.artifact import Artifact, decode_manifest
from toolkit.errors import ArtifactError, InputError
from toolkit.graph.export import ExportOptions, export
from toolkit.network.bundled import bundled_checkpoint
from toolkit.network.checkpoint import load_checkpoint, untrained_checkpoint
from toolkit.quality.conversion import convert


def test_what_ships_is_apache() -> None:
    assert {bundled_checkpoint(scale).licence for scale in (2, 3)} == {"Apache-2.0"}


@needs_data
@pytest.mark.parametrize("scale", [2, 3])
def test_what_was_released_is_apache(scale: int) -> None:
    assert load_checkpoint(released(scale)).licence == "Apache-2.0"


def test_other_weights_have_none(small_artifact: Artifact) -> None:
    assert untrained_checkpoint().licence is None
    source = json.loads(small_artifact.path.with_suffix(".json").read_text())["source"]
    assert "licence" not in source, "manifests are as they were"


def test_what_is_stated_is_kept_by_every_precision(tmp_path: Path) -> None:
    artifact = export(checkpoint(), ExportOptions(licence="CC BY-NC-SA 4.0"), tmp_path)
    lowered = convert(artifact, "fp16")
    assert {Artifact.read(made.path).manifest.source.licence for made in (artifact, lowered)} == {"CC BY-NC-SA 4.0"}


@pytest.mark.parametrize("text", ["", " MIT", "MIT\nfor some", "\x1b[31mMIT", "x" * 201])
def test_what_is_no_name_is_refused(text: str, tmp_path: Path, small_artifact: Artifact) -> None:
    with pytest.raises(InputError, match="the licence is not one line"):
        export(checkpoint(), ExportOptions(licence=text), tmp_path)
    assert not list(tmp_path.iterdir())
    document = json.loads(small_artifact.path.with_suffix(".json").read_text())
    document["source"]["licence"] = text
    edited = tmp_path / "edited.json"
    edited.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="the licence is not one line"):
        decode_manifest(edited)
