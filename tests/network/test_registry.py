"""The list of architectures agrees with the parts of each."""

from collections import Counter
from dataclasses import replace

import msgspec
import pytest
import torch

from toolkit.network.architectures.configuration import configured
from toolkit.network.architectures.registry import ARCHITECTURES, PRESETS, AnyDetails
from toolkit.network.building import untrained_network
from toolkit.network.fusion import fuse, mergeable_blocks


def test_names_of_presets_are_unique() -> None:
    names = Counter(name for architecture in ARCHITECTURES.values() for name in architecture.presets)
    assert set(names.values()) == {1}
    assert names.keys() == PRESETS.keys()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_agrees_with_its_configuration_and_details(name: str) -> None:
    architecture = ARCHITECTURES[name]
    config = architecture.presets[architecture.default]
    details = architecture.details(config)
    assert config.architecture == details.architecture == architecture.name == name
    assert details.title == architecture.title
    assert msgspec.json.decode(msgspec.json.encode(details), type=AnyDetails) == details
    assert set(architecture.steps) <= architecture.presets.keys()
    assert architecture.file_stem(replace(config, scale=3)) == f"{name}_x3"
    assert architecture.variant(replace(config, scale=3)) == architecture.default


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_found_again_in_its_tensors(preset: str) -> None:
    """And after merging, which leaves nothing to merge and keeps the function."""
    config = replace(PRESETS[preset], scale=3)
    architecture = ARCHITECTURES[config.architecture]
    network = untrained_network(config)
    assert configured(PRESETS[preset], config.fields()) == config
    for form in (network, fuse(network)):
        stored = architecture.stored_name(form.config)
        tensors = {f"net.{stored(name)}": tensor for name, tensor in form.state_dict().items()}
        assert architecture.prefixes(tensors) == ["net."]
        found = architecture.recognise({name.removeprefix("net."): tensor for name, tensor in tensors.items()}, "file")
        assert found.config == form.config
        assert found.tensors.keys() == form.state_dict().keys()
    assert not mergeable_blocks(fuse(network))
    side = config.sizes.padded(8)
    x = torch.rand(1, 3, side, side)
    with torch.inference_mode():
        assert network(x).shape == (1, 3, 3 * side, 3 * side)
        torch.testing.assert_close(fuse(network)(x), network(x), rtol=1e-4, atol=1e-5)
