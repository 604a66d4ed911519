"""Training of one network by several processes, on one machine or many, started by torchrun."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import Tensor, distributed, nn

from toolkit.errors import Unavailable

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Processes:
    """This process: number `rank` of `size`, with its own device."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and reports progress."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their means over all processes. Every process must call this equally often."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.size
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def gather(self, values: list[float]) -> list[float]:
        """The values of all processes: the first of each, the second of each, ..."""
        if self.size == 1:
            return values
        lists: list[list[float]] = [[] for _ in range(self.size)]
        distributed.all_gather_object(lists, values)
        longest = max(map(len, lists))
        return [part[index] for index in range(longest) for part in lists if index < len(part)]

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self.size > 1:
            distributed.barrier()


def placed(module: Module, device: torch.device) -> Module:
    """A module moved to a device, with kernels in channels-last memory format, for which convolutions are faster."""
    # PyTorch's annotations of `to` lack `memory_format` without a device.
    return cast(Module, module.to(device).to(memory_format=torch.channels_last))  # type: ignore[call-overload]


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started. Without torchrun this process is the only one.

    Args:
        device: `auto`, `cpu` or `cuda`.

    Raises:
        Unavailable: CUDA was asked for and is not here.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise Unavailable("there is no CUDA device that PyTorch can use", "See `toolkit doctor`, or --device cpu.")
    cuda = device != "cpu" and torch.cuda.is_available()
    own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(own)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes(own)
        return
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Processes(own, distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
