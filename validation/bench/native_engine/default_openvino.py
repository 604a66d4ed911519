"""OpenVINO as it is without hints, on the float32 graph: in bfloat16, where the CPU has it.

The toolkit's runtime states the precision, so that this is no cell of `toolkit profile`. Run as a program it times
frames, for every line of standard input as many as that says, and prints their seconds.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from toolkit.artifact import Artifact
from toolkit.system.hardware import instruction_sets
from toolkit.workloads import Shape

_TURN_SECONDS = 0.5


def lowers_precision() -> bool:
    """Whether OpenVINO computes float32 graphs in bfloat16 here."""
    return not instruction_sets().isdisjoint({"avx512_bf16", "amx_bf16"})


class DefaultOpenVino:
    """Frame times of it in a process of its own; a context manager.

    Attributes:
        seconds: of each frame.
    """

    def __init__(self, artifact: Artifact, shape: Shape, threads: int) -> None:
        self.seconds: list[float] = []
        self._command = [sys.executable, __file__, artifact.path, *map(str, (*shape.sides, threads))]
        self._stack = ExitStack()
        self._asked: IO[str]
        self._answers: IO[str]

    def __enter__(self) -> Self:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = self._stack.enter_context(subprocess.Popen(self._command, text=True, **pipes))
        assert process.stdin is not None and process.stdout is not None
        self._asked, self._answers = process.stdin, process.stdout
        self._run(2)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def sample(self) -> None:
        """Time some frames, after one that is not timed."""
        last = self._run(1)[0]
        self.seconds += self._run(max(1, round(_TURN_SECONDS / last)))

    def _run(self, frames: int) -> list[float]:
        print(frames, file=self._asked, flush=True)
        return [float(text) for text in self._answers.readline().split()]


def main() -> None:
    import openvino

    path, height, width, threads = sys.argv[1], *map(int, sys.argv[2:])
    artifact = Artifact.read(path)
    port, shape = artifact.manifest.input, Shape(height, width)
    core = openvino.Core()
    model = core.read_model(path)
    model.reshape(list(port.frame_shape(shape)))
    scheduling = {"NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(model, "CPU", scheduling).create_infer_request()
    output = artifact.manifest.output.empty(shape.upscaled(artifact.manifest.network.scale))
    request.set_output_tensor(openvino.Tensor(output, shared_memory=True))
    frame = openvino.Tensor(port.noise(shape, np.random.default_rng(0)), shared_memory=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            request.set_input_tensor(frame)
            request.infer(share_outputs=True)
            seconds.append(time.perf_counter() - begin)
        print(*seconds, flush=True)


if __name__ == "__main__":
    main()
