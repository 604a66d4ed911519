"""Training clips: aligned with their originals after a real codec, repeatable, and mixed into batches as asked."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from photographs import picture
from PIL import Image

from toolkit.errors import InputError
from toolkit.media.videos.clip_encoder import CodecSettings
from toolkit.media.videos.colour import LOCATIONS, Colour
from toolkit.training.clips import FRAMES, KEPT, LOW, Clip, make_clips
from toolkit.training.codecs import _ENCODERS, decoded_clip, random_settings
from toolkit.training.config import TrainingConfig
from toolkit.training.degradation import Pixels, degrade
from toolkit.training.photos import Photos, index_photos
from toolkit.training.sampling import Sampler

BEST = {"libx264": "crf", "libx265": "crf", "libsvtav1": "crf", "libvpx-vp9": "crf"}


def psnr(one: Pixels, other: Pixels) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


@pytest.fixture(scope="module")
def smooth() -> Pixels:
    """A clip (4, 64, 96, 3) that 4:2:0 can hold: bright blobs of slowly changing colour, moving by 2 pixels a frame."""
    rows, columns = np.mgrid[:64, :104]
    waves = [128 + 90 * np.sin(rows / a) * np.cos(columns / b) for a, b in ((9, 11), (14, 17), (21, 13))]
    wide = np.rint(np.stack(waves, 2)).astype(np.uint8)
    return np.stack([wide[:, 2 * step : 2 * step + 96] for step in range(4)])


def settings(codec: str, quality: str, location: str = "left", *, full: bool = False) -> CodecSettings:
    names = (BEST[codec],) if codec in BEST else ("qmin", "qmax")
    options = tuple((name, quality) for name in names) + ((("b", "0"),) if codec == "libvpx-vp9" else ())
    return CodecSettings(codec, options, Colour(1, full, location), 12)


@pytest.mark.parametrize("codec", _ENCODERS)
def test_a_good_codec_gives_the_clip_back(codec: str, smooth: Pixels) -> None:
    """A shift of half a pixel, exchanged planes, a lost frame or another matrix would cost far more."""
    good, poor = (decoded_clip(smooth, settings(codec, quality)) for quality in ("2", "31"))
    assert good.shape == smooth.shape
    assert psnr(good, smooth) > 38
    assert psnr(poor, smooth) < psnr(good, smooth) - 1


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("full", [False, True])
def test_chroma_and_range_come_back_as_they_went(location: str, full: bool, smooth: Pixels) -> None:
    assert psnr(decoded_clip(smooth, settings("libx264", "2", location, full=full)), smooth) > 38


def test_settings_cover_what_is_common() -> None:
    drawn = [random_settings(np.random.default_rng(seed)) for seed in range(300)]
    assert {item.codec for item in drawn} == set(_ENCODERS)
    assert {item.colour.location for item in drawn} == {"left", "center", "topleft"}
    assert {item.colour.full for item in drawn} == {True, False}
    x264 = [int(dict(item.options)["crf"]) for item in drawn if item.codec == "libx264"]
    assert min(x264) <= 22 and max(x264) >= 38


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    folder = tmp_path_factory.mktemp("large")
    for index, (height, width) in enumerate([(420, 700), (390, 650)]):
        Image.fromarray(picture(height, width, index)).save(folder / f"{index}.png")
    Image.fromarray(picture(100, 100, 5)).save(folder / "small.png")
    return index_photos(folder, tmp_path_factory.mktemp("cache"), 24)


def made(photos: Photos, cache: Path, count: int = 3, seed: int = 0) -> tuple[Clip, ...]:
    return make_clips(photos, count, 2, seed, cache, 1, lambda *_: None)


def test_clips_are_repeatable_and_cached(large: Photos, tmp_path: Path) -> None:
    first, again = made(large, tmp_path / "a"), made(large, tmp_path / "b")
    stamps = [clip.high.stat().st_mtime_ns for clip in first]
    assert [clip.high.stat().st_mtime_ns for clip in made(large, tmp_path / "a")] == stamps
    for one, other in zip(first, again, strict=True):
        (low, high), (low2, high2) = one.pixels(), other.pixels()
        assert low.shape == (KEPT, *LOW, 3) and high.shape == (KEPT, LOW[0] * 2, LOW[1] * 2, 3)
        assert np.array_equal(low, low2) and np.array_equal(high, high2)
        assert psnr(low, degrade(np.ascontiguousarray(high), 2)) > 18, "decoded frames belong to these originals"
    assert not np.array_equal(made(large, tmp_path / "a", seed=1)[0].pixels()[1], first[0].pixels()[1])
    assert KEPT < FRAMES


def test_photographs_too_small_for_clips_are_refused(tmp_path: Path) -> None:
    Image.fromarray(picture(100, 100, 5)).save(tmp_path / "small.png")
    found = index_photos(tmp_path, tmp_path / "cache", 24)
    with pytest.raises(InputError, match="640x384"):
        made(found, tmp_path / "clips")


def test_batches_mix_clips_and_clean_patches(large: Photos, config: TrainingConfig, tmp_path: Path) -> None:
    """Patches of both resolutions are of one place, and as many are clean as was asked for."""
    mixed = msgspec.structs.replace(config, batch=64, patches=(32,), clip_share=0.75)
    clips = made(large, tmp_path)
    batch = Sampler(large, mixed, clips=clips).batch(3)
    clean = [np.array_equal(degrade(high[None], 2)[0], low) for low, high in zip(batch.low, batch.high, strict=True)]
    assert 6 <= sum(clean) <= 28, "16 of 64 are expected"
    for low, high in zip(batch.low, batch.high, strict=True):
        inner = np.s_[4:-4, 4:-4]
        assert psnr(degrade(high[None], 2)[0][inner], low[inner]) > 16
    parts = [Sampler(large, mixed, (rank, 2), clips).batch(3) for rank in range(2)]
    for rank, part in enumerate(parts):
        assert np.array_equal(part.low, batch.low[rank::2]) and np.array_equal(part.high, batch.high[rank::2])
