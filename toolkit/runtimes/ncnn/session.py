"""Sessions of ncnn networks."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from toolkit.artifact import Artifact
from toolkit.port import Frame
from toolkit.runtimes.ncnn.network import NcnnNetwork
from toolkit.runtimes.protocol import ArtifactSession
from toolkit.runtimes.reported import Executed
from toolkit.workloads import Shape


class NcnnSession(ArtifactSession):
    """A network, which takes every size."""

    extends_fixed_sizes: ClassVar[bool] = False

    def __init__(self, artifact: Artifact, network: NcnnNetwork) -> None:
        super().__init__(artifact)
        self._network = network
        self._output: Frame = np.empty(0)

    def _bind(self, shape: Shape) -> None:
        self._output = self.output_frame(shape)

    def _run(self, frame: Frame) -> Frame:
        np.copyto(self._output[0], self._network.run(frame[0]))
        return self._output

    def executed(self) -> dict[str, Executed]:
        return self._network.executed()
