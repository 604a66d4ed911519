"""`toolkit presets`."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from cyclopts import Parameter

import toolkit
from toolkit.cli.console import out, print_documents, table


def presets(*, scale: int = 2, json: Annotated[bool, Parameter(negative=())] = False) -> None:
    """Show the networks of the paper's design space, and what they cost.

    Every step from `baseline` to `simplified` changes one idea; `rt4ksr` is the released network.

    Parameters
    ----------
    scale
        2: counted for 1080p→4K; 3: for 720p→4K.
    json
        Print one JSON document, with every field of the configurations.
    """
    shape = next((workload.shape for workload in toolkit.WORKLOADS.values() if workload.scale == scale), None)
    if shape is None:
        raise toolkit.InputError(f"there is no 4K workload for x{scale}", "Choose 2 or 3.")
    configs = {name: dataclasses.replace(preset, scale=scale) for name, preset in toolkit.PRESETS.items()}
    costs = {name: toolkit.complexity(config, shape) for name, config in configs.items()}
    if json:
        print_documents([{name: {"config": configs[name], "cost": costs[name]} for name in configs}])
        return
    numbers = ("C", "blocks", "parameters", "fused", "GMAC")
    rows = table("preset", "stem", "features", "block", *numbers, right=numbers)
    for name, config in configs.items():
        cost = costs[name]
        rows.add_row(
            name,
            config.stem,
            config.resolution,
            _block(config),
            str(config.channels),
            str(config.blocks),
            f"{cost.parameters:,}",
            f"{cost.fused_parameters:,}",
            f"{cost.multiply_adds / 1e9:.1f}",
        )
    out.print(rows)
    out.print("* merged for inference; multiply-adds are those of the merged network, for one frame", style="dim")


def _block(config: toolkit.NetworkConfig) -> str:
    parts = ["norm"] if config.layernorm else []
    parts.append(f"{config.block}*" if config.hidden is not None else config.block)
    parts += [config.attention] if config.attention != "none" else []
    return " ".join([*parts, "skip"] if config.residual else parts)
