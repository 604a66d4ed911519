"""Layer times from runtimes' profilers, and the ONNX nodes that a layer computes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from toolkit.artifact import Artifact
from toolkit.runtimes.reported import LayerTime


class LayerClock:
    """Collects the times of layers in the order in which they ran, over several frames."""

    def __init__(self) -> None:
        self._noted: dict[str, tuple[str, list[float]]] = {}

    def note(self, name: str, kind: str, seconds: float) -> None:
        """Add one run of a layer."""
        self._noted.setdefault(name, (kind, []))[1].append(seconds)

    def layers(self, frames: int, nodes: Callable[[str], tuple[str, ...]]) -> list[LayerTime]:
        """Mean seconds per frame of each layer.

        Args:
            frames: how many to average over; one more was run before them, to warm up.
            nodes: the ONNX nodes that a layer of this name computes.
        """
        found = []
        for name, (kind, seconds) in self._noted.items():
            counted = seconds[len(seconds) // (frames + 1) :]
            found.append(LayerTime(name, kind, sum(counted) / frames, nodes(name)))
        return found


def graph_nodes(artifact: Artifact) -> tuple[str, ...]:
    """Names of all nodes of the graph; none where the file is an engine."""
    if artifact.path.suffix != ".onnx":
        return ()
    from toolkit.graph.reading import read_model

    graph = read_model(artifact.path).graph
    return tuple(node.name for node in graph.node if node.name)


def nodes_in(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Nodes whose names a runtime's layer name contains: `body.0.conv_nchwc`, `head + body.0.conv`, ..."""
    found = {}
    for name in sorted(known, key=len, reverse=True):
        # Runtimes extend names with underscores, slashes and blanks; `head` is not in `ahead`, nor in `head.0`.
        pattern = rf"(?<![A-Za-z0-9.]){re.escape(name)}(?![A-Za-z0-9.])"
        if (match := re.search(pattern, text)) is not None:
            found[match.start()] = name
            text = text[: match.start()] + " " * len(name) + text[match.end() :]
    return tuple(found[position] for position in sorted(found))
