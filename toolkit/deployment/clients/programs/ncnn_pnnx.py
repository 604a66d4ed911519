"""ncnn, CPU, converted by pnnx: `python ncnn_pnnx.py MODEL INPUT.npy OUTPUT.npy`."""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import ncnn
import numpy as np

spec = importlib.util.find_spec("pnnx")
if spec is None or spec.origin is None:
    raise ModuleNotFoundError("No module named 'pnnx'")
frames = np.load(sys.argv[2])
with tempfile.TemporaryDirectory() as name:
    model = shutil.copy(sys.argv[1], Path(name, "model.onnx"))
    shape = ",".join(map(str, frames.shape)).join("[]") + ("u8" if frames.dtype == np.uint8 else "f32")
    command = [Path(spec.origin).with_name("pnnx"), model, f"inputshape={shape}", "fp16=0"]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - pnnx itself, and files of this program
    network = ncnn.Net()
    network.opt.use_vulkan_compute = False
    if network.load_param(f"{name}/model.ncnn.param") or network.load_model(f"{name}/model.ncnn.bin"):
        sys.exit("ncnn does not load it")
    frame = frames[0]  # kept: ncnn.Mat has its memory
    extractor = network.create_extractor()
    extractor.input(network.input_names()[0], ncnn.Mat(frame))
    code, result = extractor.extract(network.output_names()[0])
    np.save(sys.argv[3], np.array(result)[None])
print(ncnn.__version__)
