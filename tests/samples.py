"""Small networks and files that tests of several packages use."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
import torch

from toolkit.artifact import Manifest, encode
from toolkit.manifest_parts import Network, Source
from toolkit.network.architectures.configuration import Configuration
from toolkit.network.architectures.registry import architecture_of
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.architectures.rt4ksr.layouts import released_name
from toolkit.network.architectures.rt4ksr.model import RT4KSR
from toolkit.network.architectures.rt4ksr.presets import PRESETS
from toolkit.network.checkpoint import Checkpoint, serialised_weights
from toolkit.port import Port
from toolkit.runtimes.engine import EngineInfo
from toolkit.system.atomic import sha256_of

DATA = Path(os.environ.get("RT4KSR_DATA", Path(__file__).parents[1] / ".." / "shared")).resolve()

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no shared data at {DATA} (set RT4KSR_DATA)")

M = TypeVar("M", bound=torch.nn.Module)

SMALL = NetworkConfig(scale=2, channels=6, blocks=2, hidden=10)


def released(scale: int) -> Path:
    return DATA / "checkpoints" / f"rt4ksr_x{scale}.pth"


_SPREAD = 0.15
"""Standard deviation of the values of random networks."""


def network(config: NetworkConfig = SMALL, seed: int = 0) -> RT4KSR:
    """Random weights in which nothing is 0, 1, or symmetric, so that a mistake anywhere changes the output."""
    torch.manual_seed(seed)
    made = RT4KSR(config).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("norm.weight"):
                parameter.uniform_(0.5, 1.5)
            elif name.endswith(("bias", "beta")) or name == "gamma":
                parameter.uniform_(-0.5, 0.5)
    return _within_range(made)


def small_module(config: Configuration, module: M | None = None, seed: int = 0) -> M:
    """A network of any architecture, or a module, with random weights of which none is 0 or 1."""
    torch.manual_seed(seed)
    made = architecture_of(config).build(config) if module is None else module
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.5, 0.5)
            elif parameter.ndim == 1:  # slopes of PReLU
                parameter.uniform_(0.1, 0.4)
    return _within_range(made.eval()) if module is None else made.eval()


def _within_range(made: M) -> M:
    """The network with its last convolution scaled so that nearly all values lie within 0..1, as those of pictures do:
    what a graph that limits its output cuts off, a comparison would not see. Other networks stay as they are."""
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ran: list[tuple[torch.nn.Conv2d, torch.Tensor]] = []
    convs = [item for item in made.modules() if isinstance(item, torch.nn.Conv2d)]
    hooks = [conv.register_forward_hook(lambda conv, _, result: ran.append((conv, result))) for conv in convs]
    with torch.no_grad():
        result = made(image)
    for hook in hooks:
        hook.remove()
    last, computed = ran[-1]
    if computed.numel() != result.numel() or last.bias is None:
        return made
    with torch.no_grad():
        factor = _SPREAD / computed.std((0, 2, 3))
        last.weight.mul_(factor[:, None, None, None])
        last.bias.copy_((last.bias - computed.mean((0, 2, 3))) * factor)  # a mean of 0
        last.bias += 0.5 - made(image).mean()  # which is 0 where the image is added to the result
    return made


def small_preset(name: str, scale: int = 2) -> NetworkConfig:
    """A preset with few channels and blocks."""
    preset = PRESETS[name]
    return replace(preset, scale=scale, channels=6, blocks=2, hidden=10 if preset.hidden else None)


def checkpoint(config: NetworkConfig = SMALL, seed: int = 0) -> Checkpoint:
    made = network(config, seed)
    layout = "released" if config.released_layout else "toolkit"
    details = architecture_of(config).details(config, "test")
    return Checkpoint(made, "small.pth", "0" * 64, layout, details)


def released_state(made: RT4KSR) -> dict[str, torch.Tensor]:
    """State dict with the reference code's names."""
    return {released_name(name): tensor.clone() for name, tensor in made.state_dict().items()}


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def save_safetensors(path: Path, made: RT4KSR) -> Path:
    path.write_bytes(serialised_weights(made))
    return path


def rewrite_engine(path: Path, change: Callable[[dict], object]) -> None:
    """Change a bundle's description as if it had been written so, seal and all."""
    info = json.loads((path / "engine.json").read_text())
    change(info)
    (path / "engine.json").write_bytes(encode(msgspec.convert(info, EngineInfo).sealed()))


def bare_manifest(content: bytes, network: Network, source: Source, given: Port, returned: Port, name: str) -> Manifest:
    """The manifest of a dynamic fp32 graph that a test made by hand, which says nothing about its origin."""
    return Manifest(
        name=name,
        precision="fp32",
        network=network,
        source=source,
        input=given,
        output=returned,
        opset=18,
        shape=None,
        workload=None,
        onnx_sha256=sha256_of(content),
        onnx_bytes=len(content),
        tools={},
        steps=(),
        checks=(),
    )
