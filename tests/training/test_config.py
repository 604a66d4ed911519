"""Settings: from files and overrides, and back."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import InputError
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.architectures.rt4ksr.presets import PRESETS
from toolkit.training.config import TrainingConfig, checked, differences, read_config
from toolkit.training.schedule import learning_rate


@settings(max_examples=25, deadline=None)
@given(
    name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: "/" not in text),
    preset=st.sampled_from(sorted(PRESETS)),
    quality=st.none() | st.integers(1, 100),
    patches=st.lists(st.integers(1, 100).map(lambda half: 2 * half), min_size=1, max_size=3),
    rate=st.floats(1e-9, 1e9),
)
def test_a_configuration_survives_its_file(
    name: str,
    preset: str,
    quality: int | None,
    patches: list[int],
    rate: float,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    config = TrainingConfig(
        data=f"/photos/{name}",
        network=PRESETS[preset],
        jpeg_quality=quality,
        patches=tuple(patches),
        learning_rate=rate,
        merge=False,
    )
    file = tmp_path_factory.mktemp("config") / "config.toml"
    file.write_text(config.to_toml(), "utf-8")
    assert read_config(file, {}) == config


def test_the_command_line_wins_over_the_file_and_both_over_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('data = "a"\npreset = "naf"\nscale = 3\nbatch = 8\nclip = 0\n[network]\nchannels = 32\n')
    config = read_config(file, {"batch": 4})
    assert (config.batch, config.clip, config.iterations) == (4, 0, 250_000)
    assert config.network == dataclasses.replace(PRESETS["naf"], scale=3, channels=32)
    assert Path(config.data) == Path.cwd() / "a"
    other = read_config(file, {}, preset="rt4ksr", scale=2)
    assert other.network == NetworkConfig()
    assert read_config(file, {}, preset="rt4ksr").network == NetworkConfig(scale=3)


def test_states_of_older_versions_hold_an_rt4ksr_network_without_saying_so() -> None:
    older = '{"data": "a", "batch": 8, "network": {"scale": 3, "channels": 6, "blocks": 1, "hidden": null}}'
    config = TrainingConfig.from_json(older)
    assert config == TrainingConfig(
        data="a", batch=8, network=NetworkConfig(scale=3, channels=6, blocks=1, hidden=None)
    )
    assert json.loads(config.to_json())["network"]["architecture"] == "rt4ksr"
    assert TrainingConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    "network", ['{"architecture": "rt5ksr"}', '{"colour": 1}', '{"channels": "6"}', "3", '{"architecture": 3}']
)
def test_states_of_unknown_networks_are_refused(network: str) -> None:
    with pytest.raises(ValueError, match=r"rt5ksr|colour|channels|Expected|architecture"):
        TrainingConfig.from_json(f'{{"data": "a", "network": {network}}}')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("batch = 8", "no directory of photographs"),
        ('data = "a"\nbatches = 8', "unknown field `batches`"),
        ('data = "a"\nbatch = "8"', "Expected `int`, got `str` - at `$.batch`"),
        ('data = "a"\nbatch = 0', "`int` >= 1"),
        ('data = "a"\nloss = "l3"', "Invalid enum value 'l3'"),
        ('data = "a"\npatches = [64, 33]', "patches must be even, and 33 is not"),
        ('data = "a"\npatches = []', "at least one size"),
        ('data = "a"\nwarmup = 100\niterations = 100', "warmup 100 must be less"),
        ('data = "a"\nprecision = "bf16"\ndevice = "cpu"', "is for CUDA"),
        ('data = "a"\npreset = "rt5ksr"', "there is no preset 'rt5ksr'"),
        ('data = "a"\nscale = 0', "scale must be at least 1, got 0"),
        ('data = "a"\nscale = "3"', "scale cannot be '3'"),
        ('data = "a"\n[network]\nchanels = 3', "there is no chanels"),
        ('data = "a"\nnetwork = 3', "network must be a table"),
        ("data = a", "is not TOML"),
        ("data = '\x00'", "is not TOML"),
    ],
)
def test_mistakes_are_named(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        read_config(file, {})
    assert words in caught.value.args[0]
    assert str(file) in caught.value.args[0]


def test_ranges_also_hold_for_configurations_made_in_python() -> None:
    config = TrainingConfig(data="a", ema=1.5)
    with pytest.raises(InputError, match=r"ema"):
        checked(config)


def test_differences_name_fields() -> None:
    config = TrainingConfig(data="a")
    assert differences(config, config) == []
    assert differences(config, msgspec.structs.replace(config, clip=2.0)) == ["clip 1.0 → 2.0"]


def test_the_step_schedule_halves_four_times() -> None:
    config = TrainingConfig(data="a", iterations=1000, learning_rate=0.8, warmup=10)
    rates = [learning_rate(config, iteration) for iteration in range(1000)]
    assert rates[0] == pytest.approx(0.08)
    assert rates[9] == rates[10] == rates[199] == 0.8
    assert [rates[at] for at in (200, 399, 400, 600, 800, 999)] == [0.4, 0.4, 0.2, 0.1, 0.05, 0.05]


def test_the_cosine_begins_and_ends_where_it_should() -> None:
    config = TrainingConfig(data="a", iterations=1001, learning_rate=1.0, final_learning_rate=0.1, schedule="cosine")
    assert learning_rate(config, 0) == 1.0
    assert learning_rate(config, 500) == pytest.approx(0.1 + 0.45 * (1 + math.cos(math.pi * 500 / 1001)))
    assert 0.1 < learning_rate(config, 1000) < 0.10001
