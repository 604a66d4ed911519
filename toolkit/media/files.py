"""Which files are meant, and what their results are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, UnidentifiedImageError

from toolkit.errors import InputError
from toolkit.media.assembly import FORMATS as CONTAINERS
from toolkit.media.pictures.output import FORMATS as PICTURES

Kind = Literal["image", "video"]

_VIDEOS = frozenset(
    {
        *CONTAINERS,
        *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".vob", ".wmv", ".y4m"),
    }
)
_NO_VIDEO_HOME = ".mkv"
"""Takes whatever containers hold that are only read."""


@dataclass(frozen=True)
class Item:
    """A file to upscale, and where to."""

    source: Path
    output: Path
    kind: Kind


def find_items(
    paths: Sequence[Path], output: Path | None, label: str, suffix: str | None, video_suffix: str | None
) -> list[Item]:
    """Files to upscale.

    Args:
        paths: files, and folders, whose pictures and videos are taken recursively.
        output: a file for a single file; a folder for more; None: beside the input, named with `label`.
        label: what names get, `_x2` or `_4k`.
        suffix: of pictures; None: the input's where it can be written, else .png.
        video_suffix: of videos, likewise; else .mkv.

    Raises:
        InputError: there is nothing, or two results would have one name, or one the name of its source.
    """
    if not paths:
        raise InputError("no file was given", "Name pictures, videos, or folders of them.")
    items = []
    for path in paths:
        if path.is_dir():
            items += _of_folder(path, output, label, suffix, video_suffix, several=len(paths) > 1)
        elif path.is_file():
            items.append(_of_file(path, output, label, suffix, video_suffix, several=len(paths) > 1))
        else:
            raise InputError(f"there is no file or folder {path}")
    if not items:
        raise InputError(f"{', '.join(map(str, paths))} holds no pictures or videos")
    for name, count in Counter(item.output.absolute() for item in items).items():
        if count > 1:
            raise InputError(f"{count} files would become {name}", "Leave out --format, or upscale them separately.")
    for item in items:
        if item.output.exists() and item.output.samefile(item.source):
            raise InputError(f"{item.source} would overwrite itself", "Name another output with -o.")
    return items


def _of_folder(
    folder: Path, output: Path | None, label: str, suffix: str | None, video_suffix: str | None, *, several: bool
) -> list[Item]:
    """The tree is kept."""
    home = folder.with_name(f"{folder.absolute().name}{label}") if output is None else output
    if folder.name in ("", ".", "..") and output is None:
        home = folder.absolute().with_name(f"{folder.absolute().name}{label}")
    if output is not None and several:
        home = output / folder.absolute().name
    if home.is_file():
        raise InputError(f"{home} is a file, and a folder is upscaled into a folder")
    items = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        kind = _kind_by_name(path)
        if kind is None or not path.is_file() or any(part.startswith(".") for part in inside.parts):
            continue
        if home != folder and home.absolute() in path.absolute().parents:
            continue  # an earlier result, inside of the folder
        target = (home / inside).with_suffix(_suffix(path, kind, suffix, video_suffix))
        items.append(Item(path, target, kind))
    return items


def _of_file(
    path: Path, output: Path | None, label: str, suffix: str | None, video_suffix: str | None, *, several: bool
) -> Item:
    kind = _kind_by_name(path) or _kind_by_content(path)
    name = f"{path.stem}{label}{_suffix(path, kind, suffix, video_suffix)}"
    if output is None:
        return Item(path, path.with_name(name), kind)
    if several or output.is_dir() or not output.suffix:
        return Item(path, output / f"{path.stem}{_suffix(path, kind, suffix, video_suffix)}", kind)
    return Item(path, output, kind)


def _suffix(path: Path, kind: Kind, suffix: str | None, video_suffix: str | None) -> str:
    own = path.suffix.lower()
    if kind == "image":
        return suffix or (path.suffix if own in PICTURES else ".png")
    return video_suffix or (path.suffix if own in CONTAINERS else _NO_VIDEO_HOME)


def _kind_by_name(path: Path) -> Kind | None:
    suffix = path.suffix.lower()
    if suffix in _VIDEOS:
        return "video"
    Image.init()
    return "image" if suffix in Image.EXTENSION and suffix not in (".pdf", ".mpg", ".mpeg") else None


def _kind_by_content(path: Path) -> Kind:
    try:
        with Image.open(path):
            return "image"
    except (UnidentifiedImageError, OSError):
        return "video"
