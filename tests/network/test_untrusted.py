"""Checkpoints that claim more than they hold, and whole ones that other readers refuse."""

import io
import pickle
import pickletools
import resource
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from samples import network, released_state, save

from toolkit.errors import CheckpointError
from toolkit.network.checkpoint import load_checkpoint
from toolkit.network.containers import read_stream
from toolkit.network.pickles import DamagedPickle, Unpickler

MEGABYTE = 1 << 20


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    return str(caught.value)


def rezipped(path: Path, change: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip archive with other contents for some of its records."""
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in records.items():
            archive.writestr(name, change.get(name.partition("/")[2], content))
    return path


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """Its tensor and its index agree on 256 MiB of zeros, which deflate to 256 KiB."""
    path = save(tmp_path / "bomb.pth", {"state_dict": {"head.weight": torch.zeros(64 * MEGABYTE)}})
    rezipped(path, {}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < MEGABYTE
    code = (
        "import resource, sys; from pathlib import Path; from toolkit.network.reading import read_checkpoint as read\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read(Path(sys.argv[1]))\n"
        "except Exception as error: print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert "unpack to many times its size" in done.stdout
    assert int(done.stdout.split()[-1]) < 64, "it was unpacked before it was refused"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


def test_a_compressed_checkpoint_of_usual_size_is_read(tmp_path: Path) -> None:
    path = rezipped(save(tmp_path / "small.pth", released_state(network())), {}, zipfile.ZIP_DEFLATED)
    assert load_checkpoint(path).config.channels == 6


def test_a_record_that_is_larger_than_its_tensors_say(tmp_path: Path) -> None:
    path = save(tmp_path / "odd.pth", {"state_dict": {"head.weight": torch.zeros(4)}})
    assert "has 4096 bytes, not 16" in refusal(rezipped(path, {"data/0": bytes(4096)}))


def test_an_archive_with_countless_records_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "index.pth"
    with path.open("wb") as stream:
        stream.write(b"PK\x03\x04" + b"PK\x01\x02" * 100_001)
    assert "more than 100000 records" in refusal(path)


@pytest.mark.parametrize(
    ("size", "stride", "reason"),
    [
        ((1 << 40,), (0,), "claims more than its 4 stored values"),
        ((1 << 20, 1 << 20), (0, 0), "claims more than its 4 stored values"),
        ((5,), (1,), "reaches beyond its 4 stored values"),
        ((2, 2), (1 << 40, 1), "reaches beyond its 4 stored values"),
        ((-1,), (1,), "described in an unknown way"),
        ((4,), (-1,), "described in an unknown way"),
        ((4,), (1, 1), "not as many strides as sizes"),
    ],
)
def test_tensors_that_claim_more_than_is_stored(
    size: tuple[int, ...], stride: tuple[int, ...], reason: str, tmp_path: Path
) -> None:
    """What `.contiguous()` of a tensor with stride 0 would unpack to."""

    class Claim:
        def __reduce__(self) -> tuple[object, ...]:
            return torch._utils._rebuild_tensor_v2, (torch.zeros(4).untyped_storage(), 0, size, stride, False, {})

    class Pickler(pickle.Pickler):
        def persistent_id(self, item: object) -> object:
            return ("storage", torch.FloatStorage, "0", "cpu", 4) if isinstance(item, torch.UntypedStorage) else None

    stream = io.BytesIO()
    Pickler(stream, 2).dump({"state_dict": {"head.weight": Claim()}})
    path = save(tmp_path / "claim.pth", {"state_dict": {"head.weight": torch.zeros(4)}})
    assert reason in refusal(rezipped(path, {"data.pkl": stream.getvalue()}))


def test_many_tensors_over_the_same_bytes(tmp_path: Path) -> None:
    shared = torch.zeros(1000)
    assert "claim 40000 bytes, and 4000 are stored" in refusal(
        save(tmp_path / "shared.pth", {str(index): shared[:] for index in range(10)})
    )


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x96" + struct.pack("<Q", 1 << 60) + b".",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".",
        b"\x80\x02\x8b" + struct.pack("<I", (1 << 31) - 1) + b".",
        b"\x80\x02" + b"]" * 3_000_000,
        b"\x80\x02" + b"(" * 1_000_000 + b"t" * 1_000_000 + b".",
        b"\x80\x02" + b"N" * 10 + b".",
        b"\x80\x02h\x07.",
        b"\x80\x02NNR.",
        b"\x80\x02}NNs}e.",
        b"\x80\x02(K\x01K\x02cposix\nsystem\n0.",
        b"\x80\x02\x82\x01.",
        b"\x80\x05\x97.",
    ],
    ids=[
        "bytearray8",
        "bytes8",
        "long4",
        "steps",
        "nesting",
        "rest",
        "memo",
        "call",
        "append",
        "mark",
        "ext",
        "buffer",
    ],
)
def test_pickles_that_allocate_or_make_no_sense(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.pkl"
    path.write_bytes(content)
    assert "odd.pkl" in refusal(path)


def test_keys_that_all_hash_alike_are_left_out() -> None:
    keys = {index * ((1 << 61) - 1): None for index in range(1, 100)} | {"name": 1, 5: 2}
    machine = Unpickler({}, lambda given: given)
    assert machine.load(io.BytesIO(pickle.dumps(keys))) == {"name": 1, 5: 2}


def test_a_mapping_that_holds_itself(tmp_path: Path) -> None:
    loop: dict[str, object] = {"weights": released_state(network())}
    loop |= {str(index): loop for index in range(50)}
    path = tmp_path / "loop.pkl"
    path.write_bytes(pickle.dumps(loop))
    assert load_checkpoint(path).config.channels == 6


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["zip", "legacy", "plain"])
def test_every_protocol_is_read(kind: str, protocol: int, tmp_path: Path) -> None:
    path, state = tmp_path / "weights", released_state(network())
    if kind == "plain":
        path.write_bytes(pickle.dumps(state, protocol))
    else:
        torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=kind == "zip")
    loaded = load_checkpoint(path).network.state_dict()
    expected = network().state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_strides_and_offsets_are_kept(layout: torch.memory_format, tmp_path: Path) -> None:
    state = released_state(network())
    block = torch.cat([tensor.flatten() for tensor in state.values()])
    offsets = dict(zip(state, torch.tensor([0, *(t.numel() for t in state.values())]).cumsum(0).tolist(), strict=False))
    shared = {
        name: block[offsets[name] : offsets[name] + tensor.numel()].view(tensor.shape) for name, tensor in state.items()
    }
    formatted = {
        name: tensor.contiguous(memory_format=layout) if tensor.ndim == 4 else tensor for name, tensor in shared.items()
    }
    loaded = load_checkpoint(save(tmp_path / "c", formatted)).network.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in network().state_dict().items())


def scripted(module: torch.nn.Module) -> bytes:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(module, torch.zeros(1, 3, 16, 16)), stream)
    return stream.getvalue()


def test_weights_of_a_torchscript_archive(tmp_path: Path) -> None:
    path, made = tmp_path / "scripted.pt", network()
    path.write_bytes(scripted(made))
    loaded = load_checkpoint(path).network.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in made.state_dict().items())


def test_a_frozen_torchscript_archive_says_what_it_is(tmp_path: Path) -> None:
    path, stream = tmp_path / "frozen.pt", io.BytesIO()
    torch.jit.save(torch.jit.freeze(torch.jit.script(torch.nn.Conv2d(3, 3, 1).eval())), stream)
    path.write_bytes(stream.getvalue())
    message = refusal(path)
    assert "TorchScript archive without named weights" in message
    assert "torch.save(module.state_dict()" in message


def test_an_exported_program_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "program.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("program/archive_format", "pt2")
    assert "a program of torch.export" in refusal(path)


def test_a_whole_pickled_module_is_named_and_not_called(tmp_path: Path) -> None:
    message = refusal(save(tmp_path / "model.pth", torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1))))
    assert "torch.nn.modules.container.Sequential" in message


def test_numbers_of_numpy_beside_the_weights_are_no_obstacle(tmp_path: Path) -> None:
    import numpy as np

    content = {"state_dict": released_state(network()), "best": np.float64(31.5), "curve": np.arange(3)}
    assert load_checkpoint(save(tmp_path / "c", content)).config.channels == 6


def test_a_safetensors_header_beyond_all_networks(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", 90 << 20) + b"{" + b" " * 4096)
    assert "its header claims" in refusal(path)


def test_a_configuration_nested_without_end(tmp_path: Path) -> None:
    from safetensors.torch import save as safetensors_bytes

    path = tmp_path / "w"
    path.write_bytes(safetensors_bytes(released_state(network()), {"rt4ksr.config": "[" * 100_000}))
    assert "cannot be read" in refusal(path)


def test_nothing_is_called(tmp_path: Path) -> None:
    """Every opcode that Python's unpickler calls something with."""
    marker = tmp_path / "ran"
    argument = pickletools.optimize(pickle.dumps(f"touch {marker}", 0))[:-1]
    calls = [
        b"cposix\nsystem\n(" + argument + b"tR.",
        b"(" + argument + b"iposix\nsystem\n.",
        b"(cposix\nsystem\n" + argument + b"o.",
        b"cposix\nsystem\n(" + argument + b"t\x81.",
        b"cposix\nsystem\n(" + argument + b"t}\x92.",
    ]
    for content in calls:
        assert read_stream(b"\x80\x02" + content).foreign == ("posix.system",)
    with pytest.raises(DamagedPickle):
        read_stream(b"\x80\x02cposix\nsystem\n(" + argument + b"tQ.")
    assert not marker.exists()
