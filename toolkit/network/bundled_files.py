"""The files of weights that ship with the toolkit: RT4KSR x2 and x3, for clean and compressed input, and for int8."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal, get_args

from toolkit.errors import CheckpointError
from toolkit.system.atomic import sha256_of

Purpose = Literal["clean", "video", "int"]
"""What weights were trained for: images as they are; frames that a codec has left; or images as they are, in a network
made for int8."""

LICENCE = "Apache-2.0"
"""Of all of them."""

BUNDLED_SCALES = (2, 3)


@dataclass(frozen=True)
class Bundled:
    """One of the files; `weights/README.md` is their model card."""

    scale: int
    purpose: Purpose

    @property
    def file(self) -> str:
        """Its name: `rt4ksr_x2.safetensors`, `rt4ksr_x2_video.safetensors`."""
        return f"rt4ksr_x{self.scale}{'' if self.purpose == 'clean' else f'_{self.purpose}'}.safetensors"

    @property
    def resource(self) -> Traversable:
        return files("toolkit.network") / "weights" / self.file


BUNDLED = tuple(
    item
    for item in (Bundled(scale, purpose) for purpose in get_args(Purpose) for scale in BUNDLED_SCALES)
    if item.resource.is_file()
)


def bundled_sha256(scale: int, purpose: Purpose = "clean") -> str:
    """The SHA-256 of these weights, equal to `Checkpoint.sha256`, without loading torch.

    Raises:
        CheckpointError: there are no such weights.
    """
    return _sha256(find_bundled(scale, purpose))


def bundled_purpose(sha256: str) -> Purpose | None:
    """What the weights with this SHA-256 were trained for; None: they do not ship with the toolkit."""
    return next((item.purpose for item in BUNDLED if _sha256(item) == sha256), None)


@cache
def _sha256(item: Bundled) -> str:
    return sha256_of(item.resource.read_bytes())


def find_bundled(scale: int, purpose: Purpose) -> Bundled:
    """The file of some weights.

    Raises:
        CheckpointError: there are no such weights.
    """
    found = Bundled(scale, purpose)
    if found not in BUNDLED:
        there = " and ".join(f"x{item.scale}" for item in BUNDLED if item.purpose == purpose)
        kind = "" if purpose == "clean" else f"{purpose} "
        raise CheckpointError(
            f"no {kind}weights for x{scale} ship with the toolkit, only for {there}"
            if there
            else f"no {kind}weights ship with the toolkit",
            "Give a checkpoint, or --preset for a network with random weights.",
        )
    return found
