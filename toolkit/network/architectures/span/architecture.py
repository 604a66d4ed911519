"""SPAN as the toolkit's other parts see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from toolkit.errors import CheckpointError
from toolkit.network.architectures.architecture import Architecture, Found, StoredName
from toolkit.network.architectures.span.config import Mean, SPANConfig, SPANDetails

if TYPE_CHECKING:
    from torch import Tensor

    from toolkit.network.architectures.span.model import SPAN

_LANDMARKS = ("conv_cat.weight", "conv_1.", "conv_2.", "block_1.c1_r.", "upsampler.0.weight")
"""conv_cat is in training and fused form; other networks with blocks of the same names have no conv_1."""

_SINGLE = ("", "conv_cat", "upsampler.0")
"""Modules that are one convolution in both forms; the empty name stands for `no_norm`."""


_PUBLISHED = SPANConfig()


class SPANArchitecture(Architecture[SPANConfig, "SPAN"]):
    """Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", CVPRW 2024."""

    name: ClassVar[str] = SPANConfig.architecture
    title: ClassVar[str] = SPANDetails.title
    landmark: ClassVar[str] = _LANDMARKS[0]
    hint: ClassVar[str] = "SPAN weights have conv_1, block_1.c1_r and conv_cat, in training form (sk, conv) or fused."
    presets: ClassVar[Mapping[str, SPANConfig]] = MappingProxyType(
        {
            "span": _PUBLISHED,
            "span-small": replace(_PUBLISHED, channels=28),
            "span-light": replace(_PUBLISHED, channels=8, blocks=5),
        }
    )
    default: ClassVar[str] = "span"
    usual_scales: ClassVar[tuple[int, ...]] = (1, 2, 3, 4)
    not_in_tensors: ClassVar[frozenset[str]] = frozenset({"image_range", "mean"})

    def build(self, config: SPANConfig) -> SPAN:
        from toolkit.network.architectures.span.model import SPAN

        return SPAN(config)

    def prefixes(self, tensors: Mapping[str, Tensor]) -> list[str]:
        from toolkit.network.architectures.tensors import prefixes_with

        return prefixes_with(tensors, *_LANDMARKS)

    def recognise(self, tensors: Mapping[str, Tensor], where: str) -> Found[SPANConfig]:
        from toolkit.network.architectures.tensors import count_numbered, matched, scale_of, size

        expand = tensors.get("block_1.c1_r.conv.0.weight")
        try:
            config = SPANConfig(
                scale=scale_of(tensors, "upsampler.0.weight", 1, where),
                channels=size(tensors["conv_cat.weight"], 0),
                blocks=count_numbered(tensors, "block_", where, first=1),
                gain=None if expand is None else max(1, size(expand, 0) // size(expand, 1)),
                norm="no_norm" not in tensors,
            )
        except ValueError as error:
            raise CheckpointError(f"{where} has SPAN's names, but does not fit any configuration: {error}") from error

        def refused(differences: str) -> CheckpointError:
            form = "fused" if config.gain is None else "training"
            shapes = f"x{config.scale}, {config.channels} channels, {config.blocks} blocks, {form} form"
            return CheckpointError(f"{where} is close to SPAN but differs: {differences}", f"Its shapes say {shapes}.")

        fused = "conv_1.eval_conv.weight" in tensors and config.gain is None
        # In training form the published code also stores the merged kernels, as they were at some time before.
        stale = () if fused else (name for name in tensors if ".eval_conv." in name)
        name = _fused_name if fused else str
        found = matched(tensors, lambda: self.build(config), name, refused, stale)
        layout = "eval_conv" if fused else "toolkit" if config.gain is None else "released"
        return Found(config, found, layout, name, merged=fused)

    def candidates(self, config: SPANConfig) -> tuple[SPANConfig, ...]:
        if not config.norm:
            return (config,)
        means: tuple[Mean, ...] = ("div2k", "zero")
        return tuple(replace(config, image_range=value, mean=mean) for value in (255.0, 1.0) for mean in means)

    def details(self, config: SPANConfig, reason: str = "") -> SPANDetails:
        reason = (reason or "as configured") if config.norm else "the weights have no_norm"
        return SPANDetails(config.channels, config.blocks, config.normalisation, reason)

    def stored_name(self, config: SPANConfig) -> StoredName:
        return _fused_name if config.gain is None else str

    def fitted_start(self, network: SPAN, low: Tensor, high: Tensor) -> None:
        """Fit the last convolution to the random features, among which those of the first are linear in the pixels."""
        from toolkit.network.fitting import fit_last

        fit_last(network, network.last, network.config.scale, low, high)

    def preset_of(self, config: SPANConfig) -> str | None:
        """Merged networks have the names of those that they were merged from."""
        return super().preset_of(replace(config, gain=_PUBLISHED.gain) if config.gain is None else config)

    def file_stem(self, config: SPANConfig) -> str:
        """`span_x2`, with the preset's name or what differs: `span_x4_c52b6`."""
        preset = self.preset_of(config)
        variant = f"c{config.channels}b{config.blocks}" if preset is None else preset.removeprefix("span")
        return "_".join(filter(None, (f"span_x{config.scale}", variant.strip("-"))))

    def traits(self, config: SPANConfig) -> Mapping[str, str]:
        return {"C": str(config.channels), "blocks": str(config.blocks), "normalisation": config.normalisation}


def _fused_name(ours: str) -> str:
    """What the published code calls a tensor of `SPAN.state_dict()` in fused form: `conv_1.eval_conv.weight`."""
    module, _, leaf = ours.rpartition(".")
    return ours if module in _SINGLE else f"{module}.eval_conv.{leaf}"
