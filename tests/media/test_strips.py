"""Strips: the same result as the whole frame, bit for bit, whatever the size and the memory."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photographs import picture

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.graph.analysis.locality import Locality
from toolkit.media.strips import cut, highest
from toolkit.media.upscaler import FrameUpscaler
from toolkit.runtimes.subject import Subject
from toolkit.workloads import Shape


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 20), st.integers(0, 20), st.integers(1, 3))
def test_strips_cover_the_frame_and_see_what_they_need(
    units: int, rows: int, above: int, below: int, alignment: int
) -> None:
    height, local = units * alignment, Locality(above, below, alignment)
    strips = cut(height, rows, local)
    assert [strip.keep_start for strip in strips] == [0, *(strip.keep_stop for strip in strips[:-1])]
    assert strips[-1].keep_stop == height
    assert len({strip.stop - strip.start for strip in strips}) == 1, "a session is bound to one size"
    for strip in strips:
        assert strip.start % alignment == 0
        assert 0 <= strip.start <= max(0, strip.keep_start - above)
        assert height >= strip.stop >= min(height, strip.keep_stop + below)


def test_memory_sets_the_height() -> None:
    local = Locality(16, 15, 2)
    assert highest(1 << 40, Shape(1000, 1000), 100, local) == 1000
    rows = highest(10_000_000, Shape(1000, 1000), 100, local)
    (strip, *_) = cut(1000, rows, local)
    assert (strip.stop - strip.start) * 1000 * 100 <= 10_000_000
    assert highest(1, Shape(1000, 1000), 100, local) == 2


@pytest.mark.parametrize("runtime", ["ort-cpu", "openvino", "native"])
@settings(max_examples=10, deadline=None)
@given(height=st.integers(1, 150), width=st.integers(1, 40))
def test_the_same_bits_as_the_whole_frame(runtime: str, small_artifact: Artifact, height: int, width: int) -> None:
    random = np.random.default_rng(height * 1000 + width)
    frame = random.integers(0, 65536, (3, height, width), np.uint16)
    whole = FrameUpscaler(Subject(small_artifact, runtime, 2), memory=1 << 40)(frame, 65535)
    assert whole.shape == (3, 2 * height, 2 * width)
    strips = FrameUpscaler(Subject(small_artifact, runtime, 2), memory=40_000)
    np.testing.assert_array_equal(strips(frame, 65535), whole)
    assert height < 100 or width < 20 or len(strips._strips) > 1


def test_8_bits_are_rounded_as_quality_rounds(small_artifact: Artifact) -> None:
    from toolkit.quality.subjects import load

    pixels = picture(30, 21)
    made = FrameUpscaler(Subject(small_artifact, "ort-cpu", 2), memory=1 << 40)(
        np.ascontiguousarray(pixels.transpose(2, 0, 1)), 255
    )
    np.testing.assert_array_equal(made.transpose(1, 2, 0), load(Subject(small_artifact, "ort-cpu"))(pixels))


def test_reuse_changes_no_bit_and_counts(small_artifact: Artifact) -> None:
    frames = [picture(160, 16, seed=1).transpose(2, 0, 1) for _ in range(5)]
    changed = [frame.copy() for frame in frames]
    changed[2][:, 3:6] ^= 1
    changed[3][:, 155:] ^= 1
    changed[4][:] ^= 1
    fresh = FrameUpscaler(Subject(small_artifact, "ort-cpu", 2), memory=1 << 40)
    reusing = FrameUpscaler(Subject(small_artifact, "ort-cpu", 2), memory=1 << 40, reuse=True)
    for frame in changed:
        np.testing.assert_array_equal(reusing(frame, 255), fresh(frame, 255))
    # The second frame wholly; most of the third and fourth, which differ in one strip each (and back in one of those).
    assert 0.35 < reusing.reused.share < 0.6
    assert fresh.reused.reused == 0


def test_a_network_of_the_whole_frame_says_how_much_memory_it_needs(tmp_path: Path) -> None:
    from samples import checkpoint, small_preset

    from toolkit.graph.export import export

    attention = export(checkpoint(small_preset("naf-eca")), directory=tmp_path)
    frame = np.zeros((3, 64, 64), np.uint8)
    assert FrameUpscaler(Subject(attention, "ort-cpu", 2), memory=1 << 30)(frame, 255).shape == (3, 128, 128)
    with pytest.raises(InputError, match="cannot be cut into strips"):
        FrameUpscaler(Subject(attention, "ort-cpu", 2), memory=1 << 16)(frame, 255)
