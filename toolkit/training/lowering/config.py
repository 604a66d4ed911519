"""The configuration of fine-tuning for a lower precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import msgspec
from msgspec import Meta

from toolkit.errors import InputError
from toolkit.network.architectures.configuration import Configuration
from toolkit.precisions import Precision
from toolkit.quoting import toml_value
from toolkit.sizes import SizeRule
from toolkit.training.config import (
    Count,
    Positive,
    Rate,
    Schedule,
    Share,
    Size,
    TrainingConfig,
    TrainingPrecision,
    converted,
)

if TYPE_CHECKING:
    from toolkit.artifact import Artifact, Manifest


@dataclass(frozen=True)
class GraphConfiguration(Configuration):
    """What the training of a graph needs to know of it.

    Attributes:
        multiple, smallest: see `SizeRule`.
        sha256: of the artifact's ONNX file, which holds everything else.
    """

    architecture: ClassVar[str] = "graph"

    multiple: int = 1
    smallest: int = 1
    sha256: str = ""

    @classmethod
    def of(cls, manifest: Manifest) -> GraphConfiguration:
        """That of an artifact."""
        return cls(manifest.network.scale, manifest.sizes.multiple, manifest.sizes.smallest, manifest.onnx_sha256)

    @property
    def sizes(self) -> SizeRule:
        return SizeRule(self.multiple, self.smallest)

    def fused(self) -> Self:
        """Itself: what could be merged was merged when the graph was exported."""
        return self


class FinetuneConfig(TrainingConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that the result of a fine-tuning depends on. `network`, and what only new networks need, is not set.

    Example:
        >>> FinetuneConfig(data="photos", artifact="exported/rt4ksr_x2_fp32.onnx", target="int8").batch
        16
    """

    artifact: Annotated[str, Meta(description="The fp32 artifact. It is also the teacher.")]
    target: Annotated[Precision, Meta(description="Precision to fine-tune for.")]
    network: Configuration = GraphConfiguration(1)
    exclude: Annotated[
        tuple[str, ...], Meta(description="For int8: comma-separated convolutions that stay in float32.")
    ] = ()
    keep_fp32: Annotated[
        tuple[str, ...], Meta(description="For fp16 and bf16: comma-separated nodes that stay in float32.")
    ] = ("between",)

    range_margin: Annotated[
        Annotated[float, Meta(ge=1, le=4)],
        Meta(
            description="For int8: widen the trained ranges by this factor at the end. Pictures that are sharper than "
            "the training data, such as text on a screen, lose less; others lose a little more."
        ),
    ] = 1.0

    patches: Annotated[tuple[Size, ...], Meta(description="Low-resolution patch sizes in pixels, even.")] = (48,)
    batch: Annotated[Positive, Meta(description="Patches per iteration, over all processes.")] = 16
    iterations: Annotated[Positive, Meta(description="Optimizer steps of the whole run.")] = 3000
    learning_rate: Annotated[Rate, Meta(description="Highest learning rate.")] = 5e-4
    schedule: Annotated[
        Schedule, Meta(description="Halve the learning rate at 20, 40, 60 and 80 %, or follow half a cosine.")
    ] = "cosine"
    warmup: Annotated[Count, Meta(description="Iterations in which the learning rate rises linearly from 0.")] = 50
    beta2: Annotated[Share, Meta(description="Decay of the mean squared gradient.")] = 0.99
    ema: Annotated[Share, Meta(description="Decay of the moving average of the weights, which is what is saved.")] = (
        0.998
    )
    validation_interval: Annotated[Positive, Meta(description="Iterations between validations.")] = 500
    checkpoint_interval: Annotated[Positive, Meta(description="Iterations between checkpoints.")] = 500
    # Autocast would round what is to be exact.
    precision: TrainingPrecision = "fp32"

    @classmethod
    def of(cls, artifact: Artifact, target: Precision, settings: Mapping[str, Any]) -> FinetuneConfig:
        """The configuration for an artifact. Relative paths become absolute.

        Raises:
            InputError: a setting is unknown, missing, or has a value that it cannot have.
        """
        fields = {**settings, "artifact": str(artifact.path), "target": target}
        try:
            config = converted(fields, cls)
        except (ValueError, TypeError) as error:
            raise InputError(f"fine-tuning: {error}", "`toolkit finetune --help` lists all settings.") from error
        network = GraphConfiguration.of(artifact.manifest)
        return msgspec.structs.replace(config, network=network, artifact=str(artifact.path.absolute()))

    @classmethod
    def _network(cls, architecture: str) -> Configuration:
        if architecture != GraphConfiguration.architecture:
            raise ValueError(f"{architecture} is not the architecture of a graph")
        return GraphConfiguration(1)

    def to_toml(self) -> str:
        """For people, and for repeating the run: the network is that of the artifact."""
        plain = {name: value for name, value in msgspec.structs.asdict(self).items() if name != "network"}
        return "".join(f"{name} = {toml_value(value)}\n" for name, value in plain.items() if value is not None)
