"""Reads pictures, with the same rules for orientation, transparency, depth and colour in every command."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from toolkit.errors import InputError
from toolkit.images import exif, xmp
from toolkit.images.boxes import ImageProperties, read_properties, without_exif
from toolkit.images.decoders import CAMERA_RAW, DECODER_ERRORS, is_avif, is_heif, is_jxl, register_plugin
from toolkit.images.deep import deep_samples, png_samples
from toolkit.images.jxl import jxl_size
from toolkit.images.limits import check_size
from toolkit.images.metadata import Described, checked_profile, read_metadata
from toolkit.images.picture import Metadata, Mode, Picture, Samples
from toolkit.images.png_chunks import SIGNATURE, PngHeader, open_png
from toolkit.images.scaling import upright
from toolkit.images.shallow import shallow_samples
from toolkit.images.tiff import tiff_samples
from toolkit.images.tiff_tags import ICC, XMP, TiffTags, is_tiff, read_tags, without_orientation

_HEAD = 64
_BEHIND = "its gain map, depth map or motion video was left out, with the XMP that describes it"
_JPEG_TRAILERS = (b"MotionPhoto_Data", b"ftypmp4", b"ftypisom", b"ftypqt")
"""Start of a video that follows a photograph in its file."""


@dataclass(frozen=True)
class _Decoded:
    samples: Samples
    mode: Mode
    depth: int
    notes: tuple[str, ...] = ()
    metadata: Metadata | None = None
    """Set if decoding changed the ICC profile."""


def read_picture(path: Path) -> Picture:
    """Read a picture, upright.

    If the file has several pictures, the first is read, with a note. Metadata is never a reason to refuse the picture:
    broken metadata is left out, with a note.

    Raises:
        InputError: the file cannot be read, is truncated, is larger than the limit, or has samples that are not
            supported, such as floating-point ones.
        Unavailable: reading this format, or more than 8 bits per sample, needs the extra `images`.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures (twice as large is an error) and of damaged metadata.
            warnings.simplefilter("ignore")
            return _read(path)
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} is too large: {error}", "Pictures may have up to 178 megapixels.") from error
    except MemoryError as error:
        raise InputError(
            f"{path} is too large for the memory of this machine", "Split it into smaller pictures."
        ) from error
    except UnidentifiedImageError as error:
        reason = "its format is unknown, or its header is damaged"
        raise InputError(f"cannot read image {path}: {reason}", "Check that it is a complete picture.") from error
    except DECODER_ERRORS as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"cannot read image {path}: {reason}", "Check that it is a complete picture.") from error


def is_picture(path: Path) -> bool:
    """Whether a file's content is a picture, complete or not, rather than a video."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if is_tiff(head) or is_heif(head) or is_jxl(head) or head.startswith(SIGNATURE):
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path):
                return True
    except UnidentifiedImageError:
        return False
    except (*DECODER_ERRORS, Image.DecompressionBombError):
        return True  # a format that Pillow knows, in a damaged file


def _read_head(path: Path) -> bytes:
    """The first bytes of a file, by which its format is recognised."""
    if path.suffix.lower() in CAMERA_RAW:
        raise InputError(f"{path} is a camera raw file", "Convert it to TIFF, PNG or JPEG first.")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise InputError(f"cannot read image {path}: the file is empty", "Copy or download it again.")
    return head


def _read(path: Path) -> Picture:
    head = _read_head(path)
    if is_tiff(head):
        return _read_tiff(path)
    if is_jxl(head) and (size := jxl_size(path.read_bytes())) is not None:
        check_size(*size)  # before the plugin, which decodes when it opens the file
    if is_heif(head) or is_jxl(head):
        register_plugin(path, head)
    with ExitStack() as stack:
        png: PngHeader | None = None
        source: Path | IO[bytes] = path
        if head.startswith(SIGNATURE):
            source, png = open_png(path)
            stack.enter_context(source)
        properties, notes = ImageProperties(), list(png.notes if png else ())
        if is_avif(head) or is_heif(head):
            content = path.read_bytes()
            properties = read_properties(content)
            source, broken = _without_broken_exif(content)
            notes += broken
        image = stack.enter_context(Image.open(source))
        notes += _further_pictures(image, png.pictures if png else None)
        if png is not None and png.colour:
            image.load()  # metadata may follow the samples
            decoded = _Decoded(*png_samples(path, source), 16)
        elif (deep := deep_samples(path, image, properties)) is not None:
            decoded = _Decoded(*deep)
        else:
            decoded = _Decoded(*shallow_samples(path, image))
        cicp = png.cicp if png is not None else properties.cicp
        said = read_metadata(image, cicp)
        notes += [*decoded.notes, *said.notes, *_trailers(path, image, said, properties)]
    metadata = said.metadata
    if decoded.metadata is not None:
        metadata = replace(metadata, icc=decoded.metadata.icc, cicp=None)
    return _finished(path, decoded, metadata, said.orientation, notes)


def _without_broken_exif(content: bytes) -> tuple[IO[bytes], tuple[str, ...]]:
    """An AVIF or HEIF file for Pillow, and notes; EXIF for which Pillow refuses the file is hidden."""
    try:
        with Image.open(BytesIO(content)):
            return BytesIO(content), ()
    except DECODER_ERRORS:
        hidden = without_exif(content)
        return BytesIO(hidden or content), ("its EXIF is broken and was left out",) if hidden else ()


def _finished(path: Path, decoded: _Decoded, metadata: Metadata, orientation: int, notes: Sequence[str]) -> Picture:
    if not decoded.samples.size:
        raise InputError(f"{path} has no pixels", "Check that the file is complete.")
    samples = upright(decoded.samples, orientation)
    return Picture(samples, decoded.mode, metadata, tuple(f"{path.name}: {note}" for note in notes), decoded.depth)


def _read_tiff(path: Path) -> Picture:
    """Read a TIFF file. Its tags are read here, since Pillow opens only some kinds of TIFF."""
    tags = read_tags(path)
    notes: tuple[str, ...] = ()
    metadata, left_out = _tiff_metadata(tags)
    if 8 < tags.depth <= 16 and not tags.floating:
        decoded = _Decoded(*tiff_samples(path))
    else:
        decoded, notes = _shallow_tiff(path, tags)
    if decoded.metadata is not None:
        metadata = replace(metadata, icc=decoded.metadata.icc)
    return _finished(path, decoded, metadata, tags.orientation, [*notes, *decoded.notes, *left_out])


def _shallow_tiff(path: Path, tags: TiffTags) -> tuple[_Decoded, tuple[str, ...]]:
    """A TIFF with up to 8 bits per sample, by Pillow, or by tifffile if Pillow fails, as for WebP compression."""
    try:
        with Image.open(path if tags.orientation == 1 else without_orientation(path, tags)) as image:
            return _Decoded(*shallow_samples(path, image)), _further_pictures(image)
    except DECODER_ERRORS as error:
        try:
            return _Decoded(*tiff_samples(path)), ()
        except DECODER_ERRORS:
            raise error from None


def _tiff_metadata(tags: TiffTags) -> tuple[Metadata, list[str]]:
    raw = tags.exif()
    cleaned = exif.clean(raw) if raw else exif.CleanExif(None)
    icc, reason = checked_profile(tags.content(ICC))
    packet, trailers = xmp.without_trailers(xmp.upright(tags.content(XMP) or b""))
    notes = [*tags.notes, *cleaned.notes, *reason]
    if trailers:
        notes.append(_BEHIND)
    return Metadata(icc, cleaned.content, packet or None, tags.dpi), notes


def _further_pictures(image: Image.Image, frames: int | None = None) -> tuple[str, ...]:
    try:
        frames = getattr(image, "n_frames", 1) if frames is None else frames
    except DECODER_ERRORS:
        return ("the number of pictures in it cannot be read; the first was used",)
    if frames <= 1 or image.format == "PSD":  # frames of a PSD are layers, and the first picture is the composite
        return ()
    if image.format == "MPO":
        return (f"{frames - 1} further pictures in it (previews, gain maps or depth maps) were left out",)
    return (f"it has {frames} pictures; the first was used",)


def _trailers(path: Path, image: Image.Image, said: Described, beside: ImageProperties) -> tuple[str, ...]:
    """Notes about gain maps and videos in the same file."""
    if said.trailers:
        return (_BEHIND,)
    video = beside.video
    if image.format in ("JPEG", "MPO"):
        content = path.read_bytes()
        video = any(name in content for name in _JPEG_TRAILERS)
    found = {"its gain map was left out": beside.gain_map, "its motion video was left out": video}
    return tuple(note for note, is_there in found.items() if is_there)
