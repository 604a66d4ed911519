"""RT4KSR as the toolkit's other parts see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from toolkit.network.architectures.architecture import Architecture, Branch, Decided, Found, StoredName
from toolkit.network.architectures.rt4ksr.config import LANDMARK, RELEASED_SCALES, NetworkConfig
from toolkit.network.architectures.rt4ksr.details import RT4KSRDetails
from toolkit.network.architectures.rt4ksr.presets import PRESETS, STEPS

if TYPE_CHECKING:
    from torch import Tensor

    from toolkit.network.architectures.rt4ksr.model import RT4KSR

_RELEASED = NetworkConfig()

_LICENCES = {
    # The files that the authors published, x2 and x3.
    "9ec7500092848a480e058a9c703e4b2254bc0cc97928c076bba272177752124f": "Apache-2.0",
    "13229f15a7f3897096ab0ee92b7c3d3c64fd59b4e558fea3248147cec225e65e": "Apache-2.0",
}


class RT4KSRArchitecture(Architecture[NetworkConfig, "RT4KSR"]):
    """Zamfir, Conde, Timofte, "Towards Real-Time 4K Image Super-Resolution", CVPRW 2023, and its design space."""

    name: ClassVar[str] = NetworkConfig.architecture
    title: ClassVar[str] = RT4KSRDetails.title
    landmark: ClassVar[str] = LANDMARK
    hint: ClassVar[str] = (
        "Give RT4KSR weights, in training form (expand_conv, fea_conv, reduce_conv) or fused (rep_conv)."
    )
    presets: ClassVar[Mapping[str, NetworkConfig]] = PRESETS
    default: ClassVar[str] = "rt4ksr"
    steps: ClassVar[tuple[str, ...]] = tuple(STEPS)
    usual_scales: ClassVar[tuple[int, ...]] = RELEASED_SCALES
    licences: ClassVar[Mapping[str, str]] = MappingProxyType(_LICENCES)
    not_in_tensors: ClassVar[frozenset[str]] = frozenset({"activation"})
    refitted: ClassVar[frozenset[str]] = frozenset({"image_residual"})

    def build(self, config: NetworkConfig) -> RT4KSR:
        from toolkit.network.architectures.rt4ksr.model import RT4KSR

        return RT4KSR(config)

    def prefixes(self, tensors: Mapping[str, Tensor]) -> list[str]:
        from toolkit.network.architectures.rt4ksr.layouts import find_prefixes

        return find_prefixes(tensors)

    def recognise(self, tensors: Mapping[str, Tensor], where: str) -> Found[NetworkConfig]:
        from toolkit.network.architectures.rt4ksr.layouts import recognise

        return recognise(tensors, where)

    def decide(
        self, found: Found[NetworkConfig], branch: Branch, where: str, rounding: float
    ) -> Decided[NetworkConfig]:
        """Leave out the high-frequency branch where it does nothing."""
        from toolkit.network.architectures.rt4ksr.branch import is_live, without_branch

        live, reason = is_live(found, branch, where, rounding)
        if not live:
            config, tensors = without_branch(found)
            return Decided(config, tensors, self.details(config, reason))
        notes: tuple[str, ...] = ()
        if float(found.tensors["gamma"].detach()) == 0:
            notes = (f"{reason}: with gamma 0 the output is the branch's alone; --high-frequency off leaves it out",)
        return Decided(found.config, found.tensors, self.details(found.config, reason), notes)

    def details(self, config: NetworkConfig, reason: str = "") -> RT4KSRDetails:
        reason = reason or ("part of the preset" if config.high_frequency else "no branch was built")
        return RT4KSRDetails(config.channels, config.blocks, config.high_frequency, reason)

    def stored_name(self, config: NetworkConfig) -> StoredName:
        from toolkit.network.architectures.rt4ksr.layouts import layout_name

        return layout_name(config)

    def fitted_start(self, network: RT4KSR, low: Tensor, high: Tensor) -> None:
        """Let the network upscale before it has learned anything: see `rt4ksr.start`."""
        from toolkit.network.architectures.rt4ksr.start import fitted_start

        fitted_start(network, low, high)

    def refit(self, network: RT4KSR, low: Tensor, high: Tensor) -> None:
        from toolkit.network.architectures.rt4ksr.start import fit_upsample

        fit_upsample(network, low, high)

    def file_stem(self, config: NetworkConfig) -> str:
        """`rt4ksr_x2`, with what differs from the released networks: a preset's name, or channels, blocks, branch."""
        preset, released = self.preset_of(config), self.preset_of(replace(config, hidden=_RELEASED.hidden))
        if "rt4ksr" in (preset, released):
            variant = ""
        elif preset is not None:
            variant = f"_{preset.removeprefix('rt4ksr-')}"
        else:
            kind = "" if config.released_layout else f"_{config.block}-{config.resolution}-{config.attention}"
            variant = f"_c{config.channels}b{config.blocks}{kind}{'_hf' if config.high_frequency else ''}"
        return f"rt4ksr_x{config.scale}{variant}"

    def export_notes(self, config: NetworkConfig) -> tuple[str, ...]:
        notes = []
        if config.block in ("naf", "separable"):
            notes.append(f"{config.block} blocks have nothing to merge: they are exported as they are")
        elif config.block == "projected":
            notes.append("projected blocks: only their reparameterizable convolution is merged; the 1x1 after it stays")
        if config.whole_frame:
            notes.append(f"attention {config.attention} reads the whole frame: an image cannot be upscaled in parts")
        return tuple(notes)

    def traits(self, config: NetworkConfig) -> Mapping[str, str]:
        parts = ["norm"] if config.layernorm else []
        parts.append(f"{config.block}*" if config.hidden is not None else config.block)
        parts += [config.attention] if config.attention != "none" else []
        return {
            "stem": config.stem,
            "features": config.resolution,
            "block": " ".join([*parts, "skip"] if config.residual else parts),
            "adds input": "yes" if config.image_residual else "no",
            "C": str(config.channels),
            "blocks": str(config.blocks),
        }
