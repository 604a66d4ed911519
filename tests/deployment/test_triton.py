"""Model repositories of Triton: parsed by the protobuf definition of Triton's own client, and served by a stand-in.

No Triton server runs here.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from samples import checkpoint

from toolkit.artifact import Artifact, encode
from toolkit.deployment.triton.backends import BACKENDS, ServingOptions
from toolkit.deployment.triton.repository import CONFIGURATION, write_model
from toolkit.errors import InputError, OutputExists
from toolkit.graph.export import ExportOptions, export
from toolkit.quoting import protobuf_string
from toolkit.runtimes.engine import Engine, EngineInfo, write_engine
from toolkit.runtimes.registry import RUNTIMES
from toolkit.workloads import Shape

HERE = Path(__file__).parent
Command = Callable[..., subprocess.CompletedProcess[str]]

PARSE = """
import json, sys
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
texts = json.load(sys.stdin)
parsed = [text_format.Parse(text, model_config_pb2.ModelConfig()) for text in texts]
print(json.dumps([json_format.MessageToDict(item, preserving_proto_field_name=True) for item in parsed]))
"""


@pytest.fixture(scope="session")
def client_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A directory with `tritonclient`, beside this environment's protobuf, gRPC and NumPy."""
    target = tmp_path_factory.mktemp("tritonclient")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target)]
    done = subprocess.run([*pip, "--no-deps", "tritonclient", "python-rapidjson"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip cannot install tritonclient: {done.stderr.strip().splitlines()[-1]}")
    pytest.importorskip("grpc", reason="gRPC is not installed (extra `ray`)")
    return str(target)


@pytest.fixture(scope="session")
def parsed(client_path: str) -> Callable[..., list[dict[str, Any]]]:
    """Configurations, as Triton's protobuf definition reads them."""

    def parse(*texts: str) -> list[dict[str, Any]]:
        environment = {**os.environ, "PYTHONPATH": client_path}
        command = [sys.executable, "-c", PARSE]
        done = subprocess.run(command, input=json.dumps(texts), env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return parse


@pytest.fixture(scope="session")
def interleaved(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """uint8 NHWC ends, of any size."""
    return export(checkpoint(), ExportOptions(uint8="NHWC"), tmp_path_factory.mktemp("uint8"))


def tensor(name: str, kind: str, *dims: int) -> dict[str, Any]:
    return {"name": name, "data_type": kind, "dims": [str(size) for size in dims]}


def test_what_an_artifact_says(
    small_artifact: Artifact, interleaved: Artifact, tmp_path: Path, parsed: Callable[..., list[dict[str, Any]]]
) -> None:
    static = export(checkpoint(), ExportOptions(shape=Shape(20, 30)), tmp_path / "static")
    options = ServingOptions(instances=2, threads=3)
    made = [
        write_model(item, tmp_path / str(i), options) for i, item in enumerate((small_artifact, interleaved, static))
    ]
    floats, bytes_, fixed = parsed(*((item.path / CONFIGURATION).read_text() for item in made))
    assert floats == {
        "name": small_artifact.manifest.name,
        "backend": "onnxruntime",
        "default_model_filename": "model.onnx",
        "input": [tensor("input", "TYPE_FP32", 1, 3, -1, -1)],
        "output": [tensor("output", "TYPE_FP32", 1, 3, -1, -1)],
        "instance_group": [{"count": 2}],  # KIND_AUTO is protobuf's default
        "parameters": {"intra_op_thread_count": {"string_value": "3"}},
    }
    assert bytes_["input"] == [tensor("input", "TYPE_UINT8", 1, -1, -1, 3)]
    assert bytes_["output"] == [tensor("output", "TYPE_UINT8", 1, -1, -1, 3)]
    assert fixed["input"] == [tensor("input", "TYPE_FP32", 1, 3, 20, 30)]
    assert fixed["output"] == [tensor("output", "TYPE_FP32", 1, 3, 40, 60)]
    assert (made[2].path / "1" / "model.onnx").read_bytes() == static.path.read_bytes()
    assert "dynamic_batching" not in floats and "max_batch_size" not in floats


def batched(artifact: Artifact, directory: Path) -> Artifact:
    """The same artifact, as if its graph had a dynamic batch dimension."""
    manifest = artifact.manifest
    ports = {
        name: msgspec.structs.replace(port, shape=("batch", *port.shape[1:]))
        for name, port in (("input", manifest.input), ("output", manifest.output))
    }
    copy = directory / artifact.path.name
    shutil.copy(artifact.path, copy)
    copy.with_suffix(".json").write_bytes(encode(msgspec.structs.replace(manifest, **ports)))
    return Artifact.read(copy)


def test_batches_are_combined_where_the_network_takes_them(
    small_artifact: Artifact, tmp_path: Path, parsed: Callable[..., list[dict[str, Any]]]
) -> None:
    artifact = batched(small_artifact, tmp_path)
    combining, openvino = parsed(
        (write_model(artifact, tmp_path / "a", ServingOptions(max_batch=4)).path / CONFIGURATION).read_text(),
        (write_model(artifact, tmp_path / "b", ServingOptions(backend="openvino")).path / CONFIGURATION).read_text(),
    )
    assert combining["max_batch_size"] == 4 and combining["dynamic_batching"] == {}
    assert combining["input"] == [tensor("input", "TYPE_FP32", 3, -1, -1)]
    assert "max_batch_size" not in openvino and "dynamic_batching" not in openvino
    assert openvino["input"] == [tensor("input", "TYPE_FP32", -1, 3, -1, -1)]
    assert openvino["instance_group"] == [{"count": 1, "kind": "KIND_CPU"}]
    with pytest.raises(InputError, match="takes one frame at a time"):
        write_model(small_artifact, tmp_path / "c", ServingOptions(max_batch=4))


def engine(artifact: Artifact, runtime: str, directory: Path, *, one_size: bool = False) -> Engine:
    """A bundle as a runtime writes it, with a plan that no GPU can load."""
    info = EngineInfo(
        runtime=runtime,
        artifact=artifact.manifest.name,
        artifact_sha256=artifact.manifest.onnx_sha256,
        precision=artifact.manifest.precision,
        shape=(48, 64) if one_size else None,
        one_size=one_size,
        identity={"version": "10.13", "compute capability": "8.6"},
        machine={},
        options={},
        settings={},
        build_seconds=1.0,
        files={},
    )
    path = directory / f"{artifact.manifest.name}.{runtime}.engine"
    return write_engine(path, info, artifact, {"plan": b"a plan"})


def test_an_engine_of_tensorrt(
    small_artifact: Artifact, tmp_path: Path, parsed: Callable[..., list[dict[str, Any]]]
) -> None:
    made = write_model(engine(small_artifact, "tensorrt", tmp_path), tmp_path / "any")
    single = write_model(engine(small_artifact, "tensorrt", tmp_path, one_size=True), tmp_path / "one")
    found, one = parsed(made.configuration.text, single.configuration.text)
    assert made.path.name == found["name"] == small_artifact.manifest.name
    assert found["backend"] == "tensorrt" and found["instance_group"] == [{"count": 1, "kind": "KIND_GPU"}]
    assert found["input"] == [tensor("input", "TYPE_FP32", 1, 3, -1, -1)]
    assert one["input"] == [tensor("input", "TYPE_FP32", 1, 3, 48, 64)]
    assert one["output"] == [tensor("output", "TYPE_FP32", 1, 3, 96, 128)]
    assert (made.path / "1" / found["default_model_filename"]).read_bytes() == b"a plan"
    assert made.notes == ("the server must have what the engine was built for: version 10.13, compute capability 8.6",)


@pytest.mark.parametrize("runtime", sorted(set(RUNTIMES) - {"tensorrt"}))
def test_engines_that_triton_does_not_load(runtime: str, small_artifact: Artifact, tmp_path: Path) -> None:
    bundle = engine(small_artifact, runtime, tmp_path)
    with pytest.raises(InputError, match=f"no backend that loads engines of {runtime}\n") as caught:
        write_model(bundle, tmp_path / "repository")
    assert f"{small_artifact.manifest.name}.onnx" in caught.value.remedy
    with pytest.raises(InputError, match="onnxruntime takes artifacts"):
        write_model(bundle, tmp_path / "repository", ServingOptions(backend="onnxruntime"))
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backend": "tensorrt"}, "takes an engine"),
        ({"backend": "tensorflow"}, "no backend 'tensorflow'"),
        ({"backend": "openvino", "kind": "gpu"}, "does not run on gpu"),
        ({"instances": 0}, "instances 0 must be"),
        ({"threads": -1}, "threads -1 must be"),
        ({"max_batch": 0}, "max-batch 0 must be"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], words: str, small_artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        write_model(small_artifact, tmp_path / "repository", ServingOptions(**options))
    assert not (tmp_path / "repository").exists()


def test_threads_of_a_backend_without_any(small_artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no number of CPU threads"):
        write_model(engine(small_artifact, "tensorrt", tmp_path), tmp_path / "a", ServingOptions(threads=2))


def test_a_precision_that_onnxruntime_has_no_kernel_for(small_artifact: Artifact, tmp_path: Path) -> None:
    manifest = msgspec.structs.replace(small_artifact.manifest, precision="bf16")
    artifact = Artifact(small_artifact.path, manifest)
    for kind in (None, "cpu", "auto"):
        with pytest.raises(InputError, match="does not run bf16 on a CPU"):
            write_model(artifact, tmp_path / "a", ServingOptions(kind=kind))
    assert write_model(artifact, tmp_path / "a", ServingOptions(kind="gpu")).notes == ()
    (note,) = write_model(artifact, tmp_path / "b", ServingOptions(backend="openvino")).notes
    assert "in bf16" in note


def test_nothing_is_replaced_unasked(small_artifact: Artifact, tmp_path: Path) -> None:
    first = write_model(small_artifact, tmp_path).path
    write_model(small_artifact, tmp_path)  # the same again
    before = (first / CONFIGURATION).read_bytes()
    with pytest.raises(OutputExists, match="is another model or was edited"):
        write_model(small_artifact, tmp_path, ServingOptions(instances=2))
    assert (first / CONFIGURATION).read_bytes() == before
    (first / "2").mkdir()
    (first / "2" / "model.onnx").touch()
    with pytest.raises(OutputExists):
        write_model(small_artifact, tmp_path)
    write_model(small_artifact, tmp_path, ServingOptions(instances=2), overwrite=True)
    assert b"count: 2" in (first / CONFIGURATION).read_bytes() and not (first / "2").exists()
    shutil.rmtree(first)
    first.mkdir()
    (first / "mine.txt").touch()
    with pytest.raises(InputError, match="is not a model of Triton"):
        write_model(small_artifact, tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


@settings(deadline=None, max_examples=30)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_strings_of_protobuf(text: str) -> None:
    """Read by protobuf's own parser, from a message that every installation has."""
    from google.protobuf import struct_pb2, text_format

    assert text_format.Parse(f"string_value: {protobuf_string(text)}", struct_pb2.Value()).string_value == text


@pytest.fixture
def served(client_path: str) -> Iterator[Callable[[Path], str]]:
    """Starts the stand-in for a server; the address that it listens on."""
    running = []

    def serve(directory: Path) -> str:
        command = [sys.executable, HERE / "stand_in_server.py", directory]
        environment = {**os.environ, "PYTHONPATH": client_path}
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        return f"127.0.0.1:{process.stdout.readline().strip()}"

    yield serve
    for process in running:
        process.communicate(timeout=30)


def test_the_client_upscales_through_shared_memory(
    small_artifact: Artifact,
    interleaved: Artifact,
    tmp_path: Path,
    client_path: str,
    served: Callable[[Path], str],
) -> None:
    """As sessions of the toolkit do, at an odd size."""
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (23, 31, 3)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "small.png")
    before = set(Path("/dev/shm").iterdir())
    for index, artifact in enumerate((small_artifact, interleaved)):
        model, result = write_model(artifact, tmp_path / str(index)).path, tmp_path / f"{index}.png"
        command = [sys.executable, model / "client.py", tmp_path / "small.png", result, "--url", served(model)]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": client_path}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        session, port = RUNTIMES["ort-cpu"].load(artifact), artifact.manifest.input
        session.bind(Shape(23, 31))
        expected = artifact.manifest.output.to_image(session.run(port.from_image(picture)))
        found = np.asarray(Image.open(result))
        assert found.shape == (46, 62, 3)
        assert np.abs(found.astype(int) - expected).max() <= (0 if artifact is interleaved else 1)
    assert set(Path("/dev/shm").iterdir()) <= before


def test_the_command(small_artifact: Artifact, tmp_path: Path, toolkit_command: Command) -> None:
    done = toolkit_command("triton", small_artifact.path, "-o", tmp_path / "models", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    name = small_artifact.manifest.name
    assert made == {"path": str(tmp_path / "models" / name), "backend": "onnxruntime", "notes": [], "others": []}
    assert sorted(str(path.relative_to(made["path"])) for path in Path(made["path"]).rglob("*.*")) == [
        "1/model.onnx",
        "client.py",
        "config.pbtxt",
        "manifest.json",
    ]
    spaced = toolkit_command("triton", small_artifact.path, "-o", tmp_path / "my models")
    assert shlex.split(spaced.stdout)[-1] == f"--model-repository={tmp_path / 'my models'}"
    again = toolkit_command("triton", small_artifact.path, "-o", tmp_path / "models", "--backend", "openvino")
    assert again.returncode == 2 and "--overwrite" in again.stderr
    assert set(BACKENDS) == {"onnxruntime", "openvino", "tensorrt"}
