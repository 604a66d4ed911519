"""ONNX Runtime, CPU: `python onnxruntime_cpu.py MODEL INPUT.npy OUTPUT.npy`."""

import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
(result,) = session.run(None, {session.get_inputs()[0].name: np.load(sys.argv[2])})
np.save(sys.argv[3], result)
print(onnxruntime.__version__)
