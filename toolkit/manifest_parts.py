"""Parts of a manifest: the network, the file that it was made from, and the steps of the export."""

from __future__ import annotations

from typing import Literal

import msgspec

from toolkit.errors import InputError
from toolkit.findings import Finding
from toolkit.network.architectures.registry import AnyDetails
from toolkit.network.bundled_files import Purpose, bundled_purpose
from toolkit.quoting import visible
from toolkit.sizes import SizeRule

LONGEST_LICENCE = 200
"""Characters of the licence's name or of a reference to it. Its text does not belong into a manifest."""

_LONGEST_NAME = 200  # bytes; file systems allow 255

# Far beyond any network and display: a manifest cannot ask for more memory than a machine has.
_LARGEST_SCALE, _LARGEST_MARGIN = 16, 1 << 12


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The exported network: facts that every network has, and those that only its architecture knows.

    Attributes:
        scale: output pixels per input pixel, along each axis.
        parameters: trainable scalars after merging.
        variant: the preset that it is, or `custom`; the source weights beside the artifact hold the configuration.
        size_multiple: the graph takes heights and widths that are multiples of this many pixels.
        smallest: and that are at least this many pixels.
        details: what only its architecture can say; None for a network that the toolkit has no architecture for.
        receptive_field: how far, in input pixels to each side, an output pixel looks; `whole frame` where it depends
            on all of the input, which then cannot be upscaled in parts. None: it is derived from the graph
            (`toolkit.graph.analysis.locality`).
        family: name of its architecture, if it is known and there are no details.

    Raises:
        ValueError: a number is out of range.
    """

    scale: int
    parameters: int
    variant: str
    size_multiple: int
    smallest: int
    details: AnyDetails | None = None
    receptive_field: int | Literal["whole frame"] | None = None
    family: str | None = None

    def __str__(self) -> str:
        """For people: `RT4KSR x2 (rt4ksr), 24 channels, 4 blocks`."""
        if self.details is None:
            return f"{self.family} x{self.scale}" if self.family else f"network x{self.scale} of unknown architecture"
        return ", ".join(filter(None, (f"{self.details.title} x{self.scale} ({self.variant})", self.details.size)))

    @property
    def sizes(self) -> SizeRule:
        """The input sizes that the graph takes as they are."""
        return SizeRule(self.size_multiple, self.smallest)

    def __post_init__(self) -> None:
        require("scale", self.scale, 1, _LARGEST_SCALE)
        require("parameters", self.parameters, 0)
        require("size multiple", self.size_multiple, 1, _LARGEST_MARGIN)
        require("smallest", self.smallest, 1, _LARGEST_MARGIN)
        if isinstance(self.receptive_field, int):
            require("receptive field", self.receptive_field, 0, _LARGEST_MARGIN)


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The file that an artifact was made from.

    Attributes:
        file: its name.
        sha256: of the file.
        layout: how a checkpoint names tensors, in the terms of the architecture.
        parameters: trainable scalars before merging.
        weights: the name of a copy of the weights in safetensors form, beside the artifact; None: there is no copy, as
            for a graph, or a network that is not the toolkit's own.
        weights_sha256: of the copy.
        merged: its blocks had been merged before, so that there is no unfused form.
        kind: of the file. spandrel: a checkpoint whose network was built by that library.
        licence: of the weights, for example an SPDX identifier, as whoever made the artifact stated it; None: nobody
            did.
        findings: of a network from elsewhere: what it takes and returns, and how that was found.

    Raises:
        ValueError: parts of it contradict each other.
    """

    file: str
    sha256: str
    layout: str
    parameters: int
    weights: str | None = None
    weights_sha256: str | None = None
    merged: bool = False
    kind: Literal["checkpoint", "onnx", "spandrel"] = "checkpoint"
    licence: str | None = None
    findings: tuple[Finding, ...] = ()

    def __str__(self) -> str:
        """For people: `the graph x.onnx`."""
        return f"the {'graph' if self.kind == 'onnx' else 'checkpoint'} {self.file}"

    @property
    def network_sha256(self) -> str:
        """The same for all artifacts of a network, whatever their precision: of the weights, or of the source graph."""
        return self.sha256 if self.weights_sha256 is None else self.weights_sha256

    @property
    def purpose(self) -> Purpose | None:
        """What weights that ship with the toolkit were trained for; None: it is another network."""
        return bundled_purpose(self.network_sha256)

    def __post_init__(self) -> None:
        require("parameters of the source", self.parameters, 0)
        if (self.weights is None) != (self.weights_sha256 is None):
            raise ValueError("the source has only one of weights and their sha256")
        if self.weights is None and self.kind == "checkpoint":
            raise ValueError("the source is a checkpoint, and has no weights")
        if self.weights is not None and not is_plain_name(self.weights):
            raise ValueError(f"{visible(self.weights)!r} is not a plain file name")
        if not _is_licence(self.licence):
            raise ValueError(f"the licence is not one line of 1 to {LONGEST_LICENCE} visible characters")


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Number of graph nodes after a step of the export."""

    name: str
    nodes: int
    detail: str = ""


def require(name: str, value: int, lowest: int, highest: int | None = None) -> None:
    """Raise ValueError if a number of a manifest is out of range."""
    if value < lowest or (highest is not None and value > highest):
        allowed = f"at least {lowest}" if highest is None else f"between {lowest} and {highest}"
        raise ValueError(f"{name} {value} is not {allowed}")


def is_plain_name(name: str) -> bool:
    """Whether a name is one part of a path on every system, can be seen, and leaves room for suffixes."""
    is_part = "/" not in name and "\\" not in name and name not in ("", ".", "..")
    return is_part and name == visible(name) and len(name.encode()) <= _LONGEST_NAME


def check_licence(text: str | None) -> None:
    """Refuse what cannot be kept as a licence, before any work.

    Raises:
        InputError: it is not one line of 1 to `LONGEST_LICENCE` visible characters.
    """
    if not _is_licence(text):
        raise InputError(
            f"the licence is not one line of 1 to {LONGEST_LICENCE} visible characters",
            "Give its SPDX identifier, for example Apache-2.0, or the address of its text.",
        )


def _is_licence(text: str | None) -> bool:
    return text is None or (text.strip() == text == visible(text) and 0 < len(text) <= LONGEST_LICENCE)
