from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Several processes of tests, each with as many threads as there are CPUs, spend most of their time waiting for each
# other: every one gets a CPU of its own, which the commands that it starts inherit. Where there is only one process,
# threads sleep while they wait. Both must happen before PyTorch starts its threads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if (_worker := os.environ.get("PYTEST_XDIST_WORKER")) is not None and hasattr(os, "sched_setaffinity"):
    _cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_cpus[int(_worker.removeprefix("gw")) % len(_cpus)]})

import torch
from fork_server import ForkServer
from forked_workers import SOCKET, fork_workers, worker_server
from kept_traces import DIRECTORY, keep_traces
from samples import DATA, checkpoint, released

from toolkit.artifact import Artifact
from toolkit.graph.export import export
from toolkit.network.checkpoint import load_checkpoint
from toolkit.system.hardware import usable_cpus
from toolkit.system.scheduling import unchanged_scheduling

ENGINES = "RT4KSR_TEST_ENGINES"
"""Environment variable: where `quick_g++.sh` keeps what it compiled."""

torch.set_num_threads(usable_cpus())

# A shell's jobs in the background ignore Ctrl-C, and so would every command that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _scheduling() -> Iterator[None]:
    """Tests that write AV1 with PyAV themselves do not leave real-time priority to all that follow."""
    with unchanged_scheduling():
        yield


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all workers of this run share."""
    own = tmp_path_factory.getbasetemp()
    return own if _worker is None else own.parent


@pytest.fixture(scope="session", autouse=True)
def _made_once(run_directory: Path) -> Iterator[None]:
    """Traces of networks and compiled engines are made once per run, by commands in the fork server and by tests that
    run others with pytest too, which inherit the environment; nothing is left in the user's own cache.

    Where `CI` is set, engines are compiled as users compile them.
    """
    keep_traces()
    with pytest.MonkeyPatch.context() as patch:
        if not {"CI", "CXX", ENGINES} & os.environ.keys() and os.name == "posix" and shutil.which("c++"):
            (run_directory / "engines").mkdir(exist_ok=True)
            patch.setenv(ENGINES, str(run_directory / "engines"))
            patch.setenv("CXX", str(Path(__file__).with_name("quick_g++.sh")))
        patch.setenv(DIRECTORY, os.environ.get(DIRECTORY, str(run_directory / "traces")))
        patch.setenv("XDG_CACHE_HOME", str(run_directory / "cache"))
        yield


@pytest.fixture(scope="session")
def forked_workers() -> Iterator[None]:
    """Profiles, of commands in the fork server too, start their workers in no time; for modules that profile a lot."""
    fork_workers()
    with worker_server() as path, pytest.MonkeyPatch.context() as patch:
        patch.setenv(SOCKET, path)
        yield


@pytest.fixture(scope="session")
def small_artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A float32, dynamic artifact of a small network with random weights."""
    return export(checkpoint(), directory=tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session", params=[2, 3], ids=["x2", "x3"])
def released_artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A released checkpoint, exported."""
    if not DATA.is_dir():
        pytest.skip(f"no shared data at {DATA} (set RT4KSR_DATA)")
    return export(load_checkpoint(released(request.param)), directory=tmp_path_factory.mktemp("released"))


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Started when a test first needs it."""
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def toolkit_command(fork_server: ForkServer) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command as a user runs it, but for the time of its imports; see `installed_command`."""

    def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return fork_server.run([*map(str, arguments)], cwd)

    return run


@pytest.fixture(scope="session")
def installed_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The installed command in a new process, for what depends on how it starts."""
    command = Path(sys.executable).with_name("toolkit")

    def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
        )

    return run
