"""The configuration of an RT4KSR network from the shapes of its tensors, under the names of our own layout."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from toolkit.errors import CheckpointError
from toolkit.network.architectures.rt4ksr.config import UNSHUFFLE, Attention, Block, NetworkConfig, Resolution, Stem
from toolkit.network.architectures.tensors import count_numbered, scale_of, size


def derive_config(tensors: Mapping[str, Tensor], where: str) -> NetworkConfig:
    """The configuration of weights under the names of `RT4KSR.state_dict()`; all but the activation.

    At most one number is read from each tensor. Whether all tensors fit, the caller checks with `tensors.matched`.

    Raises:
        CheckpointError: the shapes fit no configuration.
    """
    channels, read = size(tensors["head.weight"], 0), size(tensors["head.weight"], 1)
    resolution: Resolution = (
        "unshuffle" if read == 3 * UNSHUFFLE**2 else "down" if "halve.kernel" in tensors else "full"
    )
    hidden = tensors.get("tail.conv.expand.weight")
    block, inner = _block(tensors, channels)
    attention, squeeze = _attention(tensors, inner)
    try:
        return NetworkConfig(
            scale=scale_of(tensors, "upsample.weight", UNSHUFFLE if resolution == "unshuffle" else 1, where),
            channels=channels,
            blocks=count_numbered(tensors, "body.", where),
            hidden=None if hidden is None else size(hidden, 0),
            stem=_stem(tensors),
            resolution=resolution,
            block=block,
            layernorm="tail.norm.weight" in tensors,
            residual="body.0.beta" in tensors,
            attention=attention,
            squeeze=squeeze,
            expansion=inner // channels if block in ("separable", "naf") else 2,
            plain_hfb=hidden is not None and "hfb.conv.weight" in tensors,
            image_residual="image_residual" in tensors,
        )
    except ValueError as error:
        raise CheckpointError(f"{where} has RT4KSR's names, but does not fit any configuration: {error}") from error


def described(config: NetworkConfig) -> str:
    """A configuration in a few words, for messages."""
    kind = "" if config.released_layout else f", {config.block} blocks at resolution {config.resolution}"
    return f"x{config.scale}, {config.channels} channels, {config.blocks} blocks, {config.form} form{kind}"


def _block(tensors: Mapping[str, Tensor], channels: int) -> tuple[Block, int]:
    """Kind of the first block, and how many channels it has where it is widest."""
    wide = tensors.get("body.0.widen.weight")
    if wide is None:
        return ("projected" if "body.0.project.weight" in tensors else "conv"), channels
    depthwise = tensors.get("body.0.depthwise.weight")
    inner = max(size(wide, 0), channels)
    return ("naf" if depthwise is None or size(depthwise, 0) != channels else "separable"), inner


def _attention(tensors: Mapping[str, Tensor], inner: int) -> tuple[Attention, int]:
    squeeze = tensors.get("body.0.attention.squeeze.weight")
    if squeeze is not None:
        return "channel", max(inner // size(squeeze, 0), 1)
    return ("eca" if "body.0.attention.conv.weight" in tensors else "none"), 1


def _stem(tensors: Mapping[str, Tensor]) -> Stem:
    if not any(name.startswith("hfb.") for name in tensors):
        return "none"
    kernel = tensors.get("high_pass.kernel")
    return "pool" if kernel is not None and size(kernel, 3) == 2 else "gaussian"
