"""The programs of docs/examples run, print what is true, and are short enough to be read."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from photographs import picture
from PIL import Image

import toolkit
from toolkit.artifact import Artifact

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "docs/examples").glob("*.py"))


def run(name: str, *arguments: str | Path, cwd: Path) -> str:
    command = [sys.executable, str(ROOT / "docs/examples" / name), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(picture(64, 96)).save(path)
    return path


def test_there_are_five_and_each_is_short_and_tested() -> None:
    assert len(EXAMPLES) == 5
    for path in EXAMPLES:
        text = path.read_text()
        assert len(text.splitlines()) <= 60
        assert path.name in Path(__file__).read_text()
        assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", ["evaluate_your_engine.py", "export_verify_run.py", "train.py"])
def test_without_arguments_the_usage_is_printed(name: str) -> None:
    command = [sys.executable, str(ROOT / "docs/examples" / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"python {name} " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_export_verify_and_run(photo: Path, tmp_path: Path) -> None:
    shown = run("export_verify_run.py", photo, "large.png", cwd=tmp_path)
    assert re.search(r"\d\d checks, 0 failed", shown)
    assert "rt4ksr_x2_fp32.onnx: 96x64 -> 192x128" in shown
    with Image.open(tmp_path / "large.png") as large, toolkit.Upscaler(scale=2) as upscale:
        assert np.array_equal(np.asarray(large), upscale(picture(64, 96)))


def test_evaluate_your_engine(small_artifact: Artifact, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(picture(96, 96)).save(images / "one.png")
    shown = run("evaluate_your_engine.py", small_artifact.path, images, cwd=tmp_path)
    scores = dict(re.findall(r"^  (\S+) +fp32 +PSNR-Y ([\d.]+) dB$", shown, re.M))
    # Graph optimisations change rounding only.
    assert float(scores["mine"]) == pytest.approx(float(scores["ort-cpu"]), abs=0.011)


@contextmanager
def service() -> Iterator[Any]:
    """A client of the service, which has started."""
    pytest.importorskip("fastapi", reason="FastAPI is not installed (extra examples)")
    pytest.importorskip("httpx", reason="httpx is not installed (extra examples)")
    from fastapi.testclient import TestClient

    spec = spec_from_file_location("service", ROOT / "docs/examples/service.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    with TestClient(module.app) as client:
        yield client


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_service() -> None:
    with service() as client, toolkit.Upscaler(scale=2) as upscale:
        for height, width in ((48, 64), (33, 35)):
            answer = client.post("/upscale", content=encoded(picture(height, width)))
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
            with Image.open(io.BytesIO(answer.content)) as large:
                assert np.array_equal(np.asarray(large), upscale(picture(height, width)))
        assert client.post("/upscale", content=b"GIF89a, it says").status_code == 415
        wide = encoded(np.zeros((1, 4097, 3), np.uint8))
        assert client.post("/upscale", content=wide).status_code == 413
        assert client.post("/upscale", content=bytes((32 << 20) + 1)).status_code == 413


@pytest.mark.slow
def test_camera(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed (extra examples)")
    film = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 25, (96, 64))
    for seed in range(3):
        writer.write(picture(64, 96, seed))
    writer.release()
    assert run("camera.py", film, "large.mp4", cwd=tmp_path).startswith("3 frames, ")
    result, source = cv2.VideoCapture(str(tmp_path / "large.mp4")), cv2.VideoCapture(str(film))
    assert (result.get(cv2.CAP_PROP_FRAME_COUNT), result.get(cv2.CAP_PROP_FPS)) == (3, 25)
    for _ in range(3):
        (_, large), (_, small) = result.read(), source.read()
        assert large.shape == (128, 192, 3)
        # The same picture with the same colours: channels that were swapped would differ by tens of grey levels.
        reduced = cv2.resize(large, (96, 64), interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(reduced - small).mean() < 8


@pytest.mark.slow
def test_train(tmp_path: Path) -> None:
    photos, images = tmp_path / "photos", tmp_path / "images"
    for directory, seeds in ((photos, range(3)), (images, range(3, 4))):
        directory.mkdir()
        for seed in seeds:
            Image.fromarray(picture(192, 192, seed)).save(directory / f"{seed}.png")
    shown = run("train.py", photos, images, "run", "2", cwd=tmp_path)
    assert "2 iterations, best PSNR-Y" in shown
    assert re.search(r"run/exported/rt4ksr_x2_fp32\.onnx: gain over bicubic [+-][\d.]+ dB", shown)
    assert (tmp_path / "run/best.safetensors").is_file()
