"""Whole runs: resumed, interrupted, diverging, shared by processes, and driven from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from samples import DATA, needs_data, released

from toolkit.errors import CheckFailed, CheckpointError, InputError
from toolkit.network.architectures.rt4ksr.presets import PRESETS
from toolkit.network.checkpoint import load_checkpoint
from toolkit.system.progress import Progress
from toolkit.training import photos as photographs
from toolkit.training import step as stepping
from toolkit.training.config import TrainingConfig, read_config
from toolkit.training.journal import TrainingLine, ValidationLine, read_log
from toolkit.training.loop import LAST_FILE, TrainingResult, train

COMMAND = Path(sys.executable).with_name("toolkit")


def state(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(directory / "last.pth", weights_only=True)
    return content


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, averages, optimizer, progress, files and log are equal to the bit."""
    first, second = state(one), state(other)
    for group in ("network", "ema"):
        assert first[group].keys() == second[group].keys()
        assert all(torch.equal(first[group][name], second[group][name]) for name in first[group])
    assert first["optimizer"]["param_groups"] == second["optimizer"]["param_groups"]
    for moments, others in zip(
        first["optimizer"]["state"].values(), second["optimizer"]["state"].values(), strict=True
    ):
        assert moments.keys() == others.keys() and len(moments) >= 3
        assert all(torch.equal(moments[name], others[name]) for name in moments)
    assert first["progress"] == second["progress"]
    for name in ("best.safetensors", "last.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    logs = [
        [msgspec.structs.replace(line, rate=0) if isinstance(line, TrainingLine) else line for line in read_log(path)]
        for path in (one / "log.jsonl", other / "log.jsonl")
    ]
    assert logs[0] == logs[1]


class Stopping:
    """`progress` that asks to stop, as Ctrl-C does, in the iterations named."""

    def __init__(self, *iterations: int) -> None:
        self._iterations = iterations

    def __call__(self, progress: Progress) -> None:
        if any(progress.activity.startswith(f"{iteration}/") for iteration in self._iterations):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def whole(config: TrainingConfig, tmp_path: Path) -> Path:
    result = train(config, tmp_path / "whole", cache=tmp_path / "cache")
    assert result.finished
    return tmp_path / "whole"


@pytest.mark.parametrize("stops", [(1,), (2, 5), (6,), (1, 2, 3, 4, 5, 6)])
def test_stopped_at_any_moment_a_run_ends_the_same(
    stops: tuple[int, ...], config: TrainingConfig, whole: Path, tmp_path: Path
) -> None:
    """A signal is noticed after the iteration that follows it: validations that were due then come after the resume."""
    output, parts = tmp_path / "parts", 0
    result: TrainingResult | None = None
    while result is None or not result.finished:
        result = train(config, output, resume=True, cache=tmp_path / "cache", progress=Stopping(*stops))
        parts += 1
        assert parts < 10
    assert parts > 1
    assert_same_run(whole, output)


def test_so_does_one_with_another_optimizer(config: TrainingConfig, whole: Path, tmp_path: Path) -> None:
    config = msgspec.structs.replace(config, optimizer="soap")
    train(config, tmp_path / "soap", cache=tmp_path / "cache")
    assert not train(config, tmp_path / "parts", cache=tmp_path / "cache", progress=Stopping(3)).finished
    with pytest.raises(InputError, match="--optimizer soap"):
        train(msgspec.structs.replace(config, optimizer="adam"), tmp_path / "parts", resume=True)
    train(config, tmp_path / "parts", resume=True, cache=tmp_path / "cache")
    assert_same_run(tmp_path / "soap", tmp_path / "parts")
    assert (whole / LAST_FILE).read_bytes() != (tmp_path / "soap" / LAST_FILE).read_bytes()


def test_a_crash_loses_what_came_after_the_last_checkpoint_and_nothing_else(
    config: TrainingConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in iteration 6, after a checkpoint at 4: the log has lines of iteration 5 already."""
    output = tmp_path / "crashed"
    original = stepping.Step.__call__

    def crash(self: stepping.Step, current: Any, *arguments: Any) -> Any:
        if current.progress.iteration == 5:
            raise MemoryError
        return original(self, current, *arguments)

    monkeypatch.setattr(stepping.Step, "__call__", crash)
    with pytest.raises(MemoryError):
        train(config, output, cache=tmp_path / "cache")
    monkeypatch.undo()
    assert json.loads(state(output)["progress"])["iteration"] == 4
    assert read_log(output / "log.jsonl")[-1].iteration == 5
    with (output / "log.jsonl").open("ab") as stream:
        stream.write(b'{"kind":"train')  # cut off
    train(config, output, resume=True, cache=tmp_path / "cache")
    assert_same_run(whole, output)


def test_what_a_run_leaves_behind(config: TrainingConfig, whole: Path) -> None:
    lines = read_log(whole / "log.jsonl")
    assert [line.iteration for line in lines if isinstance(line, TrainingLine)] == [1, 2, 3, 4, 5, 6]
    validations = {line.iteration: line for line in lines if isinstance(line, ValidationLine)}
    assert list(validations) == [0, 2, 4, 6]
    best = max(validations, key=lambda iteration: validations[iteration].psnr_y)
    progress = json.loads(state(whole)["progress"])
    assert (progress["best_iteration"], progress["best"]) == (best, validations[best].psnr_y)
    assert read_config(whole / "config.toml", {}) == config
    average, last = state(whole)["ema"], load_checkpoint(whole / "last.safetensors").network
    assert last.config == config.network
    assert all(torch.equal(average[name], tensor) for name, tensor in last.state_dict().items())
    again = load_checkpoint(whole / "last.pth", entry="ema").network.state_dict()
    assert all(torch.equal(average[name], tensor) for name, tensor in again.items())
    assert load_checkpoint(whole / "best.safetensors").config == config.network


def test_tensorboard_reads_the_log(whole: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(whole / "tensorboard"))
    events.Reload()
    lines = read_log(whole / "log.jsonl")
    for tag, kind, field in (("training/loss", TrainingLine, "loss"), ("validation/psnr_y", ValidationLine, "psnr_y")):
        shown = [(event.step, event.value) for event in events.Scalars(tag)]
        assert shown == [
            (line.iteration, pytest.approx(getattr(line, field))) for line in lines if isinstance(line, kind)
        ]


def test_without_tensorboard_it_is_said_once(
    config: TrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    notes: list[str] = []
    train(config, tmp_path / "run", cache=tmp_path / "cache", note=notes.append)
    assert len([note for note in notes if "TensorBoard" in note]) == 1
    assert not (tmp_path / "run" / "tensorboard").exists()
    assert read_log(tmp_path / "run" / "log.jsonl")


def test_training_makes_pictures_better(config: TrainingConfig, tmp_path: Path) -> None:
    network = replace(config.network, channels=24, hidden=24)
    config = msgspec.structs.replace(
        config, network=network, iterations=200, validation_interval=100, learning_rate=5e-3, ema=0.9, start="random"
    )
    train(config, tmp_path / "run", cache=tmp_path / "cache")
    lines = read_log(tmp_path / "run" / "log.jsonl")
    losses = [line.loss for line in lines if isinstance(line, TrainingLine)]
    qualities = [line.psnr_y for line in lines if isinstance(line, ValidationLine)]
    assert sum(losses[-10:]) < sum(losses[:10]) / 2
    assert qualities[0] < qualities[1] < qualities[2]
    assert qualities[0] + 3 < qualities[2]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_can_be_trained_and_loaded(preset: str, config: TrainingConfig, tmp_path: Path) -> None:
    network = replace(PRESETS[preset], channels=6, blocks=1, hidden=8 if PRESETS[preset].hidden else None)
    config = msgspec.structs.replace(config, network=network, iterations=1, high_frequency_weight=0.5)
    result = train(config, tmp_path / "run", cache=tmp_path / "cache")
    assert load_checkpoint(result.weights, high_frequency="on" if network.high_frequency else "off").config == network


def test_a_run_that_diverges_stops_with_the_state_before(config: TrainingConfig, tmp_path: Path) -> None:
    config = msgspec.structs.replace(config, learning_rate=1e30, validation="")
    with pytest.raises(CheckFailed, match=r"iteration 2 is (inf|nan): training has diverged") as caught:
        train(config, tmp_path / "run", cache=tmp_path / "cache")
    assert "--learning-rate (now 1e+30)" in caught.value.remedy
    content = state(tmp_path / "run")
    assert json.loads(content["progress"])["iteration"] == 1
    assert all(tensor.isfinite().all() for tensor in content["network"].values())


def test_a_run_is_not_overwritten_and_resumed_only_as_itself(
    config: TrainingConfig, whole: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    before = (whole / "last.pth").read_bytes()
    with pytest.raises(InputError, match="there is a run in"):
        train(config, whole, cache=cache)
    other = msgspec.structs.replace(config, network=replace(config.network, channels=8))
    with pytest.raises(InputError, match="another network"):
        train(other, whole, resume=True, cache=cache)
    assert (whole / "last.pth").read_bytes() == before
    notes: list[str] = []
    longer = msgspec.structs.replace(config, iterations=8, clip=2.0)
    result = train(longer, whole, resume=True, cache=cache, note=notes.append)
    assert result.iteration == 8
    assert notes == [
        "goes on with another setting: iterations 6 → 8",
        "goes on with another setting: clip 1.0 → 2.0",
    ]
    (whole / "last.pth").write_bytes(before[:2000])
    with pytest.raises(CheckpointError, match="is not the state of a training run"):
        train(config, whole, resume=True, cache=cache)


def test_other_photographs_are_noticed(
    config: TrainingConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photographs.Photos, "fingerprint", "other")
    notes: list[str] = []
    train(config, whole, resume=True, cache=tmp_path / "cache", note=notes.append)
    assert notes == ["the photographs are not those that the run began with"]


def torchrun(count: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return subprocess.run(
        [*command, "--no-python", str(COMMAND), "train", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_two_processes_do_what_one_does(config: TrainingConfig, whole: Path, tmp_path: Path) -> None:
    """To rounding: gradients are summed in another order, and Adam makes much of little ones."""
    file = tmp_path / "run.toml"
    file.write_text(config.to_toml())
    shared = tmp_path / "shared"
    done = torchrun(2, "--config", str(file), "--output", str(shared), "--cache", str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("after 6 iterations") == 1
    one, two = state(whole), state(shared)
    for group in ("network", "ema"):
        for name, tensor in one[group].items():
            torch.testing.assert_close(two[group][name], tensor, rtol=0, atol=1e-4)
    lines, others = (read_log(path / "log.jsonl") for path in (whole, shared))
    assert [type(line) for line in lines] == [type(line) for line in others]
    for line, other in zip(lines, others, strict=True):
        assert line.iteration == other.iteration
        if isinstance(line, TrainingLine) and isinstance(other, TrainingLine):
            assert other.loss == pytest.approx(line.loss, rel=1e-4)
            assert other.norm == pytest.approx(line.norm, rel=1e-2)
        elif isinstance(line, ValidationLine) and isinstance(other, ValidationLine):
            assert other.psnr_y == pytest.approx(line.psnr_y, abs=1e-2)
    odd = torchrun(2, "--config", str(file), "--output", str(tmp_path / "odd"), "--batch", "3")
    assert "a batch of 3 cannot be shared by 2 processes evenly" in odd.stderr


@pytest.mark.slow
def test_the_command_line_is_interrupted_and_resumed(config: TrainingConfig, whole: Path, tmp_path: Path) -> None:
    """A real Ctrl-C at some moment of a longer run, which is then resumed without being told its settings again."""
    config = msgspec.structs.replace(config, iterations=400, validation_interval=100, checkpoint_interval=1000)
    file, cache = tmp_path / "run.toml", tmp_path / "cache"
    file.write_text(config.to_toml())
    common = [str(COMMAND), "train", "--cache", str(cache), "--output"]
    process = subprocess.Popen(
        [*common, str(tmp_path / "cut"), "--config", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = tmp_path / "cut" / "log.jsonl"
    while not log.exists() or len(read_log(log)) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, words = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped and saved after" in out
    assert "--resume" in out
    assert "Traceback" not in words
    assert not [path for path in (tmp_path / "cut").iterdir() if path.name.endswith(".tmp")]
    resumed = subprocess.run([*common, str(tmp_path / "cut"), "--resume", "--json"], capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr
    result = json.loads(resumed.stdout)
    assert result["finished"]
    assert Path(result["weights"]).name == "best.safetensors"
    train(config, tmp_path / "uncut", cache=cache)
    assert_same_run(tmp_path / "uncut", tmp_path / "cut")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "there is no directory of photographs to train on"),
        (("--data", "nowhere"), "there is no directory nowhere"),
        (("--data", ".", "--patches", "64,big"), "--patches 64,big is not a comma-separated list"),
        (("--data", ".", "--batch", "0"), "Expected `int` >= 1"),
        (("--data", ".", "--config", "nothing.toml"), "there is no file nothing.toml"),
    ],
)
def test_mistakes_end_with_2_and_leave_nothing(
    arguments: tuple[str, ...], words: str, tmp_path: Path, toolkit_command: Callable
) -> None:
    done = toolkit_command("train", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert not list(tmp_path.iterdir())


def test_help_shows_every_setting_without_importing_torch() -> None:
    code = "import sys\nfrom toolkit.cli import main\ntry:\n    main()\nfinally:\n    print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, "train", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    for field in msgspec.structs.fields(TrainingConfig):
        assert field.name == "network" or f"--{field.name.replace('_', '-')}" in done.stdout


@needs_data
@pytest.mark.slow
def test_the_released_network_stays_good_when_it_goes_on(tmp_path: Path) -> None:
    """Twenty gentle iterations from the released weights, on the shared photographs: no step of it does harm."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("gsa-headshot.jpg", "lomiri-fig.jpg", "k8s-spyglass-terminal.png"):
        (folder / name).symlink_to(DATA / "photos" / "train" / name)
    config = TrainingConfig(
        data=str(folder),
        validation=str(DATA / "images" / "Set5"),
        init=str(released(2)),
        patches=(32,),
        batch=4,
        iterations=20,
        learning_rate=1e-6,
        validation_interval=10,
        threads=1,
    )
    result = train(config, tmp_path / "run", cache=tmp_path / "cache")
    qualities = [line.psnr_y for line in read_log(tmp_path / "run" / "log.jsonl") if isinstance(line, ValidationLine)]
    assert result.psnr_y == max(qualities)
    assert max(qualities) - min(qualities) < 0.05
    assert min(qualities) > 35.5


def test_images_that_cannot_be_validated_on_stop_a_run_before_it_begins(config: TrainingConfig, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "text.png").write_text("no image")
    config = msgspec.structs.replace(config, validation=str(tmp_path / "images"))
    with pytest.raises(InputError, match=r"text\.png"):
        train(config, tmp_path / "run", cache=tmp_path / "cache")
    assert not (tmp_path / "run" / "last.pth").exists()
