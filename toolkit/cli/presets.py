"""`toolkit presets`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from toolkit.cli.console import out, print_documents, table
from toolkit.cli.options import Json
from toolkit.errors import InputError
from toolkit.workloads import workload_for_scale

if TYPE_CHECKING:
    from toolkit.network.architectures.rt4ksr.config import NetworkConfig


def presets(*, scale: int = 2, json: Json = False) -> None:
    """List the networks of the paper's design space and their cost.

    Every step from `baseline` to `simplified` changes one idea; `rt4ksr` is the released network.

    Parameters
    ----------
    scale
        Upscaling factor: 2 (cost for 1080p→4K) or 3 (for 720p→4K).
    """
    workload = workload_for_scale(scale)
    if workload is None:
        raise InputError(f"there is no 4K workload for x{scale}", "Choose 2 or 3.")
    from toolkit.network.architectures.rt4ksr.presets import PRESETS
    from toolkit.network.complexity import complexity

    configs = {name: dataclasses.replace(preset, scale=scale) for name, preset in PRESETS.items()}
    costs = {name: complexity(config, workload.shape) for name, config in configs.items()}
    if json:
        print_documents([{name: {"config": configs[name], "cost": costs[name]} for name in configs}])
        return
    numbers = ("C", "blocks", "parameters", "fused", "GMAC")
    rows = table("preset", "stem", "features", "block", *numbers, right=numbers)
    for name, config in configs.items():
        cost = costs[name]
        sizes = str(config.channels), str(config.blocks), f"{cost.parameters:,}", f"{cost.fused_parameters:,}"
        rows.add_row(name, config.stem, config.resolution, _block(config), *sizes, f"{cost.multiply_adds / 1e9:.1f}")
    out.print(rows)
    out.print("* merged for inference; GMAC: multiply-adds of the merged network for one frame", style="dim")


def _block(config: NetworkConfig) -> str:
    parts = ["norm"] if config.layernorm else []
    parts.append(f"{config.block}*" if config.hidden is not None else config.block)
    parts += [config.attention] if config.attention != "none" else []
    return " ".join([*parts, "skip"] if config.residual else parts)
