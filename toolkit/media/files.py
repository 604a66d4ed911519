"""Finding the files to upscale, and naming their results."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from toolkit.errors import InputError
from toolkit.images import suffixes
from toolkit.images.decoders import CAMERA_RAW
from toolkit.images.reading import is_picture
from toolkit.media.item import Item, Kind
from toolkit.media.pictures.output import FORMATS as PICTURES
from toolkit.media.report import FileReport, LeftOut
from toolkit.media.videos.assembly import FORMATS as CONTAINERS

_VIDEOS = frozenset(
    {
        *CONTAINERS,
        *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".vob", ".wmv", ".y4m"),
        *(".264", ".265", ".h264", ".h265", ".hevc", ".m2v"),
    }
)
_NO_VIDEO_HOME = ".mkv"
"""The output container for inputs whose container is not written."""


@dataclass(frozen=True)
class Naming:
    """How results are named.

    Attributes:
        output: a file for a single input, otherwise a folder; None: beside the input, named with `label`.
        label: appended to names, `_x2` or `_4k`.
        suffix: of pictures; None: the input's if it can be written, else .png.
        video_suffix: of videos; None: the input's if it can be written, else .mkv.
    """

    output: Path | None
    label: str
    suffix: str | None
    video_suffix: str | None

    def suffix_of(self, path: Path, kind: Kind) -> str:
        own = path.suffix.lower()
        if kind == "image":
            return self.suffix or (path.suffix if own in PICTURES else ".png")
        return self.video_suffix or (path.suffix if own in CONTAINERS else _NO_VIDEO_HOME)


@dataclass(frozen=True)
class Found:
    """The files of a run.

    Attributes:
        items: files to upscale.
        left_out: results of earlier runs, which are not upscaled again.
        unreadable: folders that cannot be listed, and paths at which there is no file or directory.
    """

    items: tuple[Item, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    unreadable: tuple[FileReport, ...] = ()


def find_items(paths: Sequence[Path], naming: Naming) -> Found:
    """Find pictures and videos, in folders recursively.

    Results of earlier runs are left out: a file that is the output of another input, and in folders a file that is
    named like a result and lies beside its source (`a_x2.png` beside `a.png`). A path that does not exist does not end
    the others.

    Raises:
        InputError: there are no files, none of the paths exists, a file is given twice, two results would have the same
            name, a result would replace its source, or the output folder is a file.
    """
    if not paths:
        raise InputError("no file was given", "Give pictures, videos, or folders of them.")
    if len(paths) > 1 and naming.output is not None and naming.output.is_file():
        raise InputError(f"{naming.output} is a file, but several results need a folder", "Give a folder with -o.")
    several = len(paths) > 1
    found, missing = list[Found](), dict[Path, InputError]()
    for path in paths:
        try:
            folder = _is_folder(path)
        except InputError as error:
            missing[path] = error
        else:
            found.append(
                _of_folder(path, naming, several=several)
                if folder
                else Found((_of_file(path, naming, several=several),))
            )
    if not found:
        raise missing[paths[0]]
    items, results = _without_results([item for part in found for item in part.items])
    unreadable = tuple(_missing(path, error) for path, error in missing.items())
    unreadable += tuple(report for part in found for report in part.unreadable)
    if not items and not unreadable:
        given = ", ".join(map(str, paths))
        if results or any(part.left_out for part in found):
            raise InputError(
                f"{given} holds only results of earlier runs", "To upscale them again, give the files themselves."
            )
        raise InputError(f"{given} holds no pictures or videos")
    check_outputs([(item.source, item.output) for item in items])
    return Found(tuple(items), tuple(left for part in found for left in part.left_out) + results, unreadable)


def check_outputs(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Check that all results have different names.

    Args:
        pairs: sources and outputs.

    Raises:
        InputError: two results have the same name, or one would replace its source.
    """
    sources: dict[Path, Path] = {}
    for source, output in pairs:
        if _same(output, source):
            raise InputError(f"{source} would overwrite itself", "Give another output with -o.")
        place = _place(output)
        if place in sources:
            first = sources[place]
            if _place(first) == _place(source):
                raise InputError(f"{source} was given twice", "Give it once.")
            raise InputError(
                f"{first} and {source} would both be written to {output}",
                "Upscale them separately, each with an -o of its own.",
            )
        sources[place] = source
    _check_case(sources)


def _same(output: Path, source: Path) -> bool:
    try:
        return output.samefile(source)
    except OSError:
        return False  # one of them does not exist or is not accessible, which is reported when it is read


def _is_folder(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"there is no file or directory {path}", _near(path)) from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot access {path}: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise InputError(f"{path} is neither a file nor a folder", "Copy it into a file.")
    return stat.S_ISDIR(mode)


def _missing(path: Path, error: InputError) -> FileReport:
    kind = _kind_by_name(path.name) or "folder"
    return FileReport(str(path), "", kind, "failed", error=error.args[0], remedy=error.remedy)


def _check_case(sources: dict[Path, Path]) -> None:
    """Refuse names that differ only in case, on file systems that do not distinguish them."""
    seen: dict[str, Path] = {}
    for output, source in sources.items():
        name = str(output).casefold()
        if name in seen and not _distinguishes_case(output.parent):
            raise InputError(
                f"{seen[name]} and {source} would both be written to {output}: "
                "this file system does not distinguish case",
                "Upscale them separately, and name the outputs with -o.",
            )
        seen[name] = source


def _distinguishes_case(directory: Path) -> bool:
    existing = next(path for path in (directory, *directory.parents) if path.is_dir())
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".toolkit-Case-") as probe:
            made = Path(probe.name)
            return not made.with_name(made.name.swapcase()).exists()
    except OSError:
        return True  # the directory is not writable, which is reported when the first result is written


def _place(path: Path) -> Path:
    """A path in the form that is the same for all spellings of it."""
    return Path(os.path.realpath(path.parent)) / path.name


def _near(path: Path) -> str:
    names = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, names, 3)
    return f"Did you mean {' or '.join(str(path.with_name(name)) for name in near)}?" if near else ""


def _without_results(items: list[Item]) -> tuple[list[Item], tuple[LeftOut, ...]]:
    """Items without those that are outputs of other items."""
    makers = {_place(item.output): item.source for item in items if _place(item.output) != _place(item.source)}
    kept, left_out = [], []
    for item in items:
        maker = makers.get(_place(item.source))
        if maker is None:
            kept.append(item)
        else:
            left_out.append(LeftOut(str(item.source), f"it is where the result of {maker} goes"))
    return kept, tuple(left_out)


def _of_folder(folder: Path, naming: Naming, *, several: bool) -> Found:
    """Files of a folder; results have the same tree."""
    home = _home(folder, naming, several=several)
    if home.is_file():
        raise InputError(f"{home} is a file, and a folder is upscaled into a folder", "Give a folder with -o.")
    items, left_out, unreadable = [], [], []

    def note(error: OSError) -> None:
        remedy = "Check its permissions."
        report = FileReport(str(error.filename), "", "folder", "failed", error=_reason(error), remedy=remedy)
        unreadable.append(report)

    for directory, folders, files in os.walk(folder, onerror=note):
        place = Path(directory)
        trees = {name: name for name in folders if not name.startswith(".") and not _is_home(place / name, home)}
        media = {Path(name).stem: name for name in sorted(files) if not name.startswith(".") and _kind_by_name(name)}
        folders[:] = sorted(name for name in trees if _maker(name, trees) is None)
        left_out += [_earlier(place / name, place / maker) for name in trees if (maker := _maker(name, trees))]
        for name in sorted(files):
            kind = None if name.startswith(".") else _kind_by_name(name)
            if maker := _maker(Path(name).stem, media) if kind else None:
                left_out.append(_earlier(place / name, place / maker))
            elif kind and not _is_special(place / name):
                output = home / (place / name).relative_to(folder)
                items.append(Item(place / name, output.with_suffix(naming.suffix_of(Path(name), kind)), kind))
    return Found(tuple(sorted(items, key=lambda item: item.source)), tuple(left_out), tuple(unreadable))


def _home(folder: Path, naming: Naming, *, several: bool) -> Path:
    if naming.output is not None:
        return naming.output / folder.absolute().name if several else naming.output
    beside = folder.absolute() if folder.name in ("", ".", "..") else folder
    return beside.with_name(f"{folder.absolute().name}{naming.label}")


def _is_home(path: Path, home: Path) -> bool:
    """Whether a folder inside the input folder is the output folder of this command."""
    return path.absolute() == home.absolute()


def _is_special(path: Path) -> bool:
    """Whether a file is a pipe, a device or the like. A file that is not accessible is reported when it is read."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _maker(stem: str, siblings: Mapping[str, str]) -> str | None:
    """The sibling of which a file or folder is a result by its name: `a.png` for `a_x2.png`."""
    original = _RESULT.sub("", stem)
    return siblings.get(original) if original != stem else None


_RESULT = re.compile(r"_(x[1-9]|4k|\d+x\d+|preview)(\.stopped(-\d+)?)?$")
"""The end of the names of results."""


def _earlier(path: Path, maker: Path) -> LeftOut:
    return LeftOut(str(path), f"by its name it is an earlier result of {maker}; name it to upscale it")


def _reason(error: OSError) -> str:
    return f"cannot list {error.filename}: {error.strerror}"


def _of_file(path: Path, naming: Naming, *, several: bool) -> Item:
    kind = _kind_by_name(path.name) or _kind_by_content(path)
    output, suffix = naming.output, naming.suffix_of(path, kind)
    if output is None:
        return Item(path, path.with_name(f"{path.stem}{naming.label}{suffix}"), kind)
    if several or output.is_dir() or not output.suffix:
        return Item(path, output / f"{path.stem}{suffix}", kind)
    return Item(path, output, kind)


def _kind_by_name(name: str) -> Kind | None:
    suffix = Path(name).suffix.lower()
    if suffix in _VIDEOS:
        return "video"
    return "image" if suffix in suffixes() or suffix in CAMERA_RAW else None


def _kind_by_content(path: Path) -> Kind:
    return "image" if is_picture(path) else "video"
