"""`toolkit profile --gen`: a standalone Python script that times one configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolkit.artifact import Artifact, read_artifact
from toolkit.errors import InputError
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.profiling.measuring.environment import choose_cpus
from toolkit.profiling.options import ProfileOptions
from toolkit.profiling.plan import default_workloads, plan
from toolkit.quoting import shell
from toolkit.runtimes.building import BuildingRuntime
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import RUNTIMES, build_script
from toolkit.runtimes.script import Timing
from toolkit.system.hardware import usable_cpus
from toolkit.workloads import parse_workload


def profile_script(
    artifacts: Sequence[Artifact | Path | str],
    runtimes: Sequence[str],
    workloads: Sequence[str] | None = None,
    precisions: Sequence[Precision] = (FULL_PRECISION,),
    options: ProfileOptions | None = None,
    *,
    path: Path | None = None,
    overwrite: bool = False,
) -> str:
    """A Python script that times one configuration without the toolkit, using only the runtime's package and NumPy.

    The arguments must select exactly one configuration; of `options`, duration, threads, CPUs and boundary are used.
    The runtime does not have to work on this machine. If `path` is given, the script is also written there and refers
    to the artifact relative to it; otherwise relative to the current directory.

    Returns:
        The text of the script.

    Raises:
        InputError: none or several configurations are selected, or one of PyTorch, or the boundary `image`; or `path`
            cannot be written.
        OutputExists: `path` exists, and `overwrite` is false.
    """
    how = options or ProfileOptions()
    if how.boundary == "image":
        raise InputError("there are no scripts for the boundary image", "Use --boundary host or compute.")
    loaded = [read_artifact(item) for item in artifacts]
    jobs = default_workloads(loaded) if workloads is None else [parse_workload(name) for name in workloads]
    planned = plan(loaded, runtimes, jobs, precisions)
    cells = [cell for cell in planned if cell.artifact is not None and cell.runtime in runtimes]
    cells = [cell for cell in cells if cell.manifest is not None and cell.precision == cell.manifest.precision]
    if len(cells) != 1:
        raise InputError(
            f"a script times one configuration, and {len(cells)} are selected",
            "Give one artifact, one --runtime, and one --workload.",
        )
    cell = cells[0]
    runtime = RUNTIMES[cell.runtime]
    if cell.artifact is None or not isinstance(runtime, BuildingRuntime):
        raise InputError(f"there are no scripts for {cell.runtime}: it runs the network code of the toolkit")
    count = how.threads or len(how.cpus) or usable_cpus()
    building = BuildOptions(
        None if cell.artifact.manifest.shape else cell.workload.shape,
        threads=count if "threads" in runtime.options else 0,
    )
    what = ["--runtime", cell.runtime, "--workload", cell.workload.name, "--precision", cell.precision]
    measuring = ["--boundary", how.boundary, "--duration", f"{how.duration:g}", "--threads", str(count)]
    command = shell(["toolkit", "profile", Path(f"{cell.name}.onnx"), *what, *measuring])
    timing = Timing(how.duration, how.cpus or choose_cpus(count), how.boundary == "host", command)
    return build_script(cell.artifact, cell.runtime, building, path, timing, overwrite=overwrite)
