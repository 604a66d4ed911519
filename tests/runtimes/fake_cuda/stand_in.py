"""What the tests on the stand-in for the CUDA driver share. Importing it needs the stand-in."""

import ctypes

import numpy as np

import toolkit
from toolkit.artifact import Artifact
from toolkit.graph.source import source_checkpoint
from toolkit.network.module import numpy_function
from toolkit.runtimes.cuda.driver import CUDA_DRIVER
from toolkit.workloads import Shape

SHAPE = Shape(8, 12)
DRIVER = ctypes.CDLL(CUDA_DRIVER)
DRIVER.fake_host.restype, DRIVER.fake_host.argtypes = ctypes.c_void_p, [ctypes.c_uint64]
DRIVER.fake_size.restype, DRIVER.fake_size.argtypes = ctypes.c_size_t, [ctypes.c_uint64]


def noise(shape: Shape) -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, *shape.sides), np.float32)


def check(session: toolkit.Session, artifact: Artifact, shape: Shape) -> None:
    """Two frames, so that the second must not find the first one's result."""
    session.bind(shape)
    network = numpy_function(source_checkpoint(artifact).network, "float64")
    for frame in (noise(shape), 1 - noise(shape)):
        np.testing.assert_allclose(session.run(frame), network(frame).clip(0, 1), rtol=0, atol=1e-5)
