"""Networks that spandrel builds: recognised by their tensors, for checkpoints of architectures that are not here.

spandrel (https://github.com/chaiNNer-org/spandrel) recognises some forty architectures by the names of tensors, and
derives their hyper-parameters from the shapes. It gets tensors only, from the toolkit's own reader: its own, which
unpickles files, is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from toolkit.errors import CheckpointError, UnknownNetwork
from toolkit.network.architectures.tensors import listed
from toolkit.network.reading import read_checkpoint
from toolkit.network.recognition import recognise
from toolkit.sizes import SizeRule
from toolkit.system.foreign import foreign

if TYPE_CHECKING:
    from spandrel import Architecture

_CHANNELS = (1, 3)


@dataclass(frozen=True)
class SpandrelNetwork:
    """A network that spandrel built, and what spandrel's descriptor says of it.

    Attributes:
        module: float32, evaluation mode: (N, C, H, W) to (N, C, sH, sW). Black is 0 and white is 1; not clamped.
        architecture: its name in spandrel.
        tags: the size of the network, for people: `64nf`, `23nb`.
        scale: output pixels per input pixel.
        channels: 3 for RGB, 1 for luma.
        sizes: of the input that spandrel gives it.
        version: of spandrel.
    """

    module: nn.Module
    architecture: str
    tags: tuple[str, ...]
    scale: int
    channels: int
    sizes: SizeRule
    version: str

    @property
    def by(self) -> str:
        """Who says so: the library with its version."""
        return f"spandrel {self.version}"


def spandrel_network(path: Path, entry: str | None = None) -> SpandrelNetwork:
    """Read a checkpoint and build its network.

    Args:
        path: as for `load_checkpoint`.
        entry: which weights to take when the file has several sets.

    Raises:
        CheckpointError: as `reading.read_checkpoint`; spandrel cannot be imported, or it recognises no network, several
            sets of weights, or a network that does not take one image and return one.
    """
    groups = read_checkpoint(path).groups
    with foreign("spandrel cannot be imported", "It needs a torchvision that belongs to this torch.", CheckpointError):
        import spandrel
    found = _recognised(groups)
    if entry is not None:
        found = {label: architecture for label, architecture in found.items() if label == entry}
    if len(found) > 1:
        raise CheckpointError(f"{path} holds several sets of weights: {listed(found)}", "Choose one with --entry.")
    if not found:
        raise _unknown(groups, str(path), entry, spandrel.__version__)
    ((label, architecture),) = found.items()
    return _built(architecture, groups[label], str(path))


def _unknown(
    groups: Mapping[str, Mapping[str, Tensor]], where: str, entry: str | None, version: str
) -> CheckpointError:
    """Why spandrel builds nothing from these tensors."""
    try:
        architecture, _ = recognise(groups, where, entry)
    except UnknownNetwork as error:
        return UnknownNetwork(
            f"{error.args[0]}; spandrel {version} does not recognise it either",
            "Export the network to ONNX with its own code, and give that file to `toolkit adopt`.",
        )
    return CheckpointError(f"{where} holds {architecture.title} weights", "Use `toolkit export`.")


def _recognised(groups: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Architecture[nn.Module]]:
    """The architecture of every group of tensors that is a network's."""
    import spandrel

    found = {}
    for label, tensors in groups.items():
        weights = spandrel.canonicalize_state_dict(dict(tensors))
        fitting = (
            item.architecture for item in spandrel.MAIN_REGISTRY.architectures("detection") if item.detect(weights)
        )
        if (architecture := next(fitting, None)) is not None:
            found[label] = architecture
    return found


def _built(architecture: Architecture[nn.Module], tensors: Mapping[str, Tensor], where: str) -> SpandrelNetwork:
    import spandrel

    name = architecture.name
    with foreign(f"{where} has names of {name}, but spandrel cannot build it", "", CheckpointError):
        model = architecture.load(spandrel.canonicalize_state_dict(dict(tensors)))
    if not isinstance(model, spandrel.ImageModelDescriptor):
        raise CheckpointError(f"{where} holds {name}, which takes a mask beside the image")
    if model.input_channels != model.output_channels or model.input_channels not in _CHANNELS:
        raise CheckpointError(
            f"{where} holds {name} from {model.input_channels} channels to {model.output_channels}: "
            "only networks of RGB or luma are supported"
        )
    required = model.size_requirements
    if required.square:
        raise CheckpointError(f"{where} holds {name}, which only takes square images")
    # What the descriptor calls, for networks that return a tuple or another value range; spandrel has no other access.
    call: Callable[[nn.Module, Tensor], Tensor] = model._call_fn
    return SpandrelNetwork(
        _Called(model.model.float(), call).eval(),
        name,
        tuple(model.tags),
        model.scale,
        model.input_channels,
        SizeRule(required.multiple_of, max(required.minimum, 1)),
        spandrel.__version__,
    )


class _Called(nn.Module):
    """A network as spandrel calls it."""

    def __init__(self, network: nn.Module, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.call = call

    def forward(self, image: Tensor) -> Tensor:
        return self.call(self.network, image)
