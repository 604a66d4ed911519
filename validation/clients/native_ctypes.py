"""The native engine through ctypes: `python native_ctypes.py ENGINE.so NAME INPUT.npy OUTPUT.npy`, NCHW float32, x2."""

import ctypes
import sys

import numpy as np

library, name = ctypes.CDLL(sys.argv[1]), sys.argv[2]
frame = np.ascontiguousarray(np.load(sys.argv[3]))
height, width = frame.shape[2:]
result = np.empty((1, 3, 2 * height, 2 * width), np.float32)
engine = ctypes.c_void_p()
if code := getattr(library, f"{name}_create")(ctypes.byref(engine), height, width, 1):
    sys.exit(f"the engine refuses the size: code {code}")
getattr(library, f"{name}_run")(engine, frame.ctypes.data_as(ctypes.c_void_p), result.ctypes.data_as(ctypes.c_void_p))
getattr(library, f"{name}_destroy")(engine)
np.save(sys.argv[4], result)
