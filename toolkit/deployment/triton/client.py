"""Upscales a picture on Triton Inference Server, through shared memory of the system.

    pip install "tritonclient[grpc]" numpy pillow
    python client.py small.png large.png --url localhost:8001

Client and server must share /dev/shm: run both on one machine, and the server's container with --ipc=host.
`manifest.json`, beside this file, says how frames hold a picture.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from PIL import Image
from tritonclient.utils import shared_memory

TRITON_TYPES = {"float32": "FP32", "float16": "FP16", "uint8": "UINT8"}


def to_frame(picture: np.ndarray, port: dict[str, Any]) -> np.ndarray:
    """Bytes (height, width, channels) as a frame of a port."""
    low, high = port["value_range"]
    if port.get("order") == "BGR":
        picture = picture[..., ::-1]
    values = picture.astype(np.float64) / 255 * (high - low) + low
    frame = values.round().astype(np.uint8) if port["dtype"] == "uint8" else values.astype(port["dtype"])
    return np.ascontiguousarray(frame if port["layout"] == "NHWC" else frame.transpose(2, 0, 1))[None]


def to_picture(frame: np.ndarray, port: dict[str, Any]) -> np.ndarray:
    """A frame of a port as bytes (height, width, channels)."""
    low, high = port["value_range"]
    values = frame[0] if port["layout"] == "NHWC" else frame[0].transpose(1, 2, 0)
    levels = (values.astype(np.float64) - low) / (high - low) * 255
    picture: np.ndarray = levels.round().clip(0, 255).astype(np.uint8)
    return picture[..., ::-1] if port.get("order") == "BGR" else picture


def extended(picture: np.ndarray, manifest: dict[str, Any]) -> np.ndarray:
    """The picture, extended at the end by reflection to a size that the network takes."""
    if manifest["shape"] is not None:
        height, width = manifest["shape"]
    else:
        multiple, smallest = manifest["network"]["size_multiple"], manifest["network"]["smallest"]
        height, width = (-(-max(side, smallest) // multiple) * multiple for side in picture.shape[:2])
    missing = (height - picture.shape[0], width - picture.shape[1])
    if min(missing) < 0:
        raise SystemExit(f"error: the network takes pictures up to {width}x{height}")
    return np.pad(picture, ((0, missing[0]), (0, missing[1]), (0, 0)), "reflect")


def infer(
    client: triton.InferenceServerClient,
    model: str,
    frame: np.ndarray,
    ports: tuple[dict[str, Any], dict[str, Any]],
    shape: tuple[int, ...],
) -> np.ndarray:
    """Run a frame. Only its address is sent: the server reads and writes shared memory.

    Args:
        client: connected to the server.
        model: its name there.
        frame: of the input.
        ports: input and output, as the manifest describes them.
        shape: of the output.
    """
    size, result = frame.nbytes, np.empty(shape, ports[1]["dtype"])
    region = key = f"upscale-{os.getpid()}"
    memory = shared_memory.create_shared_memory_region(region, f"/{key}", size + result.nbytes)
    try:
        shared_memory.set_shared_memory_region(memory, [frame])
        client.register_system_shared_memory(region, f"/{key}", size + result.nbytes)
        given = triton.InferInput(ports[0]["name"], frame.shape, TRITON_TYPES[str(frame.dtype)])
        given.set_shared_memory(region, size)
        returned = triton.InferRequestedOutput(ports[1]["name"])
        returned.set_shared_memory(region, result.nbytes, size)
        client.infer(model, [given], outputs=[returned])
        result[:] = shared_memory.get_contents_as_numpy(memory, result.dtype, result.shape, offset=size)
    finally:
        client.unregister_system_shared_memory(region)
        shared_memory.destroy_shared_memory_region(memory)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--url", default="localhost:8001", help="of the server's gRPC port; default: %(default)s")
    options = parser.parse_args()
    manifest = json.loads(Path(__file__).with_name("manifest.json").read_text("utf-8"))
    given, returned, scale = manifest["input"], manifest["output"], manifest["network"]["scale"]
    with Image.open(options.picture) as opened:
        picture = np.asarray(opened.convert("L" if given.get("order") == "Y" else "RGB"))
    picture = picture.reshape(*picture.shape[:2], -1)
    large = extended(picture, manifest)
    height, width, channels = (large.shape[0] * scale, large.shape[1] * scale, large.shape[2])
    shape = (1, channels, height, width) if returned["layout"] == "NCHW" else (1, height, width, channels)
    client = triton.InferenceServerClient(options.url)
    frame = infer(client, manifest["name"], to_frame(large, given), (given, returned), shape)
    result = to_picture(frame, returned)[: picture.shape[0] * scale, : picture.shape[1] * scale]
    Image.fromarray(result.squeeze(2) if channels == 1 else result).save(options.result)


if __name__ == "__main__":
    main()
