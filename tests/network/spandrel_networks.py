"""Writes small networks of spandrel, as checkpoints and ONNX graphs: run by `test_spandrel`, in its environment.

    python spandrel_networks.py DIRECTORY NAME...

Weights are random but for the last convolution, which is fitted by least squares so that the network's output is close
to bicubic upscaling: what has random weights throughout is rightly refused as no super-resolution network.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from spandrel.architectures.Compact import Compact
from spandrel.architectures.DAT import DAT
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.SAFMN import SAFMN
from spandrel.architectures.SPAN import SPAN
from torch import Tensor, nn
from torch.nn import functional

from toolkit.graph.precision.calibration import calibration_images
from toolkit.images.resizing import resize_bicubic
from toolkit.workloads import Shape

SCALE = 2
SIZE = Shape(48, 64)

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "span": lambda: SPAN(num_in_ch=3, num_out_ch=3, feature_channels=12, upscale=SCALE),
    "compact": lambda: Compact(num_in_ch=3, num_out_ch=3, num_feat=16, num_conv=3, upscale=SCALE, act_type="prelu"),
    "esrgan": lambda: ESRGAN(in_nc=3, out_nc=3, num_filters=32, num_blocks=1, scale=SCALE),
    "dat": lambda: DAT(
        img_size=64,
        in_chans=3,
        embed_dim=60,
        split_size=[8, 32],
        depth=[1],
        num_heads=[6],
        expansion_factor=2,
        upscale=SCALE,
        img_range=1.0,
        resi_connection="3conv",
        upsampler="pixelshuffledirect",
    ),
    "safmn": lambda: SAFMN(dim=16, n_blocks=1, upscaling_factor=SCALE),
}


def fitted(network: nn.Module) -> nn.Module:
    """The network with its last convolution replaced, in place, by the least-squares fit to bicubic upscaling."""
    seen: dict[str, tuple[nn.Conv2d, Tensor]] = {}
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda module, given, _: seen.update(last=(module, given[0])))
    low = [np.ascontiguousarray(image[: SIZE.height, : SIZE.width]) for image in calibration_images()[:4]]
    high = [tensor(resize_bicubic(image, SIZE.upscaled(SCALE))) for image in low]
    with torch.no_grad():
        network.eval()(tensor(low[0]))
        last = seen["last"][0]
        last.weight.zero_()
        last.bias.zero_()
        products = targets = torch.zeros((), dtype=torch.float64)
        for image, wanted in zip(low, high, strict=True):
            rest = wanted - network(tensor(image))
            rest = rest if last.out_channels == 3 else functional.pixel_unshuffle(rest, SCALE)
            columns = functional.unfold(seen["last"][1], last.kernel_size, padding=last.padding)[0].double()
            columns = torch.cat([columns, torch.ones_like(columns[:1])])
            products = products + columns @ columns.T
            targets = targets + columns @ rest[0].flatten(1).double().T
        products = products + 1e-6 * products.diagonal().mean() * torch.eye(len(products))
        solution = torch.linalg.solve(products, targets).T
        last.weight.copy_(solution[:, :-1].reshape(last.weight.shape))
        last.bias.copy_(solution[:, -1])
    for layer in network.modules():
        layer._forward_hooks.clear()
    return network


def tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def write(directory: Path, name: str) -> None:
    """NAME.pth, and NAME.npz with an image 0..1 and what the network returns for it in float64, not clamped."""
    torch.manual_seed(0)
    network = fitted(NETWORKS[name]())
    torch.save({"params_ema": network.state_dict()}, directory / f"{name}.pth")
    image = np.random.default_rng(0).random((1, 3, 48, 40))
    with torch.no_grad():
        result = network.double()(torch.from_numpy(image))
    np.savez(directory / f"{name}.npz", image=image, result=result.numpy())
    write_graphs(directory, name, network.float())


def write_graphs(directory: Path, name: str, network: nn.Module) -> None:
    """NAME.onnx; of SPAN, whose training form is not merged, also NAME_unfused.onnx."""
    forms = {name: network.eval()}
    if name == "span":
        with torch.no_grad():
            network(torch.zeros(1, 3, 16, 16))  # merges its blocks
        forms = {"span_unfused": network.train()}
        export(directory / "span.onnx", frozen(network))
    for stem, form in forms.items():
        export(directory / f"{stem}.onnx", form)


def frozen(network: nn.Module) -> nn.Module:
    """A copy of SPAN that keeps the merged convolutions as they are."""
    copied = copy.deepcopy(network).eval()
    for layer in copied.modules():
        if hasattr(layer, "update_params"):
            layer.update_params = lambda: None
    return copied


def export(path: Path, network: nn.Module) -> None:
    sides = {2: 8 * torch.export.Dim("rows", min=2), 3: 8 * torch.export.Dim("columns", min=2)}
    program = torch.onnx.export(
        network, (torch.zeros(1, 3, 48, 64),), dynamo=True, dynamic_shapes=(sides,), external_data=False, verbose=False
    )
    assert program is not None
    path.write_bytes(program.model_proto.SerializeToString())


if __name__ == "__main__":
    torch.set_num_threads(1)
    for wanted in sys.argv[2:]:
        write(Path(sys.argv[1]), wanted)
