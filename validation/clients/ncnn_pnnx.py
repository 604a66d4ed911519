"""ncnn, from a .param and a .bin of pnnx: `python ncnn_pnnx.py PARAM BIN INPUT.npy OUTPUT.npy`."""

import sys

import ncnn
import numpy as np

network = ncnn.Net()
network.opt.use_vulkan_compute = False
if network.load_param(sys.argv[1]) or network.load_model(sys.argv[2]):
    sys.exit("ncnn does not load it")
frame = np.load(sys.argv[3])[0]  # kept: ncnn.Mat has its memory
extractor = network.create_extractor()
extractor.input(network.input_names()[0], ncnn.Mat(frame))
code, result = extractor.extract(network.output_names()[0])
np.save(sys.argv[4], np.array(result)[None])
