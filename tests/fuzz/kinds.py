"""Every kind of file that a stranger may give: a sound example, and how it is mutated."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from fuzz.bytes import VALUES, changed_json, damaged
from fuzz.checkpoints import checkpoints
from fuzz.graphs import graphs
from fuzz.runner import Case
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from toolkit.artifact import Artifact, encode

Kinds = dict[str, SearchStrategy[Case]]


def kinds(directory: Path) -> Kinds:
    """Strategies by kind. Examples are made in `directory`."""
    from samples import checkpoint, network, released_state

    from toolkit.graph.export import export
    from toolkit.runtimes.registry import build

    artifact = export(checkpoint(), directory=directory / "artifact")
    state = released_state(network())
    files = {item.name: item.read_bytes() for item in artifact.path.parent.iterdir()}
    engine = build(artifact, "ort-cpu", directory=directory / "engine").engine
    made: Kinds = {
        "checkpoint": checkpoints(state).map(lambda content: Case("checkpoint", "c.pth", {"c.pth": content})),
        "state": _states(directory).map(lambda content: Case("state", "last.pth", {"last.pth": content})),
        "manifest": _beside("manifest", artifact.path.with_suffix(".json").name, files, changed_json),
        "graph": _beside("graph", artifact.path.name, files, graphs),
        "foreign": graphs(artifact.path.read_bytes()).map(lambda item: Case("foreign", "x.onnx", {"x.onnx": item})),
        "bundle": _bundles(engine.path),
        "report": _single("report", "report.json", _report(), changed_json),
        "budgets": _single("budgets", "budgets.toml", _BUDGETS, changed_toml),
        "config": _single("config", "run.toml", _config(directory), changed_toml),
    }
    return made | _media(directory, artifact)


def changed_toml(content: bytes) -> SearchStrategy[bytes]:
    """A TOML file with other values, keys, lines left out or repeated, or damaged as text."""
    lines = content.decode().splitlines()
    value = st.sampled_from([*map(json.dumps, VALUES), "inf", "nan", "1979-05-27", "[" * 500, "0x" + "f" * 5000])
    edit = st.tuples(st.integers(0, len(lines) - 1), st.sampled_from(["value", "remove", "repeat", "table"]), value)
    made = st.lists(edit, min_size=1, max_size=3).map(lambda edits: _edited_lines(lines, edits))
    return st.one_of(made, damaged(content))


def _edited_lines(lines: list[str], edits: list[tuple[int, str, str]]) -> bytes:
    made = list(lines)
    for index, kind, value in edits:
        key = lines[index].partition("=")[0].strip()
        changes = {
            "value": f"{key} = {value}",
            "remove": "",
            "repeat": f"{made[index]}\n{made[index]}",
            "table": f"[{key}]\n{key} = {value}",
        }
        made[index] = changes[kind]
    return "\n".join(made).encode(errors="replace")


def _single(
    kind: str, name: str, content: bytes, mutate: Callable[[bytes], SearchStrategy[bytes]]
) -> SearchStrategy[Case]:
    return mutate(content).map(lambda changed: Case(kind, name, {name: changed}))


def _beside(
    kind: str, name: str, files: dict[str, bytes], mutate: Callable[[bytes], SearchStrategy[bytes]]
) -> SearchStrategy[Case]:
    return mutate(files[name]).map(lambda changed: Case(kind, name, {**files, name: changed}))


def _bundles(path: Path) -> SearchStrategy[Case]:
    """A description that is changed, sealed again where it still is one; or any file that is damaged."""
    files = {f"{path.name}/{item.name}": item.read_bytes() for item in path.iterdir()}
    name = f"{path.name}/engine.json"
    resealed = changed_json(files[name]).map(_resealed)
    other = st.sampled_from(sorted(files)).flatmap(
        lambda damaged_name: damaged(files[damaged_name]).map(lambda changed: {**files, damaged_name: changed})
    )
    described = resealed.map(lambda changed: {**files, name: changed})
    return st.one_of(described, described, other).map(lambda changed: Case("bundle", name, changed))


def _resealed(content: bytes) -> bytes:
    from toolkit.runtimes.engine import EngineInfo
    from toolkit.system.documents import MalformedDocument, from_json

    try:
        return encode(from_json(content, EngineInfo).sealed())
    except MalformedDocument:
        return content


def _states(directory: Path) -> SearchStrategy[bytes]:
    from fuzz.checkpoints import changed_archives
    from samples import SMALL

    from toolkit.training.config import TrainingConfig
    from toolkit.training.state import new_state, save_state

    path = directory / "last.pth"
    config = TrainingConfig(data=str(directory), network=SMALL)
    save_state(new_state(config, torch.device("cpu")), config, path)
    return st.one_of(changed_archives(path.read_bytes()), damaged(path.read_bytes()))


def _report() -> bytes:
    from profile_reports import cell, report

    return encode(report(cell("ort-cpu", 0.01, frames=2), cell("openvino", 0.02, frames=2)))


def _config(directory: Path) -> bytes:
    from samples import SMALL

    from toolkit.training.config import TrainingConfig

    return TrainingConfig(data=str(directory), network=SMALL).to_toml().encode()


_BUDGETS = b"""[fp16]
mean = 0.01
worst_image = 0.03
worst_patch = 0.6
[int8]
mean = 0.1
worst_image = 0.3
worst_patch = 4.0
"""


def _media(directory: Path, artifact: Artifact) -> Kinds:
    """Pictures of Pillow's formats and a short video."""
    import io

    from media.films import moving, write_film
    from photographs import picture
    from PIL import Image

    network = {
        "network.onnx": artifact.path.read_bytes(),
        "network.json": artifact.path.with_suffix(".json").read_bytes(),
    }
    pictures = []
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF"):
        stream = io.BytesIO()
        Image.fromarray(picture(24, 32)).save(stream, kind)
        name = f"picture.{kind.lower()}"
        pictures.append(_beside("picture", name, {**network, name: stream.getvalue()}, damaged))
    films = []
    for suffix in ("mp4", "mkv", "avi"):
        codec = "mpeg4" if suffix == "avi" else "libx264"
        with tempfile.TemporaryDirectory() as place:
            content = write_film(Path(place) / f"film.{suffix}", moving(4, 32, 32), codec=codec).read_bytes()
        films.append(_beside("video", f"film.{suffix}", {**network, f"film.{suffix}": content}, damaged))
    return {"picture": st.one_of(pictures), "video": st.one_of(films)}
