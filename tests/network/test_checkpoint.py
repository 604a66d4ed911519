import io
import os
import pickle
import tempfile
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save as safetensors_bytes
from samples import SMALL, needs_data, network, released, released_state, save, save_safetensors

from toolkit.errors import CheckpointError
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.checkpoint import load_checkpoint, untrained_checkpoint
from toolkit.network.fusion import fuse

WITH_BRANCH = NetworkConfig(channels=6, blocks=2, hidden=10, stem="gaussian")


def same_weights(loaded, expected) -> bool:
    theirs, ours = loaded.network.state_dict(), expected.state_dict()
    return theirs.keys() == ours.keys() and all(torch.equal(theirs[name], ours[name]) for name in ours)


@needs_data
@pytest.mark.parametrize("scale", [2, 3])
def test_released_checkpoints(scale: int) -> None:
    loaded = load_checkpoint(released(scale))
    assert loaded.config == NetworkConfig(scale=scale, channels=24, blocks=4, hidden=48, stem="none")
    assert loaded.layout == "released"
    assert "gamma is 0" in loaded.details.high_frequency_reason
    assert "as PyTorch initialises it" in loaded.details.high_frequency_reason
    raw = torch.load(released(scale), map_location="cpu", weights_only=True)["state_dict"]
    assert torch.equal(loaded.network.tail.conv.spatial.weight, raw["module.tail.1.fea_conv.weight"])


WRAPPERS = {
    "bare": lambda state: state,
    "released": lambda state: {
        "epoch": 3,
        "state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []},
    },
    "lightning": lambda state: {
        "epoch": 1,
        "global_step": 7,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {"val_psnr.total": torch.zeros(1)} | {f"model.{name}": tensor for name, tensor in state.items()},
        "optimizer_states": [{}],
    },
    "net": lambda state: {"state_dict": {f"net.{name}": tensor for name, tensor in state.items()}},
    "basicsr": lambda state: {"params_ema": state},
    "compiled and distributed": lambda state: {f"module._orig_mod.{name}": tensor for name, tensor in state.items()},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_are_seen_through(wrapper: str, tmp_path: Path) -> None:
    made = network()
    path = save(tmp_path / "weights.bin", WRAPPERS[wrapper](released_state(made)))
    loaded = load_checkpoint(path)
    assert loaded.config == SMALL
    assert same_weights(loaded, made)


@pytest.mark.parametrize("form", ["training", "fused"])
def test_safetensors_of_either_form(form: str, tmp_path: Path) -> None:
    made = network(WITH_BRANCH) if form == "training" else fuse(network(WITH_BRANCH))
    loaded = load_checkpoint(save_safetensors(tmp_path / "weights.pth", made))
    assert loaded.config == made.config
    assert loaded.config.form == form
    assert loaded.layout == ("released" if form == "training" else "rep_conv")
    assert same_weights(loaded, made)


def test_the_name_of_a_file_means_nothing(tmp_path: Path) -> None:
    pth = save(tmp_path / "a.safetensors", released_state(network()))
    tensors = save_safetensors(tmp_path / "a.ckpt", network())
    assert load_checkpoint(pth).config == load_checkpoint(tensors).config == SMALL


@settings(deadline=None, max_examples=15)
@given(
    scale=st.integers(2, 3),
    channels=st.integers(1, 40),
    blocks=st.integers(1, 9),
    hidden=st.none() | st.integers(1, 50),
)
def test_every_size_is_derived_from_shapes(scale: int, channels: int, blocks: int, hidden: int | None) -> None:
    config = NetworkConfig(scale=scale, channels=channels, blocks=blocks, hidden=hidden, stem="gaussian")
    with tempfile.TemporaryDirectory() as directory:  # hypothesis does not mix with tmp_path
        path = save_safetensors(Path(directory) / "weights", network(config))
        assert load_checkpoint(path).config == config


def test_half_precision_weights_are_widened_and_noted(tmp_path: Path) -> None:
    loaded = load_checkpoint(save_safetensors(tmp_path / "half", network().half()))
    assert loaded.network.head.weight.dtype == torch.float32
    assert "float16" in loaded.notes[0]


# The high-frequency branch


def untouched_branch() -> dict[str, torch.Tensor]:
    """As in a training that never used the branch: gamma 0, the branch as PyTorch initialised it."""
    torch.manual_seed(0)
    from toolkit.network.architectures.rt4ksr.model import RT4KSR

    return released_state(RT4KSR(WITH_BRANCH))


def test_an_untouched_branch_is_dead(tmp_path: Path) -> None:
    loaded = load_checkpoint(save(tmp_path / "c", untouched_branch()))
    assert not loaded.config.high_frequency
    assert not any(name.startswith("hfb") or name == "gamma" for name in loaded.network.state_dict())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_decision_does_not_depend_on_how_weights_were_stored(dtype: torch.dtype, tmp_path: Path) -> None:
    state = {name: tensor.to(dtype) for name, tensor in untouched_branch().items()}
    assert not load_checkpoint(save(tmp_path / "c", state)).config.high_frequency


@needs_data
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_half_precision_copy_of_a_released_checkpoint(dtype: torch.dtype, tmp_path: Path) -> None:
    state = torch.load(released(2), map_location="cpu", weights_only=True)["state_dict"]
    loaded = load_checkpoint(save(tmp_path / "c", {name: tensor.to(dtype) for name, tensor in state.items()}))
    assert not loaded.config.high_frequency


def test_gamma_alone_makes_it_live(tmp_path: Path) -> None:
    state = untouched_branch() | {"gamma": torch.tensor([0.25])}
    loaded = load_checkpoint(save(tmp_path / "c", state))
    assert loaded.config.high_frequency
    assert "0.25" in loaded.details.high_frequency_reason


@pytest.mark.parametrize("change", [lambda w: w * 1.5, lambda w: w * 0.5, lambda w: w * 0.8])
def test_a_trained_branch_is_live_even_with_gamma_zero(change, tmp_path: Path) -> None:
    state = untouched_branch()
    state["hfb.0.fea_conv.weight"] = change(state["hfb.0.fea_conv.weight"])
    loaded = load_checkpoint(save(tmp_path / "c", state))
    assert loaded.config.high_frequency
    assert "trained" in loaded.details.high_frequency_reason
    assert "the output is the branch's alone" in loaded.notes[0]


def test_merged_weights_do_not_tell(tmp_path: Path) -> None:
    """As released, but fused: dead, and the reason says what could not be known."""
    made = fuse(network(WITH_BRANCH))
    with torch.no_grad():
        made.gamma.zero_()
    loaded = load_checkpoint(save_safetensors(tmp_path / "c", made))
    assert not loaded.config.high_frequency
    assert "do not tell" in loaded.details.high_frequency_reason


def test_the_decision_can_be_overridden(tmp_path: Path) -> None:
    path = save(tmp_path / "c", untouched_branch())
    assert load_checkpoint(path, high_frequency="on").config.high_frequency
    live = save(tmp_path / "d", untouched_branch() | {"gamma": torch.tensor([1.0])})
    assert not load_checkpoint(live, high_frequency="off").config.high_frequency
    without = save(tmp_path / "e", released_state(network()))
    with pytest.raises(CheckpointError, match="no high-frequency branch"):
        load_checkpoint(without, high_frequency="on")


# Everything that is not a usable checkpoint


def refused(path: Path, **options) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, **options)
    assert caught.value.exit_code == 2
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    assert "no file" in refused(tmp_path / "missing.pth")


def test_a_directory(tmp_path: Path) -> None:
    assert "directory" in refused(tmp_path)


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.pth"
    path.touch()
    assert "empty" in refused(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_truncated_file(kind: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    if kind == "safetensors":
        save_safetensors(path, network())
    else:
        torch.save(released_state(network()), path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "truncated or damaged" in refused(path)


def test_a_damaged_zip_body(tmp_path: Path) -> None:
    path = save(tmp_path / "bad.pth", released_state(network()))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content[: len(content) // 2] if name.endswith("data.pkl") else content)
    assert "truncated or damaged" in refused(path)


def test_a_zip_that_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "photos.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.txt", "hello")
    assert "zip archive, but not" in refused(path)


def test_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.pth"
    path.write_text("these are not weights")
    assert "neither a PyTorch nor a safetensors file" in refused(path)


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("kind", ["pickle", "zip"])
def test_a_pickle_that_would_run_code(kind: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "evil.pth"
    content = {"state_dict": released_state(network()), "extra": Evil(marker)}
    if kind == "zip":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    message = refused(path)
    assert "would run code" in message
    assert "system" in message
    assert not marker.exists()


def test_another_networks_weights(tmp_path: Path) -> None:
    edsr = {"conv_first.weight": torch.zeros(64, 3, 3, 3), "body.0.conv1.weight": torch.zeros(64, 64, 3, 3)}
    message = refused(save(tmp_path / "edsr.pth", {"params": edsr}))
    assert "head.0.weight (RT4KSR), body.0.weight (Compact) and conv_cat.weight (SPAN) are missing" in message
    assert "conv_first.weight" in message


def test_missing_unexpected_and_misshapen_tensors_are_named(tmp_path: Path) -> None:
    state = released_state(network())
    del state["body.1.norm.bias"]
    state["body.0.ca.conv.weight"] = torch.zeros(1, 1, 3)
    state["tail.1.reduce_conv.weight"] = torch.zeros(6, 9, 1, 1)
    message = refused(save(tmp_path / "c", state))
    assert "missing body.1.norm.bias" in message
    assert "unexpected body.0.ca.conv.weight" in message
    assert "tail.1.reduce_conv.weight has shape (6, 9, 1, 1) instead of (6, 10, 1, 1)" in message


def test_gaps_in_the_body(tmp_path: Path) -> None:
    state = {name.replace("body.1.", "body.5."): tensor for name, tensor in released_state(network()).items()}
    assert "1 is missing" in refused(save(tmp_path / "c", state))


def test_no_tensors_at_all(tmp_path: Path) -> None:
    assert "holds no tensors" in refused(save(tmp_path / "c", {"epoch": 3, "note": "weights to follow"}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_weights(value: float, tmp_path: Path) -> None:
    state = released_state(network())
    state["tail.0.weight"][2] = value
    message = refused(save(tmp_path / "c", state))
    assert "non-finite" in message
    assert "tail.0.weight (1)" in message


def test_weights_beyond_float32(tmp_path: Path) -> None:
    state = {name: tensor.double() for name, tensor in released_state(network()).items()}
    state["head.0.bias"][1] = 1e300
    assert "head.0.bias (1)" in refused(save(tmp_path / "c", state))


def test_tensors_without_dense_values(tmp_path: Path) -> None:
    state = released_state(network())
    meta = state | {"head.0.bias": state["head.0.bias"].to("meta")}
    assert "head.0.bias is not a dense tensor" in refused(save(tmp_path / "meta", meta))
    sparse = state | {"head.0.bias": state["head.0.bias"].to_sparse()}
    assert "head.0.bias is not a dense tensor" in refused(save(tmp_path / "sparse", sparse))


def test_integer_weights(tmp_path: Path) -> None:
    state = released_state(network())
    state["head.0.bias"] = state["head.0.bias"].int()
    assert "not floating-point" in refused(save(tmp_path / "c", state))


def test_an_unusual_scale_must_be_asked_for(tmp_path: Path) -> None:
    path = save(tmp_path / "x4", released_state(network(NetworkConfig(scale=4, channels=6, blocks=1, hidden=8))))
    assert "--scale 4" in refused(path)
    assert load_checkpoint(path, scale=4).config.scale == 4
    assert "x2 was asked for" in refused(path, scale=2)


def test_an_impossible_scale(tmp_path: Path) -> None:
    state = released_state(network())
    state["upsample.0.weight"] = torch.zeros(50, 6, 3, 3)
    assert "fits no scale" in refused(save(tmp_path / "c", state))


def test_several_sets_of_weights(tmp_path: Path) -> None:
    plain, average = network(seed=1), network(seed=2)
    path = save(tmp_path / "c", {"params": released_state(plain), "params_ema": released_state(average)})
    message = refused(path)
    assert "params, params_ema" in message
    assert "--entry" in message
    assert same_weights(load_checkpoint(path, entry="params_ema"), average)
    assert "params_best" in refused(path, entry="params_best")


def test_untrained_checkpoints_say_so() -> None:
    made = untrained_checkpoint(3)
    assert made.config.scale == 3
    assert "UNTRAINED" in made.notes[0]
    assert made.sha256 == untrained_checkpoint(3).sha256 != untrained_checkpoint(3, seed=1).sha256


def test_a_torchscript_archive(tmp_path: Path) -> None:
    path = tmp_path / "scripted.pt"
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Conv2d(1, 1, 1)), buffer)
    path.write_bytes(buffer.getvalue())
    assert "contains the weights of another network" in refused(path)


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root nothing is unreadable, so the refusal is played."""
    path = save(tmp_path / "c", released_state(network()))

    def refuse(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "Permission denied" in refused(path)


def test_a_safetensors_file_that_begins_like_a_pickle(tmp_path: Path) -> None:
    """One header length in 256 starts with the byte 0x80."""
    tensors = released_state(network())
    tries = (safetensors_bytes(tensors, {"padding": "x" * length}) for length in range(0, 256, 8))
    content = next(content for content in tries if content[0] == 0x80)
    (tmp_path / "w").write_bytes(content)
    assert load_checkpoint(tmp_path / "w").config.channels == 6
