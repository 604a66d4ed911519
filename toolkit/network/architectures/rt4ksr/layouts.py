"""The names of RT4KSR's tensors in files: those of the reference code, and our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from toolkit.errors import CheckpointError
from toolkit.network.architectures.architecture import Found, StoredName
from toolkit.network.architectures.rt4ksr.config import LANDMARK, UNSHUFFLE, NetworkConfig
from toolkit.network.architectures.rt4ksr.derivation import derive_config, described
from toolkit.network.architectures.rt4ksr.model import RT4KSR
from toolkit.network.architectures.tensors import count_numbered, listed, matched, prefixes_with, scale_of, size

Layout = Literal["released", "rep_conv", "toolkit"]
"""`released` (training form) and `rep_conv` (fused form) are the reference code's, `toolkit` is our own."""

OWN_LANDMARKS = ("head.weight", "tail.conv.", "upsample.weight")
"""How names of our own layout begin, which can hold networks that the released one cannot. Many other networks have one
of these names, so all are required."""

_MODULES = {"head": "head.0", "upsample": "upsample.0", "tail.norm": "tail.0"}
_BLOCKS = {"tail": "tail.1", "hfb": "hfb.0"}
_PARTS = {".expand": "expand_conv", ".spatial": "fea_conv", ".reduce": "reduce_conv", "": "rep_conv"}


def find_prefixes(tensors: Mapping[str, Tensor]) -> list[str]:
    """See `Architecture.prefixes`."""
    return prefixes_with(tensors, LANDMARK) + prefixes_with(tensors, *OWN_LANDMARKS)


def recognise(tensors: Mapping[str, Tensor], where: str) -> Found[NetworkConfig]:
    """See `Architecture.recognise`."""
    if LANDMARK not in tensors:
        config = derive_config(tensors, where)
        return _found(tensors, config, "toolkit", str, where)
    config = _derive_released(tensors, where)
    return _found(tensors, config, "rep_conv" if config.hidden is None else "released", released_name, where)


def layout_name(config: NetworkConfig) -> StoredName:
    """How weights of this network are named in the files that the toolkit writes."""
    return released_name if config.released_layout else str


def released_name(ours: str) -> str:
    """What the reference code calls a tensor of `RT4KSR.state_dict()`, in training or fused form."""
    module, _, leaf = ours.rpartition(".")
    if module in _MODULES:
        return f"{_MODULES[module]}.{leaf}"
    block, conv, part = module.partition(".conv")
    if not conv:
        return ours  # gamma and the norms of the body have the same names
    return f"{_BLOCKS.get(block, f'{block}.conv1')}.{_PARTS[part]}.{leaf}"


def _derive_released(tensors: Mapping[str, Tensor], where: str) -> NetworkConfig:
    """Hyper-parameters from the shapes of a few tensors; `_found` then compares all others with them."""
    expand = tensors.get("body.0.conv1.expand_conv.weight")
    if expand is None and "body.0.conv1.rep_conv.weight" not in tensors:
        raise CheckpointError(
            f"{where} has RT4KSR's {LANDMARK}, but neither body.0.conv1.expand_conv (training form) nor "
            f"body.0.conv1.rep_conv (fused form); it has {listed(tensors)}"
        )
    return NetworkConfig(
        scale=scale_of(tensors, "upsample.0.weight", UNSHUFFLE, where),
        channels=size(tensors[LANDMARK], 0),
        blocks=count_numbered(tensors, "body.", where),
        hidden=None if expand is None else size(expand, 0),
        stem="gaussian" if any(name.startswith("hfb.") for name in tensors) else "none",
    )


def _found(
    given: Mapping[str, Tensor], config: NetworkConfig, layout: Layout, stored_name: StoredName, where: str
) -> Found[NetworkConfig]:
    def refused(differences: str) -> CheckpointError:
        expected = "its configuration" if layout == "toolkit" else "the released architecture"
        return CheckpointError(
            f"{where} is close to RT4KSR but differs from {expected}: {differences}",
            f"Its shapes correspond to {described(config)}.",
        )

    # The reference code stores gamma even without the branch it belongs to.
    optional = () if config.high_frequency else ("gamma",)
    tensors = matched(given, lambda: RT4KSR(config), stored_name, refused, optional)
    return Found(config, tensors, layout, stored_name, merged=layout == "rep_conv")
