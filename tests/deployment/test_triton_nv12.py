"""NV12 input on Triton: the conversion against the formulas in float64 and FFmpeg, and the wiring of the ensemble."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from deployment.test_triton import Command, batched, client_path, parsed, tensor
from numpy.typing import NDArray
from samples import checkpoint

from toolkit.artifact import Artifact
from toolkit.deployment.triton.nv12 import Matrix, conversion_model
from toolkit.deployment.triton.repository import CONFIGURATION, write_model
from toolkit.errors import InputError, OutputExists
from toolkit.graph.export import ExportOptions, export
from toolkit.port import PLANAR, Port, rgb_port
from toolkit.runtimes.subject import load_session
from toolkit.workloads import Shape

__all__ = ["client_path", "parsed"]  # fixtures

HEIGHT, WIDTH = 22, 36
LUMA = {"709": (0.2126, 0.7152, 0.0722), "601": (0.299, 0.587, 0.114)}


def noise(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Of limited range, (1, 1, 3H/2, W)."""
    random = np.random.default_rng(0)
    luma, chroma = random.integers(16, 236, (height, width)), random.integers(16, 241, (height // 2, width))
    return np.concatenate([luma, chroma]).astype(np.uint8)[None, None]


def taps(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys's cubic kernel with FFmpeg's parameter."""
    a, x = -0.6, np.abs(distance)
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def interpolation(count: int, first: float) -> NDArray[np.float64]:
    """A matrix from samples to twice as many, of which the first lies at `first`; the ends are repeated."""
    matrix = np.zeros((2 * count, count))
    for row in range(2 * count):
        position = first + row / 2
        for sample in range(int(np.floor(position)) - 1, int(np.floor(position)) + 3):
            matrix[row, np.clip(sample, 0, count - 1)] += taps(np.array(position - sample))
    return matrix


def exact(frame: NDArray[np.uint8], matrix: Matrix) -> NDArray[np.float64]:
    """RGB (H, W, 3) in 0..1 by the formulas of ITU-R BT.709 and BT.601, in float64."""
    rows, width = frame.shape[2:]
    height = rows * 2 // 3
    luma = (frame[0, 0, :height].astype(np.float64) - 16) / 219
    pairs = frame[0, 0, height:].astype(np.float64).reshape(height // 2, width // 2, 2)
    across, down = interpolation(width // 2, 0), interpolation(height // 2, -0.25)
    cb, cr = (
        (down @ np.minimum(pairs[..., index] @ across.T, 255.9921875) - 128) / 224 for index in (0, 1)
    )  # FFmpeg limits what it has interpolated to 15 bits
    red, green, blue = LUMA[matrix]
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    return np.stack([r, (luma - red * r - blue * b) / green, b], -1).clip(0, 1)


def converted(frame: NDArray[np.uint8], port: Port, matrix: Matrix) -> NDArray[Any]:
    model = conversion_model(port, matrix).SerializeToString()
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"nv12": frame})[0]


@pytest.mark.parametrize("matrix", ["709", "601"])
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (2, 2), (2, 8), (6, 2)])
def test_against_the_formulas(matrix: Matrix, size: tuple[int, int]) -> None:
    frame = noise(*size)
    found = converted(frame, PLANAR, matrix)
    np.testing.assert_allclose(found[0].transpose(1, 2, 0), exact(frame, matrix), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "port",
    [
        rgb_port("uint8", "NHWC"),
        rgb_port("float16"),
        Port("x", "NHWC", "float32", (0.0, 255.0), (1, "h", "w", 3), "BGR"),
        Port("x", "NCHW", "float32", (-1.0, 1.0), (1, 3, "h", "w")),
    ],
    ids=str,
)
def test_frames_of_every_port(port: Port) -> None:
    found = converted(noise(), port, "709")
    assert (found.dtype, found.shape) == (np.dtype(port.dtype), port.frame_shape(Shape(HEIGHT, WIDTH)))
    error = np.abs(port.to_image(found, np.float64) - exact(noise(), "709")).max()
    assert error <= {"uint8": 0.5 / 255 + 1e-5, "float16": 2**-11, "float32": 1e-5}[port.dtype]


@pytest.mark.parametrize(("matrix", "number"), [("709", 1), ("601", 6)])
def test_against_ffmpeg(matrix: Matrix, number: int) -> None:
    """As `toolkit upscale` converts video: at most one level, but for the third row, where FFmpeg interpolates chroma
    with other weights."""
    av = pytest.importorskip("av")
    from toolkit.media.videos.colour import Colour, ToRgb

    frame = noise(96, 128)
    decoded = av.VideoFrame.from_ndarray(frame[0, 0], format="nv12")
    ffmpeg = ToRgb(decoded, Colour(number, False, "left"), deep=False)(decoded)
    distance = np.abs(converted(frame, rgb_port("uint8"), matrix)[0].astype(int) - ffmpeg)
    assert np.delete(distance, 2, axis=1).max() <= 1
    assert distance.max() <= 11
    assert np.count_nonzero(distance) < 0.03 * distance.size


def test_the_ensemble(small_artifact: Artifact, tmp_path: Path, parsed: Callable[..., list[dict[str, Any]]]) -> None:
    """Run step by step as its configuration says, it gives what a session makes of the converted frame."""
    made = write_model(small_artifact, tmp_path, nv12="709")
    name = small_artifact.manifest.name
    assert [path.name for path in made.others] == [f"{name}_from_nv12", f"{name}_nv12"]
    texts = ((tmp_path / model / CONFIGURATION).read_text() for model in (name, f"{name}_from_nv12", f"{name}_nv12"))
    network, conversion, ensemble = parsed(*texts)
    assert ensemble["platform"] == "ensemble"
    assert ensemble["input"] == conversion["input"] == [tensor("nv12", "TYPE_UINT8", 1, 1, -1, -1)]
    assert conversion["output"] == [tensor("frame", "TYPE_FP32", 1, 3, -1, -1)]
    assert ensemble["output"] == network["output"]
    tensors: dict[str, Any] = {"nv12": noise()}
    for step in ensemble["ensemble_scheduling"]["step"]:
        assert step["model_version"] == "-1"
        file = tmp_path / step["model_name"] / "1" / "model.onnx"
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        given = {inside: tensors[outside] for inside, outside in step["input_map"].items()}
        inside, outside = step["output_map"].popitem()
        tensors[outside] = session.run([inside], given)[0]
    expected = load_session(small_artifact, "ort-cpu")
    expected.bind((HEIGHT, WIDTH))
    frame = small_artifact.manifest.input.from_image(exact(noise(), "709"))
    np.testing.assert_allclose(tensors[ensemble["output"][0]["name"]], expected.run(frame), rtol=0, atol=1e-4)
    assert (tmp_path / f"{name}_nv12" / "1").is_dir()


def test_a_network_of_one_size(tmp_path: Path, parsed: Callable[..., list[dict[str, Any]]]) -> None:
    static = export(checkpoint(), ExportOptions(shape=Shape(20, 30)), tmp_path)
    made = write_model(static, tmp_path / "models", nv12="601")
    (found,) = parsed((made.others[-1] / CONFIGURATION).read_text())
    assert found["input"] == [tensor("nv12", "TYPE_UINT8", 1, 1, 30, 30)]
    assert found["output"] == [tensor("output", "TYPE_FP32", 1, 3, 40, 60)]


def test_what_has_no_nv12(small_artifact: Artifact, tmp_path: Path) -> None:
    odd = export(checkpoint(), ExportOptions(shape=Shape(9, 12)), tmp_path / "odd")
    for artifact, matrix, words in (
        (odd, "709", "NV12 has even sizes"),
        (batched(small_artifact, tmp_path), "709", "NV12 frames are single"),
        (small_artifact, "2020", "'2020' is not a matrix"),
    ):
        with pytest.raises(InputError, match=words):
            write_model(artifact, tmp_path / "models", nv12=matrix)  # type: ignore[arg-type]
    assert not (tmp_path / "models").exists()


def test_nothing_is_replaced_unasked(small_artifact: Artifact, tmp_path: Path) -> None:
    write_model(small_artifact, tmp_path, nv12="709")
    write_model(small_artifact, tmp_path, nv12="709")  # the same again
    with pytest.raises(OutputExists, match="_from_nv12 exists"):
        write_model(small_artifact, tmp_path, nv12="601")


def test_the_command(small_artifact: Artifact, tmp_path: Path, toolkit_command: Command) -> None:
    done = toolkit_command("triton", small_artifact.path, "-o", tmp_path, "--nv12", "709", "--json")
    assert done.returncode == 0, done.stderr
    name = small_artifact.manifest.name
    assert json.loads(done.stdout)["others"] == [str(tmp_path / f"{name}{end}") for end in ("_from_nv12", "_nv12")]
    assert f"{name}_nv12 takes NV12" in done.stderr
