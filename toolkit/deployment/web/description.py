"""What the page has to know about its network: the document that it loads first."""

from __future__ import annotations

import msgspec
import numpy as np

from toolkit.artifact import Artifact
from toolkit.deployment.web.graph import uses_float16
from toolkit.graph.analysis.locality import Locality
from toolkit.images.chroma import SUPPORT
from toolkit.images.resizing import interpolated
from toolkit.media.upscaler import demand_of
from toolkit.port import ChannelOrder, Layout, Port, PortType
from toolkit.workloads import Shape

MEMORY = 128 << 20
"""Bytes that the tensors of one run may take in the browser; larger pictures are cut into strips."""
LEVELS = 1
"""Grey levels, of 255, by which the browser's result may differ from that of ONNX Runtime."""


class End(msgspec.Struct, frozen=True, rename="camel"):
    """The input or output; see `Port`."""

    layout: Layout
    dtype: PortType
    low: float
    high: float
    order: ChannelOrder

    @classmethod
    def of(cls, port: Port) -> End:
        return cls(port.layout, port.dtype, *port.value_range, port.order)


class Reach(msgspec.Struct, frozen=True, rename="camel"):
    """Rows that a result depends on; see `Locality`."""

    above: int
    below: int
    alignment: int


class Tile(msgspec.Struct, frozen=True, rename="camel"):
    """The picture that the page upscales when it is opened. Both files are uint8 RGB (H, W, 3) without a header.

    Attributes:
        width: of the picture, in pixels.
        height: of the picture.
        input: file of the picture.
        expected: file of what ONNX Runtime makes of it.
        runtime: that made it, with its version.
        levels: by which the browser's result may differ, of 255.
    """

    width: int
    height: int
    input: str
    expected: str
    runtime: str
    levels: int


class Description(msgspec.Struct, frozen=True, rename="camel"):
    """The network and the rules by which pictures are brought into its form.

    Attributes:
        name: of the artifact.
        title: what the network is, for people.
        model: file name.
        scale: output pixels per input pixel, along each axis.
        half: the graph computes in float16, for which a GPU needs the WebGPU feature `shader-f16`.
        reach: receptive field; None: the network runs on whole pictures only.
        whole_reason: why it does.
        bytes_per_pixel: of tensors, per input pixel.
        memory: bytes of tensors in one run.
        chroma: for networks of luma, the weights of the `2 * SUPPORT + 1` pixels around a pixel in each of the `scale`
            positions that it is enlarged to; None: the network returns colours.
    """

    name: str
    title: str
    licence: str | None
    model: str
    scale: int
    half: bool
    input: End
    output: End
    multiple: int
    smallest: int
    reach: Reach | None
    whole_reason: str
    bytes_per_pixel: float
    memory: int
    chroma: tuple[tuple[float, ...], ...] | None
    tile: Tile


def describe(artifact: Artifact, tile: Tile) -> Description:
    """The description of an artifact.

    Raises:
        ArtifactError: its graph cannot be read.
    """
    manifest, demand = artifact.manifest, demand_of(artifact)
    local, scale = demand.local, manifest.network.scale
    return Description(
        manifest.name,
        f"{manifest.network}, {manifest.precision}",
        manifest.source.licence,
        artifact.path.name,
        scale,
        uses_float16(artifact.path),
        End.of(manifest.input),
        End.of(manifest.output),
        manifest.sizes.multiple,
        manifest.sizes.smallest,
        Reach(local.above, local.below, local.alignment) if isinstance(local, Locality) else None,
        "" if isinstance(local, Locality) else local.reason,
        demand.bytes_per_pixel,
        MEMORY,
        enlargement_weights(scale) if manifest.output.order == "Y" else None,
        tile,
    )


def enlargement_weights(scale: int) -> tuple[tuple[float, ...], ...]:
    """The weights of bicubic interpolation by a whole factor, from the response of `interpolated` to an impulse.

    Returns:
        For each of the `scale` positions of an enlarged pixel, the weights of the pixels from `SUPPORT` before it to
        `SUPPORT` after it.
    """
    length, centre = 4 * SUPPORT + 1, 2 * SUPPORT
    impulse = np.zeros((1, length, 1))
    impulse[0, centre] = 1
    response = interpolated(impulse, Shape(scale, scale * length))[0, :, 0]
    around = range(-SUPPORT, SUPPORT + 1)
    return tuple(
        tuple(float(response[scale * (centre - step) + position]) for step in around) for position in range(scale)
    )
