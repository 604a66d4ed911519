"""Whether RT4KSR's high-frequency branch takes part in a network that was found in a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from toolkit.errors import CheckpointError
from toolkit.network.architectures.architecture import Branch, Found
from toolkit.network.architectures.rt4ksr.config import NetworkConfig

_OF_THE_BRANCH = ("gamma", "hfb.", "high_pass.")
"""How names of its tensors begin."""

_STANDARD_ERRORS = 5
"""How far the spread of uniform samples may be from its expectation, in standard errors of that spread."""


def is_live(found: Found[NetworkConfig], branch: Branch, where: str, rounding: float) -> tuple[bool, str]:
    """Whether the branch takes part, and why.

    In the released checkpoints it does not: gamma is 0 and the branch is untrained.

    Raises:
        CheckpointError: the branch was asked for, and the file has none.
    """
    if not found.config.high_frequency:
        if branch == "on":
            raise CheckpointError(f"{where} has no high-frequency branch (hfb.*) to switch on")
        return False, "the checkpoint has no such branch"
    if branch == "present":
        return True, "part of the stored weights"
    if branch != "auto":
        return branch == "on", f"--high-frequency {branch}"
    gamma = float(found.tensors["gamma"].detach())
    if gamma != 0:
        return True, f"gamma is {gamma:.4g}"
    if found.layout == "toolkit":
        return True, "part of the configuration"
    if found.config.hidden is None:
        return False, "gamma is 0; merged weights do not tell whether the branch was trained"
    if _looks_untrained(found.tensors, rounding):
        return False, "gamma is 0 and the branch is as PyTorch initialises it"
    return True, "gamma is 0, but the branch was trained"


def without_branch(found: Found[NetworkConfig]) -> tuple[NetworkConfig, dict[str, Tensor]]:
    """Configuration and tensors of the network that is left without the branch."""
    tensors = {name: tensor for name, tensor in found.tensors.items() if not name.startswith(_OF_THE_BRANCH)}
    return replace(found.config, stem="none", plain_hfb=False), tensors


def _looks_untrained(tensors: Mapping[str, Tensor], rounding: float) -> bool:
    """Whether hfb.* is, up to `rounding`, PyTorch's initialisation of convolutions: uniform in ±1/sqrt(fan_in)."""
    for name in ("expand", "spatial", "reduce"):
        weight, bias = (tensors[f"hfb.conv.{name}.{leaf}"].double() for leaf in ("weight", "bias"))
        bound = 1 / math.sqrt(weight[0].numel())
        if max(weight.abs().max(), bias.abs().max()) > bound * (1 + 1e-5 + rounding):
            return False
        # Uniform in ±b has a root mean square of b/sqrt(3). That of n samples has a relative standard error of
        # sqrt((kurtosis - 1) / 4n), and the kurtosis of a uniform distribution is 9/5.
        allowed = _STANDARD_ERRORS * math.sqrt(0.2 / weight.numel())
        if abs(float(weight.square().mean().sqrt()) / (bound / math.sqrt(3)) - 1) > allowed:
            return False
    return True
