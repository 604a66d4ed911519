"""Sites of several networks, made once and served together, and a Chromium that opens them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import browser
import onnx
import pytest
from foreign_graphs import Graph, here
from samples import SMALL, checkpoint

from toolkit.artifact import Artifact
from toolkit.deployment.web.ort_web import runtime_files
from toolkit.deployment.web.site import write_site
from toolkit.errors import Unavailable
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.convert import convert

_STAND_IN = """
export * from "./ort.wasm.min.mjs";
import * as ort from "./ort.wasm.min.mjs";
let runs = 0;
export const InferenceSession = { create: async (model) => {
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  const run = async (feeds) => {
    const results = await session.run(feeds);
    CHANGE
    return results;
  };
  return { run, inputNames: session.inputNames, outputNames: session.outputNames };
} };
"""
"""A module in the place of WebGPU's."""
_CHANGES = {
    "broken": "for (const result of Object.values(results)) result.data[100] = 7;",
    "lost": "if (runs++) throw new Error('the device is lost');",
}
"""Of the results: a GPU that gets one value wrong and reports no error, and one that fails after the test tile."""


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of onnxruntime-web, once from npm."""
    folder = tmp_path_factory.mktemp("onnxruntime-web")
    try:
        for name, content in runtime_files(None).items():
            (folder / name).write_bytes(content)
    except Unavailable as error:
        pytest.skip(error.args[0])
    return folder


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """By name of their sites. With 6 channels, ONNX Runtime Web 1.30.0 computes garbage by WebGPU."""
    folder = tmp_path_factory.mktemp("networks")
    small = checkpoint(replace(SMALL, channels=8))
    plain = export(small, directory=folder)

    def adopted(name: str, graph: Graph) -> Artifact:
        (folder / name).mkdir()
        return here(graph.saved(folder / name))

    return {
        "fp32": plain,
        "fp16": convert(plain, "fp16", directory=folder),
        "uint8": export(small, ExportOptions(uint8="NHWC"), folder / "uint8"),
        "luma": adopted("luma", Graph(scale=3, channels=1, multiple=4)),
        "half": adopted("half", Graph(white=255.0, kind=onnx.TensorProto.FLOAT16, layout="NHWC")),
    }


@pytest.fixture(scope="session")
def site_root(networks: dict[str, Artifact], package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of each network, and those of fp32 with other GPUs."""
    root = tmp_path_factory.mktemp("sites")
    for name, artifact in networks.items():
        write_site(artifact, root / name, package)
    for name, change in _CHANGES.items():
        shutil.copytree(root / "fp32", root / name)
        (root / name / "onnxruntime/ort.webgpu.min.mjs").write_text(_STAND_IN.replace("CHANGE", change))
    return root


@pytest.fixture(scope="session")
def sites(site_root: Path) -> Iterator[str]:
    """The address under which each network has its site."""
    with browser.served(site_root) as address:
        yield address


@pytest.fixture(scope="session")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    missing = browser.missing()
    if missing:
        pytest.skip(missing)
    with browser.browser(tmp_path_factory.mktemp("downloads")) as opened:
        yield opened
