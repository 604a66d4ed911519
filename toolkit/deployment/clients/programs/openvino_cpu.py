"""OpenVINO, CPU: `python openvino_cpu.py MODEL INPUT.npy OUTPUT.npy [PROPERTY=VALUE ...]`; without properties: its
defaults."""

import sys

import numpy as np
import openvino

properties = dict(text.split("=") for text in sys.argv[4:])
compiled = openvino.Core().compile_model(sys.argv[1], "CPU", properties)
np.save(sys.argv[3], compiled(np.load(sys.argv[2]))[0])
print(openvino.get_version())
