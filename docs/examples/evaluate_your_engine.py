"""Measure the quality of an engine of your own beside the toolkit's runtimes, on the same images.

    python evaluate_your_engine.py ARTIFACT IMAGES

Here the engine is a session of ONNX Runtime with your settings. Replace `_run` by a call of yours.
"""

import sys

import numpy as np
import onnxruntime

import toolkit
from toolkit.runtimes.protocol import ArtifactSession
from toolkit.runtimes.reported import Executed


class MySession(ArtifactSession):
    """Upscales frames in the layout and type of the artifact's ports, by default float32 (1, 3, H, W), RGB in 0..1."""

    def _bind(self, shape: toolkit.Shape) -> None:
        """Prepare for frames of this size. Called again for each size."""
        settings = onnxruntime.SessionOptions()
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.engine = onnxruntime.InferenceSession(self.artifact.path, settings, ["CPUExecutionProvider"])

    def _run(self, frame: np.ndarray) -> np.ndarray:
        return self.engine.run(None, {self.contract.input.name: frame})[0]

    def executed(self) -> dict[str, Executed]:
        return {"graph": Executed("fp32", "cpu")}


class MyRuntime(toolkit.Runtime):
    name = "mine"
    description = "ONNX Runtime without optimisations"

    def _probe(self) -> toolkit.Availability:
        return toolkit.Availability(True, version=onnxruntime.__version__)

    def _load(self, artifact: toolkit.Artifact, precision: str, options: toolkit.SessionOptions) -> MySession:
        return MySession(artifact)


def main(path: str, images: str) -> None:
    toolkit.RUNTIMES["mine"] = MyRuntime()  # for this process; an entry point registers it for every command
    artifact = toolkit.Artifact.read(path)
    report = toolkit.evaluate([toolkit.Subject(artifact, name) for name in ("mine", "ort-cpu")], [images])
    for network in report.networks:
        print(f"{network.name}: bicubic {network.bicubic.psnr_y:.2f} dB, gain in fp32 {network.gain:.2f} dB")
        for subject in network.subjects:
            print(f"  {subject.runtime:8} {subject.precision:5} PSNR-Y {subject.mean.psnr_y:.2f} dB")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
