"""Checkpoints of other architectures, where spandrel is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from samples import save

from toolkit.cli import export as command
from toolkit.errors import InputError, Unavailable, UnknownNetwork
from toolkit.graph.adoption import adopt as adoption
from toolkit.graph.adoption.adopt import AdoptOptions, adopt
from toolkit.network.checkpoint import load_checkpoint


@pytest.fixture
def safmn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some tensors of SAFMN, on a machine without spandrel."""
    for module in (adoption, command):
        monkeypatch.setattr(module, "find_spec", lambda _name: None)
    names = ("to_feat.weight", "feats.0.safm.mfr.0.weight", "to_img.0.weight")
    return save(tmp_path / "safmn.pth", {"params_ema": {name: torch.zeros(4, 4, 3, 3) for name in names}})


def test_the_refusal_names_the_extra(safmn: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNetwork, match="weights of another network") as caught:
        load_checkpoint(safmn)
    assert 'pip install ".[architectures]"' in caught.value.remedy
    with pytest.raises(UnknownNetwork) as caught:
        command.export(safmn, output=tmp_path / "out")
    assert 'pip install ".[architectures]"' in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_an_entry_of_another_network_is_not_said_to_be_missing(safmn: Path) -> None:
    with pytest.raises(UnknownNetwork, match=r"it has feats\.0\.safm"):
        load_checkpoint(safmn, entry="params_ema")


def test_adopt_says_what_it_needs(safmn: Path, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="if it is a checkpoint, spandrel, which is not installed") as caught:
        adopt(safmn, directory=tmp_path / "out")
    assert 'pip install ".[architectures]"' in caught.value.remedy
    assert caught.value.exit_code == 3


def test_options_belong_to_a_kind_of_file(safmn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.onnx").write_bytes(b"")
    with pytest.raises(InputError, match="no sets of weights to choose from"):
        adopt(tmp_path / "x.onnx", AdoptOptions(entry="params"), tmp_path / "out")
    monkeypatch.setattr(adoption, "find_spec", lambda _name: object())
    with pytest.raises(InputError, match="spandrel states the value range"):
        adopt(safmn, AdoptOptions(value_range=(0, 255)), tmp_path / "out")
