"""The weights that ship: of the toolkit's own training, better than bicubic, and what exported/ holds."""

import hashlib
import json
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import get_args

import msgspec
import onnx
import pytest
from samples import DATA, needs_data, released

from toolkit.artifact import Artifact, encode
from toolkit.errors import CheckpointError
from toolkit.graph.export import export
from toolkit.graph.precision.options import ConvertOptions
from toolkit.media.networks import bundled_artifact
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.bundled import bundled_checkpoint
from toolkit.network.bundled_files import BUNDLED, Bundled, Purpose, bundled_purpose, bundled_sha256
from toolkit.network.checkpoint import load_checkpoint, serialised_weights
from toolkit.quality.conversion import convert
from toolkit.quality.evaluation import evaluate
from toolkit.runtimes.subject import Subject
from toolkit.system.atomic import sha256_of

REPOSITORY = Path(__file__).parents[2]
SCALES = pytest.mark.parametrize("scale", [2, 3])
ALL = pytest.mark.parametrize("item", BUNDLED, ids=lambda item: item.file)


@ALL
def test_they_are_the_released_architecture(item: Bundled) -> None:
    """So all of one scale are as fast: the graphs differ in constants only; those for int8 also add the input."""
    checkpoint = bundled_checkpoint(item.scale, item.purpose)
    assert checkpoint.config == NetworkConfig(scale=item.scale, image_residual=item.purpose == "int")
    assert checkpoint.notes == ()
    assert (checkpoint.purpose, checkpoint.licence, checkpoint.file) == (item.purpose, "Apache-2.0", item.file)


@ALL
def test_their_hash_is_that_of_the_file_and_of_every_copy(item: Bundled) -> None:
    checkpoint = bundled_checkpoint(item.scale, item.purpose)
    content = (REPOSITORY / "toolkit" / "network" / "weights" / item.file).read_bytes()
    assert serialised_weights(checkpoint.network) == content
    assert bundled_sha256(item.scale, item.purpose) == checkpoint.sha256 == hashlib.sha256(content).hexdigest()
    assert bundled_purpose(checkpoint.sha256) == item.purpose


def test_no_two_are_the_same() -> None:
    assert len({bundled_sha256(item.scale, item.purpose) for item in BUNDLED}) == len(BUNDLED)
    assert bundled_purpose("0" * 64) is None


def test_there_are_no_others() -> None:
    for get in bundled_checkpoint, bundled_sha256:
        for purpose in get_args(Purpose):
            with pytest.raises(CheckpointError, match=r"no .*weights for x4 ship with the toolkit, only for x2 and x3"):
                get(4, purpose)


def test_all_ship() -> None:
    """`BUNDLED` holds what is there."""
    assert {(item.scale, item.purpose) for item in BUNDLED} == set(product((2, 3), get_args(Purpose)))


@SCALES
def test_the_artifact_in_the_cache_is_found_without_torch(
    scale: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading torch takes seconds, which every upscale with these weights would pay."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = tmp_path / "rt4ksr-toolkit" / bundled_checkpoint(scale).sha256[:12]
    cached.mkdir(parents=True)
    for kept in (REPOSITORY / "exported").glob(f"rt4ksr_x{scale}_fp32.*"):
        shutil.copy(kept, cached)
    code = (
        "import sys\n"
        "from toolkit.media.networks import bundled_artifact\n"
        f"print(bundled_artifact({scale}).path.parent, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(cached), "False"]


def test_the_artifact_of_another_version_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version may write another graph for the same weights."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = bundled_artifact(2)
    tools = {**first.manifest.tools, "rt4ksr-toolkit": "0.0.1"}
    first.path.with_suffix(".json").write_bytes(encode(msgspec.structs.replace(first.manifest, tools=tools)))
    again = bundled_artifact(2)
    assert again.path == first.path
    assert again.manifest.tools == first.manifest.tools


@needs_data
@SCALES
def test_they_are_not_the_released_weights(scale: int) -> None:
    """Distilled from those, but begun from random weights: nothing is nearly parallel."""
    ours, theirs = bundled_checkpoint(scale).network.state_dict(), load_checkpoint(released(scale)).network.state_dict()
    for name in ("head.weight", "body.0.conv.spatial.weight", "upsample.weight"):
        a, b = ours[name].flatten(), theirs[name].flatten()
        assert abs(float(a @ b / (a.norm() * b.norm()))) < 0.5


@pytest.mark.slow
@ALL
def test_exported_holds_their_artifacts(item: Bundled, tmp_path: Path) -> None:
    """Made anew they have the same bytes; a manifest also says what was measured, and with which Python."""
    made = export(bundled_checkpoint(item.scale, item.purpose), directory=tmp_path)
    committed = Artifact.read(REPOSITORY / "exported" / made.path.name)
    assert made.manifest.name == item.file.replace(".safetensors", "_fp32")
    assert made.manifest.source.purpose == item.purpose
    assert made.path.read_bytes() == committed.path.read_bytes()
    assert made.read_weights().read_bytes() == committed.read_weights().read_bytes()
    manifests, bounds = [], []
    for artifact in (made, committed):
        facts = msgspec.to_builtins(artifact.manifest)
        del facts["tools"]
        assert all(check.pop("passed") and check.pop("measured") >= 0 for check in facts["checks"])
        # Bounds are sums in float64, whose order depends on the processor.
        bounds.append([check.pop("bound") for check in facts["checks"]])
        manifests.append(facts)
    assert manifests[0] == manifests[1]
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-9)


@pytest.mark.slow
@needs_data
@ALL
def test_the_model_card_tells_the_truth(item: Bundled) -> None:
    name = item.file.removesuffix(".safetensors")
    cards = json.loads((REPOSITORY / "toolkit" / "network" / "weights" / "figures.json").read_text())
    card = cards[name.removeprefix("rt4ksr_")]
    artifact = Artifact.read(REPOSITORY / "exported" / f"{name}_fp32.onnx")
    sets = [DATA / "images" / name for name in ("Set5", "Set14")]
    (network,) = evaluate([Subject(artifact, "ort-cpu")], sets).networks
    for name, (ours, bicubic) in network.subjects[0].sets().items():
        assert ours.psnr_y == pytest.approx(card[name]["psnr_y"], abs=0.005)
        assert ours.psnr_y > bicubic.psnr_y


@SCALES
def test_int8_of_the_networks_made_for_it_is_what_was_fine_tuned(scale: int, tmp_path: Path) -> None:
    artifact = Artifact.read(REPOSITORY / "exported" / f"rt4ksr_x{scale}_int_fp32.onnx")
    made = convert(artifact, "int8", directory=tmp_path)
    shipped = REPOSITORY / "toolkit" / "network" / "weights" / made.path.name
    assert made.path.read_bytes() == shipped.read_bytes()
    assert made.manifest.conversion is not None and made.manifest.conversion.finetuned is not None
    assert convert(artifact, "int8", directory=tmp_path).manifest == made.manifest  # nothing to replace
    # A later version of the toolkit exports the same network with other bytes.
    model = onnx.load(artifact.path)
    model.producer_version = "99.0"
    content = model.SerializeToString()
    renewed = msgspec.structs.replace(artifact.manifest, onnx_sha256=sha256_of(content), onnx_bytes=len(content))
    later = Artifact.write(tmp_path / "later", content, renewed, artifact.read_weights().read_bytes())
    again = convert(later, "int8")
    assert again.path.read_bytes() == shipped.read_bytes()
    assert again.manifest.conversion is not None and again.manifest.conversion.parent_sha256 == sha256_of(content)
    own = convert(artifact, "int8", ConvertOptions(exclude=("head",), suffix="_own"), tmp_path)
    assert own.manifest.conversion is not None and own.manifest.conversion.finetuned is None


@pytest.mark.slow
@needs_data
@SCALES
def test_int8_loses_less_than_5_percent_of_the_gain(scale: int) -> None:
    stem = REPOSITORY / "exported" / f"rt4ksr_x{scale}_int"
    artifacts = [Artifact.read(f"{stem}_{precision}.onnx") for precision in ("fp32", "int8")]
    sets = [DATA / "images" / name for name in ("Set5", "Set14")]
    (network,) = evaluate([Subject(item, "ort-cpu") for item in artifacts], sets).networks
    exact, lowered = (item.sets() for item in network.subjects)
    assert network.subjects[1].spent is not None and network.subjects[1].spent < 0.05
    for name in exact:
        assert exact[name][0].psnr_y - lowered[name][0].psnr_y < 0.1
