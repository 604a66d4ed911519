"""The interface that a network architecture implements. Importing it does not import torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from toolkit.errors import CheckpointError
from toolkit.network.architectures.configuration import Configuration
from toolkit.network.architectures.details import Details

if TYPE_CHECKING:
    from torch import Tensor

    from toolkit.network.module import NetworkModule

C = TypeVar("C", bound=Configuration)
N = TypeVar("N", bound="NetworkModule")

Branch = Literal["auto", "on", "off", "present"]
"""Whether an optional branch of a network takes part: `auto` decides from the weights; `present`: if the file has
it."""

StoredName = Callable[[str], str]
"""From the name of a tensor in `NetworkModule.state_dict()` to its name in a file."""


@dataclass(frozen=True)
class Found(Generic[C]):
    """Weights of an architecture, found in a file.

    Attributes:
        config: derived from the tensors' shapes, or what the file says beside them. Branches that are in the file are
            in it, whether they matter or not.
        tensors: every tensor of the network, by the names of `NetworkModule.state_dict()`.
        layout: a name for how the file names tensors.
        stored_name: what the file calls a tensor.
        merged: the file holds weights whose blocks were merged by whoever wrote it.
        reason: how the fields of `config` that no tensor shows are known.
    """

    config: C
    tensors: dict[str, Tensor]
    layout: str
    stored_name: StoredName
    merged: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Decided(Generic[C]):
    """What is built from weights that were found.

    Attributes:
        config: of the network to build.
        tensors: its tensors.
        details: for the manifest, with the reasons of what was decided.
        notes: what else a user should know, one sentence each.
    """

    config: C
    tensors: Mapping[str, Tensor] = field(repr=False)
    details: Details
    notes: tuple[str, ...] = ()


class Architecture(ABC, Generic[C, N]):
    """Everything that the toolkit has to know about a family of networks.

    Attributes:
        name: in file names, metadata and manifests: lower case, no spaces. The tag of its `Details`, and
            `architecture` of its `Configuration`.
        title: as its authors write it.
        landmark: the tensor whose absence shows that a file holds another network, for messages.
        hint: what kind of file to give, a sentence.
        presets: configurations by name, all for x2. Names are unique over all architectures.
        default: the preset that files are named after without a suffix, and that is trained where none is named.
        steps: names of presets that lead to the default one, in order, each changing one thing: what `toolkit ablate`
            trains.
        usual_scales: those that need not be asked for.
        licences: of weights whose licence is known, by the SHA-256 of their file; an SPDX identifier.
        not_in_tensors: names of configuration fields that the tensors' shapes do not determine.
        refitted: names of fields in which weights to train from may differ from the network: `refit` makes up for it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    landmark: ClassVar[str]
    hint: ClassVar[str]
    presets: ClassVar[Mapping[str, Any]]
    default: ClassVar[str]
    steps: ClassVar[tuple[str, ...]] = ()
    usual_scales: ClassVar[tuple[int, ...]] = (2, 3, 4)
    licences: ClassVar[Mapping[str, str]] = MappingProxyType({})
    not_in_tensors: ClassVar[frozenset[str]] = frozenset()
    refitted: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def build(self, config: C) -> N:
        """A network with PyTorch's initial weights."""

    @abstractmethod
    def prefixes(self, tensors: Mapping[str, Tensor]) -> list[str]:
        """What stands before the tensor names of each set of weights of this architecture (`module.`, `net.`, ...).

        Args:
            tensors: one mapping of a file. It may hold several sets of weights, or those of another network.

        Returns:
            A prefix for each set, often the empty string; an empty list where there is none.
        """

    @abstractmethod
    def recognise(self, tensors: Mapping[str, Tensor], where: str) -> Found[C]:
        """The network that tensors belong to, from their names and shapes alone.

        Args:
            tensors: one set of weights, without its prefix.
            where: the file, for messages.

        Raises:
            CheckpointError: they fit no configuration; the message names every difference.
        """

    def candidates(self, config: C) -> tuple[C, ...]:
        """The configurations that tensors may belong to: they differ in fields of `not_in_tensors`, the usual first.

        Where a file does not say which, the one is taken whose network upscales a test picture best
        (`toolkit.network.unstated`). By default there is only `config`.
        """
        return (config,)

    @abstractmethod
    def details(self, config: C, reason: str = "") -> Details:
        """What a manifest says of a network.

        Args:
            config: of the network.
            reason: why an optional branch is in it or not, or how fields that no tensor shows are known.
        """

    def decide(self, found: Found[C], branch: Branch, where: str, rounding: float) -> Decided[C]:
        """Which parts of the weights are used. By default, all.

        Args:
            found: with float32 tensors.
            branch: what was asked for.
            where: the file, for messages.
            rounding: relative rounding of the type that the tensors were stored in.

        Raises:
            CheckpointError: what was asked for is not possible.
        """
        if branch == "on":
            raise CheckpointError(f"{where} holds {self.title} weights, which have no optional branch to switch on")
        return Decided(found.config, found.tensors, self.details(found.config, found.reason))

    def stored_name(self, config: C) -> StoredName:
        """How weights of this network are named in the files that the toolkit writes: by default as in the module."""
        return str

    def fitted_start(self, network: N, low: Tensor, high: Tensor) -> None:
        """Improve initial weights, in place, before training. By default they stay as they are.

        Args:
            network: in training form, float32, with PyTorch's initial weights.
            low, high: patches (N, 3, H, W) and (N, 3, scale·H, scale·W), values 0..1; H and W even.
        """

    def refit(self, network: N, low: Tensor, high: Tensor) -> None:
        """Adapt weights of a network that differs in fields of `refitted`, in place, before training.

        Args:
            network: in training form, float32, with these weights.
            low, high: as for `fitted_start`.
        """
        raise NotImplementedError

    def preset_of(self, config: C) -> str | None:
        """The name of the preset that this is, at whatever scale."""
        return next((name for name, preset in self.presets.items() if _at_scale(preset, config.scale) == config), None)

    def variant(self, config: C) -> str:
        """The preset's name, or `custom`."""
        return self.preset_of(config) or "custom"

    def file_stem(self, config: C) -> str:
        """First part of the names of exported files: architecture, scale, and the preset unless it is the default."""
        variant = self.variant(config)
        suffix = "" if variant == self.default else f"_{variant.removeprefix(f'{self.name}-')}"
        return f"{self.name}_x{config.scale}{suffix}"

    def export_notes(self, config: C) -> tuple[str, ...]:
        """What a user should know about the exported network, one sentence each."""
        return ()

    def traits(self, config: C) -> Mapping[str, str]:
        """What distinguishes presets, by column of the table of `toolkit presets`. Numbers are right-aligned there."""
        return {}


def _at_scale(config: Configuration, scale: int) -> Configuration:
    return replace(config, scale=scale)
