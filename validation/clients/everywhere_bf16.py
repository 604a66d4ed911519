"""What a float32 network loses where a client computes every operator in bf16, as OpenVINO does unless it is told
otherwise on CPUs with bf16 instructions; and how much of that which operators cause.

    python validation/clients/everywhere_bf16.py ../shared/images/Set5

Prints Markdown. The roundings are simulated: weights, and the result of each operator, are rounded to bf16. A share is
of the gain in mean PSNR-Y over bicubic interpolation.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toolkit.artifact import Artifact
from toolkit.graph.any_size import sizeless
from toolkit.graph.reading import read_model
from toolkit.quality.data import Degradation, Item, bicubic, find_items, load_pair
from toolkit.training.lowering.graph_network import Convolutions, GraphNetwork
from toolkit.training.lowering.operators import Geometry
from toolkit.training.validation import psnr_y, validate

EXPORTED = Path(__file__).parents[2] / "exported"
NETWORKS = "rt4ksr_x2", "rt4ksr_x3", "rt4ksr_x2_int", "rt4ksr_x3_int"
STATISTICS = ("Mul", "ReduceMean", "Sqrt")
GROUPS: dict[str, tuple[str, ...]] = {
    "all": (),
    "weights": ("weights",),
    "Conv": ("Conv",),
    "statistics of norms": STATISTICS,
    "Gelu": ("Gelu",),
    "Div": ("Div",),
    "Add, Sub": ("Add", "Sub"),
}


def bf16(values: Tensor) -> Tensor:
    return values.bfloat16().float() if values.is_floating_point() else values


class RoundedConvolutions(Convolutions):
    """Sums in float32; weights and results rounded, if they are among `kinds`. No kinds: all."""

    def __init__(self, kinds: Sequence[str]) -> None:
        super().__init__()
        self._kinds = kinds

    def convolve(
        self, node: str, tensor: str, geometry: Geometry, x: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        weight = bf16(weight) if not self._kinds or "weights" in self._kinds else weight
        result = geometry.convolve(x, weight, bias)
        return bf16(result) if not self._kinds or "Conv" in self._kinds else result


class Everywhere(GraphNetwork):
    """The graph of an artifact with the results of operators of some kinds rounded to bf16. No kinds: all."""

    def __init__(self, artifact: Artifact, kinds: Sequence[str]) -> None:
        model, manifest = read_model(artifact.path), artifact.manifest
        super().__init__(model, manifest, RoundedConvolutions(kinds))
        types = {node.name: node.op_type for node in sizeless(model, manifest).graph.node}
        self._operations = tuple(
            replace(one, function=lambda *operands, known=one.function: bf16(known(*operands)))
            if one.geometry is None and (not kinds or types[one.name] in kinds)
            else one
            for one in self._operations
        )


def mean_psnr(network: GraphNetwork, items: Sequence[Item]) -> float:
    scale = network.config.scale
    return float(np.mean(list(validate(network, items, None, torch.device("cpu"), scale))))


def main() -> None:
    print(f"| network | {' | '.join(GROUPS)} |\n|---|{'---:|' * len(GROUPS)}")
    for name in NETWORKS:
        artifact = Artifact.read(EXPORTED / f"{name}_fp32.onnx")
        scale = artifact.manifest.network.scale
        items = find_items([Path(sys.argv[1])], scale)
        pairs = [load_pair(item, scale, Degradation()) for item in items]
        base = float(np.mean([psnr_y(bicubic(pair.low, scale), pair.high, scale) for pair in pairs]))
        exact = mean_psnr(GraphNetwork(read_model(artifact.path), artifact.manifest), items)
        lost = [(exact - mean_psnr(Everywhere(artifact, kinds), items)) / (exact - base) for kinds in GROUPS.values()]
        print(f"| {name} | {' | '.join(f'{share:.0%}' for share in lost)} |", flush=True)


if __name__ == "__main__":
    main()
