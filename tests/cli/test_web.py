"""`toolkit web`: what it writes, and what it refuses."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import onnx
import pytest
from msgspec import structs

from toolkit.artifact import Artifact
from toolkit.deployment.web import ort_web
from toolkit.deployment.web.description import enlargement_weights
from toolkit.deployment.web.site import write_site
from toolkit.errors import InputError, OutputExists, Unavailable
from toolkit.images.resizing import interpolated
from toolkit.workloads import Shape

Command = Callable[..., CompletedProcess[str]]

FILES = {name: name.encode() for name in ort_web.FILES}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that stands for onnxruntime-web: of other content, whose hashes are known."""
    folder = tmp_path / "package"
    (folder / "dist").mkdir(parents=True)
    for name, content in FILES.items():
        (folder / "dist" / name).write_bytes(content)
    monkeypatch.setattr(ort_web, "FILES", {name: ort_web.sha256_of(data) for name, data in FILES.items()})
    return folder


def fake_npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An npm that runs a shell script, with the destination as $1."""
    folder.mkdir()
    program = folder / "npm"
    program.write_text(f'#!/bin/sh\nwhile [ "$1" != --pack-destination ]; do shift; done\nshift\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_the_site_is_complete(small_artifact: Artifact, package: Path, tmp_path: Path) -> None:
    site = write_site(small_artifact, tmp_path / "site", package)
    text = site.page.read_text()
    assert "default-src 'none'" in text
    assert "://" not in text.replace("http://localhost:8000", ""), "nothing of other servers"
    known = json.loads((tmp_path / "site/network.json").read_text())
    tile = known["tile"]
    expected = np.fromfile(tmp_path / "site" / tile["expected"], np.uint8)
    assert expected.size == 4 * 3 * tile["width"] * tile["height"]
    served = onnx.load(tmp_path / "site" / known["model"])
    artifact = onnx.load(small_artifact.path)
    check = [node.op_type for node in artifact.graph.node][-3:]
    assert check == ["Shape", "Mul", "Reshape"], "the page extends frames itself"
    assert list(served.graph.node)[:-1] == list(artifact.graph.node)[:-4]
    found = [path for path in (tmp_path / "site").rglob("*") if path.is_file()]
    assert len(found) == site.files
    assert sum(path.stat().st_size for path in found) == site.size
    for script in (path for path in found if path.suffix == ".js"):
        for line in script.read_text().splitlines():
            if line.startswith("import "):
                assert (script.parent / line.split('"')[1]).is_file(), f"{script.name}: {line}"


def test_only_a_site_is_replaced(small_artifact: Artifact, package: Path, tmp_path: Path) -> None:
    output = tmp_path / "site"
    write_site(small_artifact, output, package)
    with pytest.raises(OutputExists, match="holds a site"):
        write_site(small_artifact, output, package)
    write_site(small_artifact, output, package, overwrite=True)
    (output / ".git").mkdir()
    (output / "letter.txt").write_text("kept")
    with pytest.raises(InputError, match=r"would be removed: \.git, letter\.txt"):
        write_site(small_artifact, output, package, overwrite=True)
    assert (output / "letter.txt").read_text() == "kept"
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("kept")
    with pytest.raises(InputError, match="holds other files, and no site"):
        write_site(small_artifact, other, package, overwrite=True)
    assert (other / "letter.txt").read_text() == "kept"


def test_what_browsers_cannot_run_is_refused(small_artifact: Artifact, package: Path, tmp_path: Path) -> None:
    for precision in ("bf16", "int8"):
        lowered = replace(small_artifact, manifest=structs.replace(small_artifact.manifest, precision=precision))
        with pytest.raises(InputError, match=f"does not run in browsers: ONNX Runtime Web has no .*{precision}"):
            write_site(lowered, tmp_path / "site", package)
    fixed = replace(small_artifact, manifest=structs.replace(small_artifact.manifest, shape=(48, 64)))
    with pytest.raises(InputError, match="takes pictures of 64x48 only"):
        write_site(fixed, tmp_path / "site", package)
    assert not (tmp_path / "site").exists()


def test_another_version_is_refused(small_artifact: Artifact, package: Path, tmp_path: Path) -> None:
    (package / "dist/ort.wasm.min.mjs").write_bytes(b"edited")
    with pytest.raises(InputError, match=r"ort\.wasm\.min\.mjs of .* is not that of onnxruntime-web@"):
        write_site(small_artifact, tmp_path / "site", package)
    (package / "dist/ort.wasm.min.mjs").unlink()
    with pytest.raises(InputError, match=r"does not hold onnxruntime-web: ort\.wasm\.min\.mjs is missing"):
        write_site(small_artifact, tmp_path / "site", package)


def test_npm_brings_the_package(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "made.tgz"
    with tarfile.open(archive, "w:gz") as made:
        for name, content in FILES.items():
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    fake_npm(tmp_path / "bin", f'cp "{archive}" "$1"', monkeypatch)
    assert ort_web.runtime_files(None) == FILES
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(Unavailable, match="is damaged"):
        ort_web.runtime_files(None)


def test_an_npm_without_a_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(tmp_path / "bin", "echo 'npm error code ENOTFOUND' >&2; exit 1", monkeypatch)
    with pytest.raises(Unavailable, match=r"npm does not provide onnxruntime-web@.*ENOTFOUND"):
        ort_web.runtime_files(None)


def test_without_npm_the_exit_code_is_3(
    small_artifact: Artifact, toolkit_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = toolkit_command("web", small_artifact.path, "-o", tmp_path / "site")
    assert result.returncode == 3
    assert "npm, which downloads it, is not installed" in result.stderr
    assert "--onnxruntime-web DIRECTORY" in result.stderr
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_weights_of_chroma_are_those_of_bicubic_interpolation(scale: int) -> None:
    line = np.random.default_rng(scale).random((1, 12, 1))
    wanted = interpolated(line, Shape(scale, scale * 12))[0, :, 0]
    weights = np.array(enlargement_weights(scale))
    padded = np.pad(line[0, :, 0], 2, mode="edge")
    found = [weights[x % scale] @ padded[x // scale : x // scale + 5] for x in range(scale * 12)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
