"""Short clips with and without a codec's losses, made from photographs once and cached as arrays."""

from __future__ import annotations

import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.errors import InputError
from toolkit.system.atomic import write_bytes
from toolkit.system.progress import Progress, ProgressCallback
from toolkit.training.codecs import Random, decoded_clip, random_settings
from toolkit.training.degradation import Pixels, degrade
from toolkit.training.photos import Photo, Photos

FRAMES = 10
"""Length of a clip: enough for a key frame, frames predicted from it, and frames between these."""

KEPT = 3
"""Frames of a clip that are trained on; the others are too similar to them."""

LOW = (192, 320)
"""Height and width of low-resolution frames: multiples of 64, so that no codec pads them."""

_VERSION = 3
"""Raised when the same seed gives different clips, so that cached ones are not used."""

_CUT, _FADE, _NOISE = 0.15, 0.1, 0.25
"""Probability that a clip has a cut, a change of brightness, or sensor noise."""

_ROTATION = 0.006
"""Radians per frame, at most."""


@dataclass(frozen=True)
class Clip:
    """A clip in the cache, as arrays (KEPT, height, width, 3) uint8 in .npy files: decoded, and the original."""

    low: Path
    high: Path

    def pixels(self) -> tuple[Pixels, Pixels]:
        """Both arrays, memory-mapped: only the parts that are used are read from disk."""
        return np.load(self.low, mmap_mode="r"), np.load(self.high, mmap_mode="r")


def make_clips(
    photos: Photos, count: int, scale: int, seed: int, cache: Path, threads: int, progress: ProgressCallback
) -> tuple[Clip, ...]:
    """Clips of photographs in motion, encoded and decoded. The same arguments give the same clips, bit for bit.

    Args:
        photos: what the camera sees.
        count: of clips; each takes about `KEPT * 3 * 320 * 192 * (1 + scale²)` bytes in `cache`.
        scale: of the network.
        seed: of cameras and codecs.
        cache: directory, created where it is missing.
        threads: number of clips that are encoded at the same time.
        progress: called for every clip.

    Raises:
        Unavailable: PyAV, or an encoder, is missing.
        InputError: no photograph is large enough, or an encoder fails.
    """
    if not count:
        return ()
    usable = [photo for photo in photos.photos if min(photo.height / LOW[0], photo.width / LOW[1]) >= scale]
    if not usable:
        height, width = (side * scale for side in LOW)
        raise InputError(f"no photograph has the {width}x{height} pixels that clips need", "Leave out --clips.")
    make = partial(_clip, usable, photos.fingerprint, scale, seed, cache)
    made = []
    with ThreadPoolExecutor(threads) as pool:
        try:
            for clip in pool.map(make, range(count)):
                made.append(clip)
                progress(Progress("encoding clips", len(made) / count))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return tuple(made)


def _clip(photos: list[Photo], fingerprint: str, scale: int, seed: int, cache: Path, number: int) -> Clip:
    identity = json.dumps([_VERSION, fingerprint, scale, seed, number])
    key = hashlib.sha256(identity.encode()).hexdigest()[:40]
    clip = Clip(cache / f"{key}.low.npy", cache / f"{key}.high.npy")
    # `high` is written last, so where it exists, both files are complete.
    if not clip.high.is_file():
        random = np.random.Generator(np.random.Philox(key=np.array([seed, number], np.uint64)))
        high = _filmed(photos, random, (LOW[0] * scale, LOW[1] * scale))
        low = decoded_clip(degrade(high, scale), random_settings(random))
        kept = np.sort(random.choice(FRAMES, KEPT, replace=False))
        for path, frames in ((clip.low, low), (clip.high, high)):
            stream = io.BytesIO()
            np.save(stream, np.ascontiguousarray(frames[kept]))
            write_bytes(path, stream.getvalue())
    return clip


def _filmed(photos: list[Photo], random: Random, size: tuple[int, int]) -> Pixels:
    """A clip of one or two shots, uint8 (FRAMES, height, width, 3)."""
    cut = int(random.integers(2, FRAMES - 1)) if random.random() < _CUT else FRAMES
    shots = [_shot(photos[random.integers(len(photos))], random, size, length) for length in (cut, FRAMES - cut)]
    frames = np.concatenate([shot for shot in shots if len(shot)])
    light = np.ones(FRAMES)
    if random.random() < _FADE:
        light = np.linspace(1, random.uniform(0.1, 0.9), FRAMES)[:: random.choice((-1, 1))]
    noise = random.uniform(1, 6) if random.random() < _NOISE else 0.0
    if noise or light.min() < 1:
        changed = frames * light[:, None, None, None] + noise * random.standard_normal(frames.shape, np.float32)
        frames = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    return frames


def _shot(photo: Photo, random: Random, size: tuple[int, int], count: int) -> Pixels:
    """A photograph seen by a camera that is still, pans by whole pixels, or moves, rotates and zooms smoothly."""
    if not count:
        return np.zeros((0, *size, 3), np.uint8)
    height, width = size
    # The photograph is reduced by a random factor: 1 shows it at its own resolution, the largest shows nearly all of
    # it.
    most = min(photo.height / height, photo.width / width)
    reduction = float(np.exp(random.uniform(0, np.log(max(most * 0.8, 1.0)))))
    # Pixels beyond the frame that the camera can move over.
    room = [min(side // 4, int(whole / reduction) - side) for side, whole in zip(size, _sides(photo), strict=True)]
    area = [side + extra for side, extra in zip(size, room, strict=True)]
    source = [min(int(side * reduction), whole) for side, whole in zip(area, _sides(photo), strict=True)]
    top, left = (random.integers(whole - side + 1) for side, whole in zip(source, _sides(photo), strict=True))
    crop = Image.fromarray(np.ascontiguousarray(photo.pixels()[top : top + source[0], left : left + source[1]]))
    scene = crop.resize((area[1], area[0]), Image.Resampling.LANCZOS)
    begin, end = (random.uniform(0, 1, 2) * room for _ in range(2))
    # At most a twelfth of that per frame, which is a fast pan already.
    path = begin + np.linspace(0, 1, count)[:, None] * (end - begin) * min(1.0, count / 12)
    kind = random.integers(4)
    if kind == 0:
        path[:] = begin
    if kind <= 2:
        pixels = np.asarray(scene)
        return np.stack([pixels[y : y + height, x : x + width] for y, x in np.floor(path).astype(int)])
    turn, zoom = random.uniform(-_ROTATION, _ROTATION), random.uniform(-0.01, 0.01)
    views = [_view(scene, size, place, turn * step, (1 + zoom) ** step) for step, place in enumerate(path)]
    return np.stack(views)


def _sides(photo: Photo) -> tuple[int, int]:
    return photo.height, photo.width


def _view(scene: Image.Image, size: tuple[int, int], place: NDArray[np.float64], angle: float, zoom: float) -> Pixels:
    """The scene from `place` on, rotated and enlarged around the centre of the frame; its border pixels are
    repeated."""
    height, width = size
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    middle_y, middle_x = place[0] + height / 2, place[1] + width / 2
    # The affine map from output (x, y) to the scene, in the order of coefficients that PIL expects.
    matrix = (
        *(cosine, -sine, middle_x - cosine * width / 2 + sine * height / 2),
        *(sine, cosine, middle_y - sine * width / 2 - cosine * height / 2),
    )
    reach = 64
    padded = Image.fromarray(np.pad(np.asarray(scene), ((reach, reach), (reach, reach), (0, 0)), mode="edge"))
    shifted = (*matrix[:2], matrix[2] + reach, *matrix[3:5], matrix[5] + reach)
    return np.asarray(padded.transform((width, height), Image.Transform.AFFINE, shifted, Image.Resampling.BICUBIC))
