"""Both sets of the toolkit's own weights are as fast: the same work, and the same machine code but for constants."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from toolkit.artifact import Artifact
from toolkit.graph.analysis.work import count_work
from toolkit.graph.export import export
from toolkit.native.compiler import sources
from toolkit.native.planner import plan
from toolkit.native.targets import NATIVE, find_target
from toolkit.network.bundled import bundled_checkpoint
from toolkit.network.bundled_files import BUNDLED, Bundled
from toolkit.workloads import Shape

REPOSITORY = Path(__file__).parents[2]
CONSTANT = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?f?|-?0x[0-9a-f.]+p[-+]?\d+f?|-?\d+e[-+]?\d+f?", re.IGNORECASE)


def code(artifact: Artifact) -> tuple[str, int]:
    """The engine's source without floating-point constants and names, and the number of these constants."""
    program = plan(artifact.path, artifact.manifest)
    text = "\n".join(sources(program, artifact.manifest, find_target(NATIVE)).values())
    text = text.replace(artifact.manifest.name, "NAME").replace(artifact.manifest.onnx_sha256, "HASH")
    return CONSTANT.subn("#", text)


@pytest.mark.slow
@pytest.mark.parametrize("item", [item for item in BUNDLED if item.purpose == "video"], ids=lambda item: item.file)
def test_they_differ_in_constants_only(item: Bundled, tmp_path: Path) -> None:
    ours = export(bundled_checkpoint(item.scale, item.purpose), directory=tmp_path)
    clean = Artifact.read(REPOSITORY / "exported" / f"rt4ksr_x{item.scale}_fp32.onnx")
    assert count_work(ours, Shape(720, 1280)) == count_work(clean, Shape(720, 1280))
    assert code(ours) == code(clean)
