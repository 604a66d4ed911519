"""Weights that fit several architectures, and weights of networks that the toolkit does not know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import torch
from samples import DATA, needs_data, save, small_module
from torch import Tensor

from toolkit.errors import CheckpointError
from toolkit.network import recognition
from toolkit.network.architectures.architecture import Found
from toolkit.network.architectures.compact.architecture import CompactArchitecture
from toolkit.network.architectures.compact.config import CompactConfig
from toolkit.network.architectures.registry import ARCHITECTURES
from toolkit.network.checkpoint import load_checkpoint

SMALL = CompactConfig(channels=5, convolutions=2)


class Twin(CompactArchitecture):
    """Another network with the names and shapes of Compact's tensors."""

    name = "twin"
    title = "Twin"


class Lookalike(Twin):
    """Another network whose first tensors have the names of Compact's."""

    def recognise(self, tensors: Mapping[str, Tensor], where: str) -> Found[CompactConfig]:
        raise CheckpointError(f"{where} is close to Twin but differs")


def register(monkeypatch: pytest.MonkeyPatch, other: CompactArchitecture) -> None:
    monkeypatch.setattr(recognition, "ARCHITECTURES", MappingProxyType({"twin": other, **ARCHITECTURES}))


def test_what_fits_two_architectures_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    register(monkeypatch, Twin())
    path = save(tmp_path / "c.pth", {"params": small_module(SMALL).state_dict()})
    with pytest.raises(CheckpointError, match="fits Twin and Compact alike") as caught:
        load_checkpoint(path)
    assert caught.value.remedy == "Choose with --architecture twin or --architecture compact."
    assert load_checkpoint(path, architecture="compact").config == SMALL


def test_landmarks_alone_do_not_make_two(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    register(monkeypatch, Lookalike())
    path = save(tmp_path / "c.pth", small_module(SMALL).state_dict())
    assert load_checkpoint(path).config == SMALL
    with pytest.raises(CheckpointError, match="close to Twin"):
        load_checkpoint(path, architecture="twin")


def test_an_unknown_architecture(tmp_path: Path) -> None:
    path = save(tmp_path / "c.pth", small_module(SMALL).state_dict())
    with pytest.raises(CheckpointError, match=r"no architecture 'compakt'\n  Did you mean compact\?"):
        load_checkpoint(path, architecture="compakt")
    with pytest.raises(CheckpointError, match=r"c.pth holds no SPAN weights\n  Its tensors are those of Compact"):
        load_checkpoint(path, architecture="span")


@needs_data
@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("ntire2026_disp_x4", "DISP"),
        ("ntire2026_pds_x4", "PDS"),
        ("ntire2025_efdn_x4", "EFDN"),
        ("ntire2025_reprlfn_x4", "RepRLFN"),
        ("ntire2025_expandrepnet_x4", "ExpandRepNet"),
    ],
)
def test_families_are_named_with_what_is_missing(name: str, title: str) -> None:
    with pytest.raises(CheckpointError, match=f"holds {title} weights, and the toolkit has no such") as caught:
        load_checkpoint(DATA / "models" / f"{name}.pth")
    assert "`toolkit adopt`" in caught.value.remedy


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    "first", ["body.0.rdb1.conv1.weight", "RRDB_trunk.0.RDB1.conv1.weight", "model.1.sub.0.RDB1.conv1.0.weight"]
)
def test_all_names_of_esrgan(first: str, prefix: str, tmp_path: Path) -> None:
    path = save(tmp_path / "e.pth", {"params_ema": {prefix + first: torch.zeros(32, 64, 3, 3)}})
    with pytest.raises(CheckpointError, match="holds ESRGAN weights"):
        load_checkpoint(path)
