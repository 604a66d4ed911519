"""All eight orientations of a video come out as players show them."""

from __future__ import annotations

import math
from pathlib import Path

import av
import numpy as np
import pytest
from media.films import plane, write_film
from media.nearest import nearest_artifact

from toolkit.media.options import UpscaleOptions
from toolkit.media.upscale import upscale
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.orientation import Orientation, from_matrix

ONE = 1 << 16
CORNERS = {
    "identity": (1, 0, 0, 1),
    "mirrored": (-1, 0, 0, 1),
    "upside down": (1, 0, 0, -1),
    "half turn": (-1, 0, 0, -1),
}
TURNS = {"transposed": (0, 1, 1, 0), "clockwise": (0, 1, -1, 0), "counter": (0, -1, 1, 0), "anti": (0, -1, -1, 0)}
MATRICES = CORNERS | TURNS


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> UpscaleOptions:
    nearest = nearest_artifact(tmp_path_factory.mktemp("nearest")).path
    return UpscaleOptions(models=(nearest,), runtime="ort-cpu", threads=1, video=VideoFormat(codec="ffv1"))


def shown(pixels: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Each pixel moved by itself to where ISO/IEC 14496-12 says: (x, y) to (ax + cy, bx + dy)."""
    a, b, c, d = matrix
    height, width = pixels.shape[:2]
    places = {(a * x + c * y, b * x + d * y): pixels[y, x] for y in range(height) for x in range(width)}
    left, top = min(x for x, _ in places), min(y for _, y in places)
    right, bottom = max(x for x, _ in places), max(y for _, y in places)
    rows = [[places[x, y] for x in range(left, right + 1)] for y in range(top, bottom + 1)]
    return np.array(rows)


def turned_film(path: Path, pixels: np.ndarray, values: tuple[int, int, int, int]) -> Path:
    """One frame with a display matrix in its track header."""
    plain = write_film(path.with_name("plain.mp4"), [pixels], options={"qp": "0"}, pix_fmt="yuv444p")
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        a, b, c, d = values
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return path


@pytest.mark.parametrize("name", MATRICES)
def test_all_eight(name: str, tmp_path: Path, options: UpscaleOptions) -> None:
    """A dark frame with a bright corner and a grey edge: no two of the eight look alike."""
    matrix = MATRICES[name]
    pixels = np.full((16, 24, 3), 30, np.uint8)
    pixels[:4, :8] = 220
    pixels[12:, :] = 120
    source = turned_film(tmp_path / "in.mp4", pixels, tuple(value * ONE for value in matrix))
    (report,) = upscale([source], tmp_path / "out.mkv", options).files
    assert report.notes == ()
    with av.open(str(tmp_path / "out.mkv")) as container:
        frame = next(container.decode(video=0))
        assert not len(frame.side_data), "the result has no matrix of its own"
    luma = plane(frame, 0).astype(int)
    wanted = shown(pixels[..., 0].astype(int), matrix).repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(luma, wanted * 219 / 255 + 16, atol=3)


@pytest.mark.parametrize("degrees", [10, 80, 100, 190, 350])
def test_other_angles_are_the_nearest_and_named(degrees: int) -> None:
    """An angle is clockwise, as it is shown."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    nearest = round(degrees / 90) * 90 % 360
    exact = {0: "identity", 90: "clockwise", 180: "half turn", 270: "counter"}[nearest]
    found = from_matrix(cosine, sine, -sine, cosine)
    wanted = from_matrix(*MATRICES[exact])
    assert (found.transposed, found.mirror_x, found.mirror_y) == (wanted.transposed, wanted.mirror_x, wanted.mirror_y)
    assert f"{(degrees + 180) % 360 - 180} degrees" in found.note
    assert wanted.note == ""


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0)])
def test_what_is_no_rotation_is_ignored_and_named(matrix: tuple[int, int, int, int]) -> None:
    assert from_matrix(*matrix) == Orientation(note="its display matrix is not a rotation and was ignored")


def test_a_rounded_matrix_is_exact() -> None:
    """As writers have it that take sin and cos in float32 and truncate."""
    assert from_matrix(-2, ONE - 1, -ONE, 1) == from_matrix(0, 1, -1, 0)


def test_a_scaled_matrix_is_exact() -> None:
    assert from_matrix(0, ONE * 2, -ONE // 2, 0) == from_matrix(0, 1, -1, 0)
