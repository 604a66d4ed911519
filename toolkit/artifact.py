"""The artifact: one ONNX file per precision, with a manifest of what is known about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from toolkit.checks import Check, Verdict
from toolkit.conversion import Conversion
from toolkit.errors import ArtifactError, OutputExists
from toolkit.kinds import DEFAULT_DIRECTORY, require_kind
from toolkit.manifest_parts import Network, Source, Step, is_plain_name, require
from toolkit.manifest_upgrade import upgraded
from toolkit.port import Port
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.quoting import visible
from toolkit.sizes import SizeRule
from toolkit.system.atomic import sha256_of, sha256_of_file, writable, write_bytes
from toolkit.system.documents import MalformedDocument, from_json
from toolkit.system.foreign import foreign
from toolkit.system.trust import WRITTEN_HERE, remember, was_written_here
from toolkit.workloads import Shape

SCHEMA = 2
"""Schema of the manifests that are written; older ones are read too (`toolkit.manifest_upgrade`)."""

_LARGEST_SIDE = 1 << 16
"""Far beyond any display: a manifest cannot ask for more memory than a machine has."""


@dataclass(frozen=True)
class Contract:
    """What a network takes and returns, wherever it comes from.

    Attributes:
        name: of the network, for messages.
        input: what it takes.
        output: what it returns.
        scale: output pixels per input pixel, along each axis.
        sizes: of the input that it takes as they are; sessions extend other frames.
        fixed: the only input size; None: any.
    """

    name: str
    input: Port
    output: Port
    scale: int
    sizes: SizeRule
    fixed: Shape | None = None

    @property
    def deep(self) -> bool:
        """Whether the input takes more than 8 bits per sample."""
        return self.input.dtype != "uint8"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known about an artifact. Without times and local paths, so that the same inputs give the same bytes.

    Attributes:
        name: of the ONNX file, without its suffix.
        precision: that convolutions are computed in.
        network: what the graph is.
        source: what it was made from.
        input: what the graph takes: layout, type, value range, channel order.
        output: what it returns.
        opset: version of the ONNX operators.
        shape: height and width of the input; None: they are dynamic, within `sizes`.
        workload: that the shape belongs to, for example `1080p-4k`.
        onnx_sha256: of the ONNX file.
        onnx_bytes: its size.
        tools: versions of the packages that made it.
        steps: of the export, with the number of nodes after each.
        checks: that it passed, each with its measured value and bound.
        verdicts: on quality, one for each runtime it was measured on.
        notes: what a user should know, in sentences.
        conversion: from the fp32 artifact; None: it is the fp32 artifact.
        schema: version of this format.

    Raises:
        ValueError: something in it makes no sense.

    Example:
        >>> toolkit.Artifact.read("exported/rt4ksr_x2_fp32.onnx").manifest.opset
        20
    """

    name: str
    precision: Precision
    network: Network
    source: Source
    input: Port
    output: Port
    opset: int
    shape: tuple[int, int] | None
    workload: str | None
    onnx_sha256: str
    onnx_bytes: int
    tools: dict[str, str]
    steps: tuple[Step, ...]
    checks: tuple[Check, ...]
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()
    conversion: Conversion | None = None
    schema: int = SCHEMA

    @property
    def sizes(self) -> SizeRule:
        """The input sizes that the network takes as they are."""
        return self.network.sizes

    @property
    def lowered(self) -> bool:
        """Whether it is in another precision than networks are exported in."""
        return self.precision != FULL_PRECISION

    def verdict_on(self, runtime: str) -> Verdict | None:
        """What was found about the quality on a runtime; None: nothing was measured there."""
        return next((verdict for verdict in self.verdicts if verdict.runtime == runtime), None)

    @property
    def contract(self) -> Contract:
        fixed = None if self.shape is None else Shape(*self.shape)
        return Contract(self.name, self.input, self.output, self.network.scale, self.sizes, fixed)

    def __post_init__(self) -> None:
        if not is_plain_name(self.name):
            raise ValueError(f"{visible(self.name)!r} is not a plain file name")
        for side in self.shape or ():
            require("side of the input", side, 1, _LARGEST_SIDE)
        require("opset", self.opset, 1)
        require("onnx_bytes", self.onnx_bytes, 1)


@dataclass(frozen=True)
class Artifact:
    """An ONNX file and its manifest, known to belong together.

    Example:
        >>> toolkit.Artifact.read("exported/rt4ksr_x2_fp32.onnx").manifest.precision
        'fp32'
    """

    path: Path
    manifest: Manifest

    @property
    def contract(self) -> Contract:
        return self.manifest.contract

    @property
    def weights_path(self) -> Path | None:
        """Of the source weights; None: the artifact has none."""
        name = self.manifest.source.weights
        return None if name is None else self.path.with_name(name)

    @classmethod
    def read(cls, path: Path | str, *, edited: bool = False) -> Artifact:
        """Read an artifact by its .onnx or .json file.

        Args:
            path: of either file.
            edited: accept a graph that was changed after its manifest was written: for finding out what is wrong with
                it, never for shipping.

        Raises:
            ArtifactError: either file is missing or malformed, or the ONNX file is not the one the manifest describes.
        """
        onnx, json = _both(Path(path))
        manifest = decode_manifest(json)
        actual = sha256_of_file(onnx)
        if edited:
            return cls(onnx, msgspec.structs.replace(manifest, onnx_sha256=actual))
        if actual != manifest.onnx_sha256:
            raise ArtifactError(
                f"{onnx} does not match its manifest (sha256 {actual[:12]}, not {manifest.onnx_sha256[:12]})",
                "It was edited or copied incompletely: export it again.",
            )
        return cls(onnx, manifest)

    @classmethod
    def write(cls, directory: Path, model: bytes, manifest: Manifest, weights: bytes | None) -> Artifact:
        """Write model, manifest and source weights; each appears whole, the manifest last.

        Raises:
            ValueError: there are weights that the manifest does not name, or none where it names some.
        """
        path = directory / f"{manifest.name}.onnx"
        if (weights is None) != (manifest.source.weights is None):
            raise ValueError(f"{manifest.name}: weights and manifest contradict each other")
        if weights is not None and manifest.source.weights is not None:
            write_bytes(directory / manifest.source.weights, weights)
        # Without its manifest an older model is no artifact; with it, a torn pair would look like a damaged one.
        with writable(path):
            path.with_suffix(".json").unlink(missing_ok=True)
        write_bytes(path, model)
        write_bytes(path.with_suffix(".json"), encode(manifest))
        # Made from a checkpoint, or from a graph that was: never what a stranger's file says about itself.
        parent = None if manifest.conversion is None else manifest.conversion.parent_sha256
        if manifest.source.kind == "checkpoint" and (parent is None or was_written_here(parent)):
            remember(manifest.onnx_sha256, WRITTEN_HERE)
        return cls(path, manifest)

    def read_weights(self) -> Path:
        """Path of the source weights, checked.

        Raises:
            ArtifactError: the artifact has none, or they are missing or were edited.
        """
        weights = self.weights_path
        if weights is None:
            raise ArtifactError(
                f"{self.path.name} has no source weights: it was created from {self.manifest.source}",
                "Use a runtime that runs ONNX files.",
            )
        if not weights.is_file():
            raise ArtifactError(
                f"{weights} is missing: {self.path.name} was created from these weights", "Export it again."
            )
        if sha256_of(weights.read_bytes()) != self.manifest.source.weights_sha256:
            raise ArtifactError(
                f"{weights} was edited: {self.path.name} was created from other weights", "Export again."
            )
        return weights


def read_artifact(given: Artifact | Path | str) -> Artifact:
    """An artifact itself, or the one at a path; see `Artifact.read`."""
    return given if isinstance(given, Artifact) else Artifact.read(given)


def check_replaceable(directory: Path, name: str, same: Callable[[Manifest], bool], *, overwrite: bool) -> None:
    """Find out before any work whether an artifact may be written: nothing of its name is there, or the same one.

    Args:
        directory: where it will be.
        name: of the artifact.
        same: whether a manifest is that of the same job: made from the same weights, with the same options.
        overwrite: another one may be replaced.

    Raises:
        OutputExists: there is another artifact of that name, or a file that is none.
    """
    path = directory / f"{name}.onnx"
    if overwrite or not (path.exists() or path.with_suffix(".json").exists()):
        return
    try:
        known = decode_manifest(path.with_suffix(".json"))
    except (ArtifactError, OSError):
        raise OutputExists(f"{path} exists, and its manifest cannot be read") from None
    if not same(known):
        raise OutputExists(f"{path} exists, and was created from other weights or with other options")


def encode(value: msgspec.Struct) -> bytes:
    """JSON with two-space indentation and a final newline."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def find_artifacts(
    directory: Path | str = DEFAULT_DIRECTORY, skip: Callable[[ArtifactError], None] | None = None
) -> list[Artifact]:
    """All artifacts in a directory, sorted by name.

    Raises:
        ArtifactError: one of them does not match its manifest, and there is no `skip` to be told of it instead.

    Example:
        >>> [artifact.manifest.name for artifact in toolkit.find_artifacts("exported")]
        ['rt4ksr_x2_fp32']
    """
    found = []
    for path in sorted(Path(directory).glob("*.onnx")):
        if path.with_suffix(".json").is_file():
            try:
                found.append(Artifact.read(path))
            except ArtifactError as error:
                if skip is None:
                    raise
                skip(error)
    return found


def _both(path: Path) -> tuple[Path, Path]:
    require_kind(path, "artifact")
    onnx, json = path.with_suffix(".onnx"), path.with_suffix(".json")
    if not onnx.is_file():
        raise ArtifactError(f"there is no file {onnx}", "An artifact is both files: export it again.")
    return onnx, json


def decode_manifest(path: Path) -> Manifest:
    """The manifest in a file.

    Raises:
        ArtifactError: it is none, or of another version.
    """
    try:
        document = from_json(path.read_bytes(), dict[str, Any])
        schema = document.get("schema")
        if schema not in (1, SCHEMA):
            raise ArtifactError(f"{path} has schema {schema}, this version reads 1 to {SCHEMA}", "Export it again.")
        with foreign(f"{path} is not a manifest", "Export it again."):
            return msgspec.convert(upgraded(document), Manifest)
    except MalformedDocument as error:
        raise ArtifactError(f"{path} is not a manifest: {error}", "Export it again.") from error
