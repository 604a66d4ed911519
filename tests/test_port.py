"""Ports: pictures become frames and come back, compared with plain NumPy in float64."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from toolkit.errors import InputError
from toolkit.port import PLANAR, ChannelOrder, Layout, Port, PortType, rgb_port
from toolkit.workloads import Shape

RANGES = {
    "float32": [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0), (16 / 255, 235 / 255), (-0.5, 0.5), (0.0, 65535.0)],
    "float16": [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)],
    "uint8": [(0.0, 255.0), (16.0, 235.0)],
}
STEP = {"float32": 2.0**-23, "float16": 2.0**-10}
"""Distance of neighbouring numbers near 1."""


def a_port(layout: Layout, dtype: PortType, order: ChannelOrder, value_range: tuple[float, float]) -> Port:
    channels = 1 if order == "Y" else 3
    shape = (1, channels, "h", "w") if layout == "NCHW" else (1, "h", "w", channels)
    return Port("x", layout, dtype, value_range, shape, order)


@st.composite
def ports(draw: st.DrawFn, dtypes: tuple[str, ...] = get_args(PortType)) -> Port:
    dtype = draw(st.sampled_from(dtypes))
    return a_port(
        draw(st.sampled_from(get_args(Layout))),
        dtype,
        draw(st.sampled_from(get_args(ChannelOrder))),
        draw(st.sampled_from(RANGES[dtype])),
    )


@st.composite
def pictures(draw: st.DrawFn) -> tuple[NDArray[Any], float]:
    """A picture of any size and kind, and its white."""
    size = draw(st.integers(1, 35)), draw(st.integers(1, 35)), draw(st.sampled_from([1, 3]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["uint8", "uint16", "10 bits", "float32", "float64"]))
    if kind.startswith("float"):
        return random.uniform(0, 1, size).astype(kind), 1.0
    white = {"uint8": 255, "uint16": 65535, "10 bits": 1023}[kind]
    picture = random.integers(0, white + 1, size).astype(np.uint8 if white == 255 else np.uint16)
    # Views, as of planes, are pictures too.
    return (picture if draw(st.booleans()) else np.asfortranarray(picture)), float(white)


def truth(port: Port, picture: NDArray[Any], white: float) -> NDArray[np.float64]:
    """Values of the frame in float64, not rounded: written without a look at the port's own code."""
    unit = picture.astype(np.float64) / white
    if port.order == "Y" and unit.shape[2] == 3:
        red, green, blue = np.moveaxis(unit, 2, 0)
        unit = (0.299 * red + 0.587 * green + 0.114 * blue)[..., None]
    if port.order != "Y" and unit.shape[2] == 1:
        unit = np.repeat(unit, 3, axis=2)
    if port.order == "BGR":
        unit = unit[..., [2, 1, 0]]
    black, full = port.value_range
    values = black + unit * (full - black)
    return (values.transpose(2, 0, 1) if port.layout == "NCHW" else values)[None]


@given(ports(), pictures())
def test_a_frame_holds_the_picture(port: Port, given_picture: tuple[NDArray[Any], float]) -> None:
    picture, white = given_picture
    before = picture.copy()
    frame = port.from_image(picture, white=white)
    exact = truth(port, picture, white)
    assert frame.dtype == np.dtype(port.dtype)
    assert frame.shape == exact.shape == port.frame_shape(Shape(*picture.shape[:2]))
    assert frame.flags.c_contiguous
    distance = np.abs(frame.astype(np.float64) - exact).max()
    # Half a level, and what float32 arithmetic adds near a tie; or a few steps of the frame's type.
    largest = max(map(abs, port.value_range))
    assert distance <= (0.5 + 1e-4 if port.dtype == "uint8" else 2 * STEP[port.dtype] * largest)
    assert np.array_equal(picture, before)
    assert port.size_of(frame) == Shape(*picture.shape[:2])


@given(ports(("float32",)), pictures())
def test_pictures_of_8_and_16_bits_come_back(port: Port, given_picture: tuple[NDArray[Any], float]) -> None:
    picture, white = given_picture
    if picture.dtype.kind == "f" or (white == 65535 and abs(port.value_range[0]) * 2**17 > port.span):
        return  # float32 does not hold 16 bits that are far from zero
    grey = port.order == "Y"
    if grey and picture.shape[2] == 3:
        picture = picture[..., :1]
    found = port.to_image(port.from_image(picture, white=white), picture.dtype, white=white)
    assert found.dtype == picture.dtype
    assert np.array_equal(found, picture if grey or picture.shape[2] == 3 else np.repeat(picture, 3, 2))


@given(st.sampled_from(get_args(Layout)), st.sampled_from(get_args(ChannelOrder)), pictures())
def test_full_range_bytes_are_not_changed(
    layout: Layout, order: ChannelOrder, given_picture: tuple[NDArray[Any], float]
) -> None:
    picture = given_picture[0]
    if picture.dtype != np.uint8 or (order == "Y" and picture.shape[2] == 3):
        return
    port = a_port(layout, "uint8", order, (0.0, 255.0))
    assert np.array_equal(
        port.to_image(port.from_image(picture)), np.broadcast_to(picture, (*picture.shape[:2], port.channels))
    )


@given(
    ports(),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([(np.uint8, 255), (np.uint16, 65535), (np.uint16, 1023)]),
)
def test_results_are_limited_and_rounded(
    port: Port, height: int, width: int, kind: tuple[type[np.integer[Any]], int]
) -> None:
    dtype, white = kind
    low, high = port.value_range
    random = np.random.default_rng(height * 41 + width)
    frame = random.uniform(low - 0.2 * port.span, high + 0.2 * port.span, port.frame_shape(Shape(height, width)))
    frame = (frame.clip(0, 255).round() if port.dtype == "uint8" else frame).astype(port.dtype)
    unit = ((frame[0].astype(np.float64) - low) / (high - low)).clip(0, 1) * white
    exact = unit.transpose(1, 2, 0) if port.layout == "NCHW" else unit
    exact = exact[..., [2, 1, 0]] if port.order == "BGR" else exact
    found = port.to_image(frame, dtype, white=white)
    assert found.dtype == dtype
    assert found.shape == (height, width, port.channels)
    assert np.abs(found - exact).max() <= 0.5 + white * 1e-5
    given_out = np.empty((port.channels, height, width), dtype).transpose(1, 2, 0)
    assert port.to_image(frame, white=white, out=given_out) is given_out
    assert np.array_equal(given_out, found)


@given(ports(("float32", "float16")), st.integers(1, 9), st.integers(1, 9))
def test_float_results_are_neither_limited_nor_rounded(port: Port, height: int, width: int) -> None:
    picture = np.random.default_rng(0).uniform(-3, 4, (height, width, port.channels))
    frame = port.from_image(picture, floating=np.float64)
    assert frame.dtype == np.float64
    np.testing.assert_allclose(frame, truth(port, picture, 1.0), rtol=1e-14, atol=1e-12 * port.span)
    np.testing.assert_allclose(port.to_image(frame, np.float64), picture, rtol=1e-12, atol=1e-12)


def test_ties_go_to_even_and_nan_is_black_in_bytes() -> None:
    port = rgb_port("uint8")
    values = np.array([0.5, 1.5, 2.5, -3.0, 400.0, np.nan]) / 255
    frame = port.from_image(np.repeat(values[None, :, None], 3, 2))
    assert frame[0, 0, 0].tolist() == [0, 2, 2, 0, 255, 0]
    halves = np.full((1, 3, 1, 1), 0.5, np.float32)
    assert PLANAR.to_image(halves, white=1).max() == 0
    assert PLANAR.to_image(halves, white=3).max() == 2


def test_luma_is_that_of_the_metrics() -> None:
    """A network for video range sees what PSNR-Y is computed on."""
    from toolkit.quality.metrics import luma

    picture = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    port = a_port("NCHW", "float32", "Y", (16 / 255, 235 / 255))
    found = port.from_image(picture)[0, 0].astype(np.float64) * 255
    np.testing.assert_allclose(found, luma(picture), atol=1e-4)


@given(ports(), st.integers(1, 20), st.integers(1, 20))
def test_noise_spans_the_value_range_and_repeats(port: Port, height: int, width: int) -> None:
    shape = Shape(height, width)
    frame = port.noise(shape, np.random.default_rng(7))
    assert np.array_equal(frame, port.noise(shape, np.random.default_rng(7)))
    levels = np.random.default_rng(7).integers(0, 256, frame.shape, np.uint8)
    exact = port.value_range[0] + levels / 255 * port.span
    bound = 0.5 + 1e-4 if port.dtype == "uint8" else 2 * STEP[port.dtype] * max(map(abs, port.value_range))
    assert frame.dtype == np.dtype(port.dtype)
    assert np.abs(frame - exact).max() <= bound


@given(ports(), st.data())
def test_regions_and_taken_rows(port: Port, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    frame = port.noise(Shape(height, width), np.random.default_rng(0))
    rows = data.draw(st.lists(st.integers(0, height - 1), min_size=1, max_size=15))
    columns = data.draw(st.lists(st.integers(0, width - 1), min_size=1, max_size=15))
    taken = port.taken(frame, rows, columns)
    assert np.array_equal(port.values(taken), port.values(frame)[np.ix_(rows, columns)])
    part = port.region(frame, slice(1, 3), slice(None, 2))
    assert np.array_equal(port.values(part), port.values(frame)[1:3, :2])
    assert part.size == 0 or np.shares_memory(part, frame)


def test_a_picture_is_not_written_into_another_shape() -> None:
    """NumPy would repeat one channel, or one row, without a word."""
    port = a_port("NCHW", "float32", "Y", (0.0, 1.0))
    with pytest.raises(ValueError, match="does not fit"):
        port.to_image(port.zeros(Shape(4, 4)), out=np.empty((4, 4, 3), np.uint8))


def test_exact_values_are_limited_where_the_port_is() -> None:
    picture = np.array([[[-0.25, 0.5, 1.25]]])
    assert PLANAR.exact_values(picture).tolist() == [[[-0.25, 0.5, 1.25]]]
    clamped = msgspec.structs.replace(PLANAR, clamped=True, value_range=(-1.0, 1.0))
    assert clamped.exact_values(picture).tolist() == [[[-1.0, 0.0, 1.0]]]
    assert rgb_port("uint8").exact_values(picture).tolist() == [[[0.0, 127.5, 255.0]]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value_range": (0.0, float("nan"))}, "empty or not finite"),
        ({"value_range": (0.0, float("inf"))}, "empty or not finite"),
        ({"value_range": (1.0, 1.0)}, "empty or not finite"),
        ({"value_range": (1.0, 0.0)}, "empty or not finite"),
        ({"dtype": "uint8", "value_range": (-1.0, 255.0)}, "does not fit uint8"),
        ({"dtype": "uint8", "value_range": (0.0, 256.0)}, "does not fit uint8"),
        ({"dtype": "float16", "value_range": (0.0, 1e5)}, "does not fit float16"),
        ({"shape": (1, 3, 4)}, "not that of pictures"),
        ({"shape": (1, 3, 0, 4)}, "not that of pictures"),
        ({"shape": (1, 4, "h", "w")}, "not that of one NCHW picture in RGB"),
        ({"shape": (2, 3, "h", "w")}, "not that of one NCHW picture"),
        ({"layout": "NHWC"}, "not that of one NHWC picture"),
        ({"order": "Y"}, "not that of one NCHW picture in Y"),
        ({"order": "GRB"}, "Invalid enum value"),
        ({"layout": "CHWN"}, "Invalid enum value"),
    ],
)
def test_what_cannot_be_a_port_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, msgspec.ValidationError), match=message):
        msgspec.convert(msgspec.to_builtins(PLANAR) | changes, Port)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (4, 4, 4), (1, 3, 4, 4)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="is not a picture"):
        PLANAR.from_image(np.zeros(shape, np.uint8))


def test_defaults_are_not_written() -> None:
    """Manifests of RGB networks that do not clamp keep their bytes."""
    assert [*msgspec.to_builtins(PLANAR)] == ["name", "layout", "dtype", "value_range", "shape"]
    for layout, order in itertools.product(get_args(Layout), get_args(ChannelOrder)):
        port = a_port(layout, "float32", order, (0.0, 1.0))
        assert msgspec.json.decode(msgspec.json.encode(port), type=Port) == port
