"""Checkpoints and training states: damaged containers, changed pickles, tensors that are not what they should be."""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from typing import Any

import torch
from fuzz.bytes import damaged
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

_CHANGES: dict[str, Any] = {
    "double": lambda tensor: tensor.double(),
    "half": lambda tensor: tensor.half(),
    "integer": lambda tensor: tensor.int(),
    "complex": lambda tensor: tensor.to(torch.complex64),
    "flat": lambda tensor: tensor.flatten(),
    "empty": lambda tensor: tensor[:0],
    "scalar": lambda tensor: tensor.sum(),
    "deep": lambda tensor: tensor[None, None],
    "nan": lambda tensor: tensor * float("nan"),
    "huge": lambda tensor: tensor * 1e38,
    "sparse": lambda tensor: tensor.to_sparse(),
    "meta": lambda tensor: tensor.to("meta"),
    "number": lambda tensor: 1.0,
    "text": lambda tensor: "weights",
    "wide": lambda tensor: torch.cat([tensor, tensor]),
    "transposed": lambda tensor: tensor.transpose(0, -1) if tensor.ndim else tensor,
}


def checkpoints(state: dict[str, torch.Tensor]) -> SearchStrategy[bytes]:
    """Files of every container with a changed state in them, or a changed container around it."""
    edit = st.tuples(st.sampled_from(sorted(state)), st.sampled_from([*_CHANGES, "remove", "rename"]))
    changed = st.lists(edit, max_size=3).map(lambda edits: _changed(state, edits))
    files = [
        st.tuples(changed, st.sampled_from(["zip", "legacy", "pickle", "safetensors"]), st.integers(2, 5)).map(
            _written
        ),
        *(damaged(_written((state, kind, 2))) for kind in ("zip", "legacy", "pickle", "safetensors")),
        changed_archives(_written((state, "zip", 2))),
    ]
    return st.one_of(files)


def changed_archives(content: bytes) -> SearchStrategy[bytes]:
    """A zip archive with records that are damaged, deflated, missing or larger than they should be."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    program = next(name for name in records if name.endswith("data.pkl"))
    name = st.sampled_from(sorted(records))
    edit = st.one_of(
        st.tuples(name, st.sampled_from([b"", bytes(1 << 22), b"\x00"])),
        name.flatmap(lambda name: st.tuples(st.just(name), damaged(records[name] or b"\x00"))),
        st.tuples(st.just(program), changed_pickles(records[program])),
    )
    compression = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    return st.tuples(edit, compression).map(lambda given: _rezipped(records, *given))


def changed_pickles(content: bytes) -> SearchStrategy[bytes]:
    """A pickle with opcodes that are removed, repeated, exchanged, or have other operands."""
    places = [position for _, _, position in pickletools.genops(content)]
    pieces = [content[begin:end] for begin, end in zip(places, [*places[1:], len(content)], strict=True)]
    index = st.integers(0, len(pieces) - 1)
    edit = st.one_of(
        st.tuples(index, st.just(b"")),
        st.tuples(index, index.map(lambda other: pieces[other])),
        st.tuples(index, index.map(lambda other: pieces[other] * 2)),
        st.tuples(
            index, st.sampled_from([b"J\xff\xff\xff\x7f", b"J\xff\xff\xff\xff", b"\x8a\x08" + b"\xff" * 7 + b"\x7f"])
        ),
        st.tuples(index, st.sampled_from([b"N", b"}", b"]", b"(", b")", b"R", b"b", b"t", b"Q", b"cposix\nsystem\n"])),
    )
    return st.lists(edit, min_size=1, max_size=4).map(lambda edits: _pieced(pieces, edits))


def _pieced(pieces: list[bytes], edits: list[tuple[int, bytes]]) -> bytes:
    made = list(pieces)
    for index, piece in edits:
        made[index] = piece
    return b"".join(made)


def _changed(state: dict[str, torch.Tensor], edits: list[tuple[str, str]]) -> dict[str, Any]:
    made: dict[str, Any] = dict(state)
    for name, kind in edits:
        if kind == "remove":
            made.pop(name, None)
        elif kind == "rename":
            made[f"{name}.1"] = made.pop(name, None)
        elif isinstance(made.get(name), torch.Tensor):
            made[name] = _CHANGES[kind](state[name])
    return made


def _written(given: tuple[dict[str, Any], str, int]) -> bytes:
    state, kind, protocol = given
    stream = io.BytesIO()
    plain = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    plain = {name: value for name, value in plain.items() if not value.is_meta and value.layout == torch.strided}
    if kind == "safetensors":
        from safetensors.torch import save

        return save({name: value.contiguous() for name, value in plain.items()}, {"rt4ksr.config": '{"scale": 2}'})
    if kind == "pickle":
        return pickle.dumps({"state_dict": plain}, protocol)
    torch.save({"state_dict": state}, stream, pickle_protocol=protocol, _use_new_zipfile_serialization=kind == "zip")
    return stream.getvalue()


def _rezipped(records: dict[str, bytes], edit: tuple[str, bytes], compression: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in records.items():
            archive.writestr(name, edit[1] if name == edit[0] else content)
    return stream.getvalue()
