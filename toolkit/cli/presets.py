"""`toolkit presets`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table

from toolkit.cli.console import out, print_documents, table
from toolkit.cli.options import Json
from toolkit.errors import InputError
from toolkit.workloads import workload_for_scale

if TYPE_CHECKING:
    from toolkit.network.architectures.configuration import Configuration
    from toolkit.network.architectures.registry import AnyArchitecture
    from toolkit.network.complexity import Complexity


def presets(*, scale: int = 2, json: Json = False) -> None:
    """List the networks that can be trained by name, and their cost.

    Of RT4KSR, every step from `baseline` to `simplified` changes one idea; `rt4ksr` is the released network.

    Parameters
    ----------
    scale
        Upscaling factor: 1 (cost for 2160p→4K), 2 (1080p→4K), 3 (720p→4K) or 4 (540p→4K).
    """
    workload = workload_for_scale(scale)
    if workload is None:
        raise InputError(f"there is no 4K workload for x{scale}", "Choose 1, 2, 3 or 4.")
    from toolkit.network.architectures.registry import ARCHITECTURES, PRESETS
    from toolkit.network.complexity import complexity

    configs = {name: dataclasses.replace(preset, scale=scale) for name, preset in PRESETS.items()}
    costs = {name: complexity(config, workload.shape) for name, config in configs.items()}
    if json:
        print_documents([{name: {"config": configs[name], "cost": costs[name]} for name in configs}])
        return
    for architecture in ARCHITECTURES.values():
        out.print(_table(architecture, configs, costs))
    out.print("* merged for inference; GMAC: multiply-adds of the merged network for one frame", style="dim")


def _table(
    architecture: AnyArchitecture, configs: Mapping[str, Configuration], costs: Mapping[str, Complexity]
) -> Table:
    """The presets of one architecture: what distinguishes them, and what they cost."""
    traits = {name: architecture.traits(configs[name]) for name in architecture.presets}
    columns = list(next(iter(traits.values())))
    numbers = [name for name in columns if all(row[name].isdigit() for row in traits.values())]
    cost_columns = ("parameters", "fused", "GMAC")
    rows = table("preset", *columns, *cost_columns, right=(*numbers, *cost_columns))
    for name, row in traits.items():
        cost = costs[name]
        counted = (f"{cost.parameters:,}", f"{cost.fused_parameters:,}", f"{cost.multiply_adds / 1e9:.1f}")
        rows.add_row(name, *row.values(), *counted)
    return rows
