"""Compact and SPAN from weights to artifacts: the graph, its precisions, its quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from samples import DATA, needs_data, small_module

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.graph.analysis.locality import Locality, locality
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.reading import read_model
from toolkit.network.architectures.compact.config import CompactConfig
from toolkit.network.architectures.configuration import Configuration
from toolkit.network.architectures.registry import architecture_of
from toolkit.network.architectures.span.config import SPANConfig
from toolkit.network.checkpoint import Checkpoint, load_checkpoint, serialised_weights
from toolkit.network.fusion import fuse
from toolkit.quality.evaluation import evaluate
from toolkit.runtimes.subject import Subject
from toolkit.verification.fusion import verify_fusion

CONFIGS: dict[str, Configuration] = {
    "compact x2": CompactConfig(2, 5, 2),
    "compact x1, leaky": CompactConfig(1, 4, 1, prelu=False, slope=0.1),
    "compact x4, relu": CompactConfig(4, 4, 1, prelu=False, slope=0.0),
    "span x2": SPANConfig(2, 6, 2),
    "span x1, no norm": SPANConfig(1, 4, 1, norm=False),
    "span x3, zero mean": SPANConfig(3, 4, 2, gain=1, mean="zero", image_range=1.0),
}


@pytest.fixture(scope="module", params=CONFIGS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Artifact]:
    directory = tmp_path_factory.mktemp("made")
    config = CONFIGS[request.param]
    (directory / "weights").write_bytes(serialised_weights(small_module(config)))
    checkpoint = load_checkpoint(directory / "weights")
    assert checkpoint.config == config
    return checkpoint, export(checkpoint, directory=directory)


def test_the_graph_is_the_network(made: tuple[Checkpoint, Artifact]) -> None:
    """On a runtime, at sizes of which none is even."""
    checkpoint, artifact = made
    assert artifact.manifest.network.details == checkpoint.details
    assert all(check.passed for check in artifact.manifest.checks)
    session = toolkit.load_session(artifact, "ort-cpu")
    for height, width in ((1, 1), (7, 5), (16, 33)):
        frame = np.random.default_rng(0).random((1, 3, height, width), np.float32)
        session.bind(toolkit.Shape(height, width))
        with torch.inference_mode():
            expected = checkpoint.network(torch.from_numpy(frame)).numpy()
        result = session.run(frame)
        assert result.shape == expected.shape
        bound = 1e-4 * max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(result, expected.clip(0, 1), rtol=0, atol=bound)


def test_the_merge_is_proved_on_the_graph(made: tuple[Checkpoint, Artifact]) -> None:
    checkpoint, artifact = made
    report = verify_fusion(checkpoint, artifact, full_frame=False)
    assert report.passed
    blocks = 2 + 3 * checkpoint.config.blocks if isinstance(checkpoint.config, SPANConfig) else 0
    assert len(report.blocks) == blocks
    assert sum(check.kind == "fusion" for check in artifact.manifest.checks) == blocks


def test_a_pixel_looks_as_far_as_its_convolutions(made: tuple[Checkpoint, Artifact]) -> None:
    """One pixel for each 3x3 convolution in a row, all at the input's resolution; at most one more is assumed."""
    checkpoint, artifact = made
    config = checkpoint.config
    depth = 3 + 3 * config.blocks if isinstance(config, SPANConfig) else 2 + config.convolutions
    found = locality(read_model(artifact.path))
    assert isinstance(found, Locality)
    assert found.alignment == 1
    assert {found.above, found.below} <= {depth, depth + 1}


@pytest.mark.parametrize("name", ["compact x2", "span x2"])
def test_fixed_uint8_graphs(name: str, tmp_path: Path) -> None:
    made = small_module(CONFIGS[name])
    details = architecture_of(made.config).details(made.config)
    checkpoint = Checkpoint(made, "w", "0" * 64, "released", details)
    artifact = export(checkpoint, ExportOptions(shape=toolkit.Shape(9, 13), uint8="NHWC"), tmp_path)
    image = np.random.default_rng(1).integers(0, 256, (1, 9, 13, 3), np.uint8)
    session = toolkit.load_session(artifact, "ort-cpu")
    session.bind(toolkit.Shape(9, 13))
    with torch.inference_mode():
        exact = made.double()(torch.from_numpy(image).permute(0, 3, 1, 2).double() / 255)
    expected = exact.clamp(0, 1).mul(255).permute(0, 2, 3, 1).numpy()
    assert np.abs(session.run(image) - expected).max() < 0.51


@pytest.fixture(scope="module")
def ntire(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    weights = load_checkpoint(DATA / "models" / "ntire2026_span_x4.pth")
    return export(weights, ExportOptions(licence="MIT"), tmp_path_factory.mktemp("ntire"))


@needs_data
def test_published_weights_upscale_as_published(ntire: Artifact) -> None:
    """Real weights of others: on Set5 x4 3.3 dB above bicubic, which is 28.42 dB there (MATLAB's, as published)."""
    assert (ntire.manifest.name, ntire.manifest.network.scale) == ("span_x4_small_fp32", 4)
    (network,) = evaluate([Subject(ntire, "ort-cpu")], [DATA / "images" / "Set5" / "x2" / "HR"]).networks
    ((ours, bicubic),) = network.subjects[0].sets().values()
    assert bicubic.psnr_y == pytest.approx(28.42, abs=0.1)
    assert ours.psnr_y - bicubic.psnr_y > 3.2
    assert ours.ssim_y - bicubic.ssim_y > 0.07


@pytest.mark.slow
@needs_data
def test_published_weights_in_half_precision(ntire: Artifact) -> None:
    """Noise drives this network to 7 times white, and errors with it: bounds are relative to that.

    A whole network on whole pictures; test_precision.py converts small ones.
    """
    (verdict,) = toolkit.convert(ntire, "fp16").manifest.verdicts
    assert verdict.passed
    assert verdict.spent is not None
    assert verdict.spent.mean < 0.01


@needs_data
def test_fused_weights_of_others_leave_nothing_to_prove(ntire: Artifact) -> None:
    from toolkit.graph.source import source_checkpoint

    with pytest.raises(InputError, match="already fused"):
        verify_fusion(source_checkpoint(ntire), ntire)


def test_fused_and_unfused_weights_make_the_same_graph(tmp_path: Path) -> None:
    """Their constants differ by no more than one rounding, as a merge in float64 leaves it."""
    made = small_module(SPANConfig(2, 6, 2))
    paths = []
    for name, form in (("training", made), ("fused", fuse(made))):
        (tmp_path / name).write_bytes(serialised_weights(form))
        paths.append(export(load_checkpoint(tmp_path / name), ExportOptions(name=name), tmp_path).path)
    models = [read_model(path) for path in paths]
    assert [node.op_type for node in models[0].graph.node] == [node.op_type for node in models[1].graph.node]
    for one, other in zip(*(model.graph.initializer for model in models), strict=True):
        assert (one.name, one.raw_data) == (other.name, other.raw_data)
