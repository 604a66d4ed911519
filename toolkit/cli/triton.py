"""`toolkit triton`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from toolkit.cli.console import err, out, print_documents, styled, warn
from toolkit.cli.options import Json, NetworkPath, OutputDirectory, Overwrite, Threads, flag
from toolkit.kinds import kind_of
from toolkit.quoting import shell


def triton(
    network: NetworkPath,
    /,
    *,
    output: OutputDirectory = Path("model_repository"),
    backend: Annotated[
        str | None,
        Parameter(
            help="Backend of Triton: onnxruntime, openvino or tensorrt. Default: tensorrt for engines, onnxruntime for "
            "artifacts."
        ),
    ] = None,
    kind: Annotated[
        Literal["auto", "cpu", "gpu"] | None,
        Parameter(
            help="Where instances run. auto: on the server's GPUs, or on its CPU if it has none. Default: auto; cpu "
            "for openvino, gpu for tensorrt."
        ),
    ] = None,
    instances: Annotated[int, Parameter(help="Frames that are computed at the same time, per device.")] = 1,
    threads: Annotated[Threads, Parameter(help="CPU threads of each instance. 0: the backend's default.")] = 0,
    max_batch: Annotated[
        int | None,
        Parameter(
            help="Most frames that Triton combines into one batch, for networks with a dynamic batch dimension. "
            "Default: 8."
        ),
    ] = None,
    nv12: Annotated[
        Literal["709", "601"] | None,
        Parameter(
            help="Also write the model NAME_nv12, which takes NV12 frames: limited range, the matrix of BT.709 or "
            "BT.601. Default: it is not written."
        ),
    ] = None,
    overwrite: Annotated[Overwrite, flag("Replace an existing model of the same name, with all its versions.")] = False,
    json: Json = False,
) -> None:
    """Write a model repository of Triton Inference Server, for an artifact or a TensorRT engine.

    A directory NAME is written with its configuration, version 1 of the model, the artifact's manifest, and a client
    that upscales a picture through shared memory. Frames are as `toolkit inspect` shows them, with the batch dimension;
    the server takes only sizes that the network takes, and the client extends others.

    Parameters
    ----------
    network
        Artifact (.onnx or .json), or engine that was built for tensorrt.
    """
    from toolkit.artifact import Artifact
    from toolkit.deployment.triton.backends import ServingOptions
    from toolkit.deployment.triton.repository import write_model
    from toolkit.runtimes.engine import Engine

    options = ServingOptions(backend, kind, instances, threads, max_batch)
    given = Engine.read(network) if kind_of(network) == "engine" else Artifact.read(network)
    made = write_model(given, output, options, nv12=nv12, overwrite=overwrite)
    if json:
        print_documents(
            [{"path": made.path, "backend": made.configuration.backend, "notes": made.notes, "others": made.others}]
        )
    console = err if json else out
    console.print(styled("[bold]{}[/]: backend {}", made.path, made.configuration.backend))
    console.print(styled("  {}", shell(["tritonserver", f"--model-repository={output}"])), soft_wrap=True)
    if made.others:
        console.print(styled("  {} takes NV12", made.others[-1].name), soft_wrap=True)
    warn(made.notes)
