"""An ONNX file that others exported, or a checkpoint whose network spandrel builds, becomes an artifact."""

from __future__ import annotations

import math
import re
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from toolkit.artifact import Artifact, check_replaceable
from toolkit.errors import CheckFailed, InputError, Unavailable
from toolkit.graph.adoption import isolated
from toolkit.graph.adoption.stated import Stated
from toolkit.kinds import DEFAULT_DIRECTORY, require_kind
from toolkit.manifest_parts import check_licence, is_plain_name
from toolkit.network.architectures.registry import MORE_ARCHITECTURES
from toolkit.port import ChannelOrder
from toolkit.precisions import FULL_PRECISION
from toolkit.system.atomic import sha256_of, sha256_of_file
from toolkit.system.foreign import foreign
from toolkit.system.progress import ProgressCallback, no_progress

_PRECISION_SUFFIX = re.compile(r"[-_.](fp32|fp16|bf16|float32|float16)$", re.IGNORECASE)
"""Of file names, which says what an artifact of another precision would contradict."""


@dataclass(frozen=True)
class AdoptOptions:
    """Facts about a graph that are stated instead of measured, and how it is written.

    Attributes:
        scale: output pixels per input pixel.
        value_range: values of black and white, of input and output.
        channel_order: RGB, BGR, or Y for a network of luma.
        name: stem of the file name; None: that of the file.
        licence: of the weights, for example an SPDX identifier.
        simplify: run onnxsim.
        entry: which weights to take from a checkpoint with several sets.

    Raises:
        InputError: a name, licence or value range that cannot be used.

    Example:
        >>> toolkit.AdoptOptions(value_range=(0, 255), channel_order="BGR").simplify
        True
    """

    scale: int | None = None
    value_range: tuple[float, float] | None = None
    channel_order: ChannelOrder | None = None
    name: str | None = None
    licence: str | None = None
    simplify: bool = True
    entry: str | None = None

    def __post_init__(self) -> None:
        check_licence(self.licence)
        if self.name is not None and not is_plain_name(self.name):
            raise InputError(f"name {self.name!r} is not a plain file name")
        if self.value_range is not None and not -math.inf < self.value_range[0] < self.value_range[1] < math.inf:
            raise InputError(
                f"value range {self.value_range} is not two finite numbers, the first smaller", "For example 0 and 255."
            )


def adopt(
    path: Path | str,
    options: AdoptOptions = AdoptOptions(),
    directory: Path | str = DEFAULT_DIRECTORY,
    progress: ProgressCallback = no_progress,
    *,
    overwrite: bool = False,
) -> Artifact:
    """Make an artifact from any single-image super-resolution network: an ONNX file, or a checkpoint.

    What the file does not say is found by experiments: scale, sizes, value range, channel order, limits.
    Reparameterizable parts are merged, each with a proof. The file is read in a separate process with limits on
    time and memory. The network of a checkpoint is built by spandrel (extra `architectures`), which states some of
    these facts, and is exported first.

    Args:
        path: of an ONNX file, opset 11 or later, whose weights may lie in other files of its folder; or of a checkpoint
            that `load_checkpoint` knows no architecture for.
        options: facts that are not measured.
        directory: created when missing; files appear whole or not at all.
        progress: called as each step begins.
        overwrite: replace an artifact of the same name that was made from another file.

    Raises:
        InputError: it is no network from one image to one larger or equal image; the message says what was found.
        Unavailable: it is a checkpoint, and spandrel is not installed.
        OutputExists: there is an artifact of that name from another file.
        CheckFailed: a step changed the function; nothing is written.
        ArtifactError: reading or running it ended the process that did so.

    Example:
        >>> options = toolkit.AdoptOptions(name="copy", licence="Apache-2.0")
        >>> artifact = toolkit.adopt("exported/rt4ksr_x2_fp32.onnx", options, "adopted")
        >>> [(found.fact, found.value) for found in artifact.manifest.source.findings[:3]]
        [('scale', 'x2'), ('sizes', 'even'), ('value range', '0..1')]
    """
    path = Path(path)
    with foreign(f"cannot read {path}", "Check the path.", InputError):
        digest = sha256_of_file(path)
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise InputError(f"the name of {path} is not UTF-8, and manifests hold it", "Rename the file.") from None
    checkpoint = _is_checkpoint(path, options)
    name = f"{options.name or _stem(path)}_{FULL_PRECISION}"
    check_replaceable(Path(directory), name, lambda known: known.source.sha256 == digest, overwrite=overwrite)
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "graph.onnx"
        stated = Stated(options.scale, options.value_range, options.channel_order)
        request = isolated.Request(
            str(path.absolute()),
            str(output),
            name,
            stated,
            options.licence,
            options.simplify,
            checkpoint,
            options.entry,
        )
        manifest = isolated.run(request, progress)
        content = output.read_bytes()
    if sha256_of(content) != manifest.onnx_sha256 or manifest.source.sha256 != digest:
        raise CheckFailed(f"{path} changed while it was read", "Try again.")
    return Artifact.write(Path(directory), content, manifest, None)


def _is_checkpoint(path: Path, options: AdoptOptions) -> bool:
    """Whether it is a checkpoint, which spandrel can read, with options for one.

    Raises:
        InputError: the options are for a file of the other kind, or it is neither.
        Unavailable: spandrel is not installed.
    """
    if require_kind(path, "graph", "artifact", "checkpoint") != "checkpoint":
        if options.entry is not None:
            raise InputError(f"{path} is an ONNX file: it has no sets of weights to choose from")
        return False
    if find_spec("spandrel") is None:
        raise Unavailable(
            f"{path} is no ONNX file; if it is a checkpoint, spandrel, which is not installed, would build its network",
            MORE_ARCHITECTURES,
        )
    if options.value_range is not None or options.channel_order is not None:
        raise InputError(
            f"{path} is a checkpoint: spandrel states the value range and the channel order of its network",
            "Leave both out; they are for ONNX files.",
        )
    return True


def _stem(path: Path) -> str:
    """The file's own name without what it says about precision, as a plain name."""
    stem = _PRECISION_SUFFIX.sub("", path.stem)
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).strip("._-")[:100]
    return plain or "network"
