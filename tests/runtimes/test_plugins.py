"""Runtimes of other packages: registered by an entry point, they work in every command; broken ones are listed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toolkit.artifact import Artifact

ENTRY = "reference = reference_runtime:ReferenceRuntime"
RUNTIME = """
from onnx.reference import ReferenceEvaluator

from toolkit.runtimes.protocol import ArtifactSession
from toolkit.runtimes.reported import Executed
from toolkit import Availability, Runtime


class ReferenceSession(ArtifactSession):
    def __init__(self, artifact):
        super().__init__(artifact)
        self._evaluator = ReferenceEvaluator(str(artifact.path))

    def _bind(self, shape):
        pass

    def _run(self, frame):
        return self._evaluator.run(None, {self.contract.input.name: frame})[0]

    def executed(self):
        return {"graph": Executed("fp32", "cpu")}


class ReferenceRuntime(Runtime):
    name = "reference"
    description = "ONNX's reference evaluator"
    rehearsed = True

    def _probe(self):
        return Availability(True, version="1.0")

    def _load(self, artifact, precision, options):
        return ReferenceSession(artifact)
"""
BROKEN = {
    "missing = no_such_module:Runtime": "no_such_module:Runtime cannot be loaded: No module named 'no_such_module'",
    "absent = reference_runtime:Absent": "reference_runtime:Absent cannot be loaded: ",
    "other = reference_runtime:ReferenceSession": "reference_runtime:ReferenceSession cannot be loaded: ",
    "a-module = reference_runtime": "reference_runtime is not a subclass of toolkit.Runtime",
    "renamed = reference_runtime:ReferenceRuntime": "has the name 'reference', its entry point 'renamed'",
    "raising = raising:Runtime": "raising:Runtime cannot be loaded: a line of the package itself",
    "ending = ending:Runtime": "ending:Runtime cannot be loaded: SystemExit",
    "native = reference_runtime:ReferenceRuntime": "there already is a runtime native",
    "probing = probing:Runtime": "its probe failed: no licence found",
}
"""Lines of entry_points.txt, and the reason that each is listed with."""

PROBING = RUNTIME + (
    "\n\nclass Runtime(ReferenceRuntime):\n    name = 'probing'\n\n"
    "    def _probe(self):\n        raise OSError('no licence found')\n"
)


def installed(directory: Path, entries: list[str]) -> dict[str, str]:
    """Install a package into a directory, as pip does; the environment of a process that finds it."""
    modules = {
        "reference_runtime.py": RUNTIME,
        "raising.py": "raise RuntimeError('a line of the package itself')",
        "ending.py": "raise SystemExit(3)",
        "probing.py": PROBING,
    }
    for name, content in modules.items():
        (directory / name).write_text(content)
    info = directory / "reference_runtime-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: reference-runtime\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[rt4ksr_toolkit.runtimes]", *entries, ""]))
    paths = [str(directory), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "XDG_CACHE_HOME": str(directory / "cache")}


def toolkit_with(env: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    code = "from toolkit.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_a_registered_runtime_is_measured_and_evaluated(small_artifact: Artifact, tmp_path: Path) -> None:
    """Also in the processes that measure, and in the one that loads an artifact from elsewhere first."""
    env = installed(tmp_path, [ENTRY])
    how = ["--workload", "24x16", "--duration", 0.01, "--no-roofline", "--json"]
    done = toolkit_with(env, "profile", small_artifact.path, "--runtime", "reference", *how)
    assert done.returncode == 0, done.stderr
    baseline, cell = json.loads(done.stdout)["cells"]
    assert (baseline["runtime"], cell["runtime"]) == ("torch-unfused", "reference")
    assert cell["executed"] == {"fp32": 1}
    assert cell["statistics"]["median"] > 0

    images = tmp_path / "images"
    images.mkdir()
    levels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(levels).resize((64, 48), Image.Resampling.BICUBIC).save(images / "noise.png")
    what = ["--images", images, "--runtime", "reference,ort-cpu", "--json"]
    done = toolkit_with(env, "evaluate", small_artifact.path, *what)
    assert done.returncode == 0, done.stderr
    (network,) = json.loads(done.stdout)["networks"]
    measured = {subject["runtime"]: subject["mean"]["psnr_y"] for subject in network["subjects"]}
    assert measured["reference"] == pytest.approx(measured["ort-cpu"], abs=0.01)

    photo, output = tmp_path / "photo.png", tmp_path / "upscaled.png"
    Image.fromarray(levels).save(photo)
    done = toolkit_with(env, "upscale", photo, "-o", output, "--model", small_artifact.path, "--runtime", "reference")
    assert done.returncode == 0, done.stderr
    assert Image.open(output).size == (64, 48)


def test_broken_entry_points_are_listed_with_the_reason(tmp_path: Path) -> None:
    env = installed(tmp_path, [ENTRY, *BROKEN])
    done = toolkit_with(env, "doctor", "--json")
    assert done.returncode == 0, done.stderr
    runtimes = {runtime["name"]: runtime for runtime in json.loads(done.stdout)["runtimes"]}
    assert runtimes["reference"]["ok"] and runtimes["reference"]["version"] == "1.0"
    assert runtimes["native"]["description"].startswith("the toolkit's own")
    for entry, reason in BROKEN.items():
        name = entry.partition(" ")[0]
        found = runtimes["native (reference-runtime)" if name == "native" else name]
        assert not found["ok"]
        assert reason in found["reason"]
    assert "reference-runtime" in runtimes["missing"]["remedy"]


def test_a_broken_runtime_that_is_named_is_an_error(small_artifact: Artifact, tmp_path: Path) -> None:
    env = installed(tmp_path, ["raising = raising:Runtime"])
    done = toolkit_with(env, "compare", f"{small_artifact.path}@raising", f"{small_artifact.path}@ort-cpu")
    assert done.returncode == 3, done.stderr
    assert "raising is not available: raising:Runtime cannot be loaded: a line of the package itself" in done.stderr
    assert "Update, repair or uninstall reference-runtime." in done.stderr
    assert "Traceback" not in done.stderr
