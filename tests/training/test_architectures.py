"""Compact and SPAN are trained by the same loop."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from photographs import picture
from samples import small_module

from toolkit.network.architectures.compact.config import CompactConfig
from toolkit.network.architectures.configuration import Configuration
from toolkit.network.architectures.registry import PRESETS, architecture_of
from toolkit.network.architectures.span.config import SPANConfig
from toolkit.network.building import untrained_network
from toolkit.network.checkpoint import load_checkpoint
from toolkit.system.progress import Progress
from toolkit.training.config import TrainingConfig, read_config
from toolkit.training.degradation import degrade
from toolkit.training.journal import TrainingLine, read_log
from toolkit.training.loop import LAST_FILE, train
from toolkit.training.sampling import Batch
from toolkit.training.step import on_device

EACH = pytest.mark.parametrize(
    "network", [CompactConfig(channels=8, convolutions=2), SPANConfig(channels=6, blocks=2)], ids=["compact", "span"]
)


@EACH
def test_training_lowers_the_loss(network: Configuration, config: TrainingConfig, tmp_path: Path) -> None:
    config = msgspec.structs.replace(config, network=network, iterations=60, start="random", validation="")
    train(config, tmp_path / "run", cache=tmp_path / "cache")
    lines = [line.loss for line in read_log(tmp_path / "run" / "log.jsonl") if isinstance(line, TrainingLine)]
    assert len(lines) == 60
    assert np.mean(lines[-15:]) < 0.8 * np.mean(lines[:5])
    loaded = load_checkpoint(tmp_path / "run" / LAST_FILE)
    assert loaded.config == network
    again = load_checkpoint(tmp_path / "run" / "last.pth", entry="ema")
    assert again.config == network
    assert all(
        torch.equal(loaded.network.state_dict()[name], tensor) for name, tensor in again.network.state_dict().items()
    )


@EACH
def test_a_run_resumes_as_if_it_had_not_stopped(network: Configuration, config: TrainingConfig, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.activity.startswith("3/"):
            os.kill(os.getpid(), signal.SIGINT)

    config = msgspec.structs.replace(config, network=network)
    train(config, tmp_path / "whole", cache=tmp_path / "cache")
    assert not train(config, tmp_path / "parts", cache=tmp_path / "cache", progress=stop).finished
    assert train(config, tmp_path / "parts", resume=True, cache=tmp_path / "cache").finished
    assert (tmp_path / "whole" / LAST_FILE).read_bytes() == (tmp_path / "parts" / LAST_FILE).read_bytes()


@pytest.mark.parametrize("preset", ["compact-light", "span-light", "compact-superultra"])
def test_a_fitted_start_upscales(preset: str) -> None:
    """On the patches that it was fitted to, before anything was learned; random weights do not."""
    config = PRESETS[preset]
    high = np.stack([picture(48, 48, seed) for seed in range(16)])
    batch = Batch(degrade(high, 2), high)
    low, wanted = on_device(batch, torch.device("cpu"))
    network = untrained_network(config)
    architecture_of(config).fitted_start(network, low, wanted)
    with torch.inference_mode():
        fitted = float((network(low) - wanted).square().mean())
        random = float((untrained_network(config)(low) - wanted).square().mean())
    assert fitted < random / 2


@EACH
def test_configurations_survive_files(network: Configuration, config: TrainingConfig, tmp_path: Path) -> None:
    for form in (network, replace(network, scale=3), network.fused()):
        config = msgspec.structs.replace(config, network=form)
        assert TrainingConfig.from_json(config.to_json()).network == form
        (tmp_path / "c.toml").write_text(config.to_toml())
        assert read_config(tmp_path / "c.toml", {}).network == form


def test_the_teacher_may_be_of_another_architecture(config: TrainingConfig, tmp_path: Path) -> None:
    from toolkit.network.checkpoint import serialised_weights

    (tmp_path / "teacher").write_bytes(serialised_weights(small_module(SPANConfig(channels=4, blocks=1))))
    config = msgspec.structs.replace(
        config, network=CompactConfig(channels=4, convolutions=1), teacher=str(tmp_path / "teacher"), iterations=1
    )
    assert train(config, tmp_path / "run", cache=tmp_path / "cache").finished


def test_the_command_takes_an_architecture(photos: Path, tmp_path: Path, toolkit_command: Callable) -> None:
    arguments = ["--data", str(photos), "--cache", str(tmp_path / "cache"), "--iterations", "1", "--batch", "1"]
    arguments += ["--patches", "8", "--start", "random", "--threads", "1"]
    done = toolkit_command("train", "--architecture", "span", "--preset", "span-light", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert load_checkpoint(tmp_path / "runs" / "span-light_x2" / LAST_FILE).config == PRESETS["span-light"]
    for options, message in (
        (["--architecture", "spam"], "there is no architecture 'spam'"),
        (["--architecture", "span", "--preset", "rt4ksr"], "rt4ksr is no preset of span"),
    ):
        refused = toolkit_command("train", *options, *arguments, cwd=tmp_path)
        assert refused.returncode == 2
        assert message in refused.stderr
