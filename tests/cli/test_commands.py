"""Commands as a user runs them."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from samples import needs_data, network, released, released_state, save, save_safetensors

Command = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.usefixtures("forked_workers")

HEAVY = {"torch", "onnx", "onnxruntime", "openvino", "numpy", "PIL", "onnx_ir", "onnxsim"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, installed_command: Command) -> Path:
    """A directory in which `toolkit export` was run once."""
    directory = tmp_path_factory.mktemp("user")
    save_safetensors(directory / "small.bin", network())
    result = installed_command("export", "small.bin", cwd=directory)
    assert result.returncode == 0, result.stderr
    assert "onnxsim" in result.stdout
    assert "exported/rt4ksr_x2_c6b2_fp32.onnx" in result.stdout
    return directory


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from toolkit.cli import main
sys.argv = ["toolkit", "--help"]
try:
    main()
except SystemExit:
    print(*sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "verify-fusion" in result.stdout
    loaded = {name.partition(".")[0] for name in result.stdout.splitlines()[-1].split()}
    assert not loaded & HEAVY


def test_version_and_help(installed_command: Command, toolkit_command: Command) -> None:
    assert installed_command("--version").stdout.strip() == "0.2.0"
    for command in ("export", "convert", "build", "verify-fusion", "profile", "inspect", "doctor"):
        result = toolkit_command(command, "--help")
        assert result.returncode == 0
        assert command in result.stdout


def test_export_writes_three_files(exported: Path) -> None:
    suffixes = sorted(path.suffix for path in (exported / "exported").iterdir())
    assert suffixes == [".json", ".onnx", ".safetensors"]


def test_export_json_is_one_document_on_stdout(exported: Path, toolkit_command: Command) -> None:
    result = toolkit_command("export", "small.bin", "--json", "-o", "elsewhere", "--opset", "21", cwd=exported)
    manifest = json.loads(result.stdout)
    assert manifest["opset"] == 21
    assert "error in float64" in result.stderr
    assert (exported / "elsewhere" / f"{manifest['name']}.onnx").is_file()


def test_a_licence_is_asked_for_and_shown(exported: Path, toolkit_command: Command) -> None:
    asked = toolkit_command("export", "small.bin", "-o", "licensed", cwd=exported)
    assert "the licence of small.bin is not known; state it with --licence" in " ".join(asked.stderr.split())
    stated = toolkit_command("export", "small.bin", "-o", "licensed", "--licence", "CC0-1.0", cwd=exported)
    assert (stated.returncode, stated.stderr) == (0, "")
    shown = toolkit_command("inspect", "licensed/rt4ksr_x2_c6b2_fp32.onnx", cwd=exported).stdout
    assert "CC0-1.0" in shown


def test_inspect(exported: Path, toolkit_command: Command) -> None:
    result = toolkit_command("inspect", "exported/rt4ksr_x2_c6b2_fp32.onnx", cwd=exported)
    assert result.returncode == 0
    assert "small.bin" in result.stdout
    assert "fusion: body.0.conv" in result.stdout
    raw = toolkit_command("inspect", "exported/rt4ksr_x2_c6b2_fp32.json", "--json", cwd=exported)
    assert json.loads(raw.stdout)["source"]["file"] == "small.bin"


def test_inspect_an_engine(exported: Path, tmp_path: Path, toolkit_command: Command) -> None:
    """What it was built for, and whether that is this machine."""
    given = exported / "exported" / "rt4ksr_x2_c6b2_fp32.onnx"
    built = toolkit_command("build", given, "--runtime", "native", "--target", "scalar,x86-64-v3", "-o", tmp_path)
    assert built.returncode == 0, built.stderr
    bundle = tmp_path / "rt4ksr_x2_c6b2_fp32.native.engine"
    shown = " ".join(toolkit_command("inspect", bundle).stdout.split())
    assert "target x86-64-v3,scalar" in shown
    assert "input size dynamic" in shown
    assert shown.endswith("runs here yes")
    assert json.loads(toolkit_command("inspect", bundle, "--json").stdout)["identity"]["target"] == "x86-64-v3,scalar"
    nodes = toolkit_command("inspect", bundle, "--nodes")
    assert nodes.returncode == 2
    assert "has no graph" in nodes.stderr
    (bundle / "engine.so").unlink()
    damaged = toolkit_command("inspect", bundle)
    assert damaged.returncode == 2
    assert "engine.so is missing" in " ".join(damaged.stderr.split())


@pytest.mark.parametrize("arguments", [(), ("small.bin",), ("exported/rt4ksr_x2_c6b2_fp32.onnx",)])
def test_verify_fusion(arguments: tuple[str, ...], exported: Path, toolkit_command: Command) -> None:
    result = toolkit_command("verify-fusion", *arguments, "--no-full-frame", cwd=exported)
    assert result.returncode == 0, result.stderr
    assert "PASSED" in result.stdout
    assert "tail.conv" in result.stdout
    assert "noise 1x1" in result.stdout


def test_verify_fusion_json(exported: Path, toolkit_command: Command) -> None:
    result = toolkit_command("verify-fusion", "--no-full-frame", "--json", cwd=exported)
    report = json.loads(result.stdout)
    assert report["passed"]
    assert all(check["measured"] <= check["bound"] for check in report["checks"])


def test_a_failed_proof_has_exit_code_1(exported: Path, tmp_path: Path, toolkit_command: Command) -> None:
    """Weights that do not belong to the graph, with a manifest that says they do."""
    import hashlib
    import shutil

    shutil.copytree(exported / "exported", tmp_path / "exported")
    weights = next((tmp_path / "exported").glob("*.safetensors"))
    save_safetensors(weights, network(seed=9))
    manifest = next((tmp_path / "exported").glob("*.json"))
    content = json.loads(manifest.read_text())
    content["source"]["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(content))
    result = toolkit_command("verify-fusion", "--no-full-frame", cwd=tmp_path)
    assert result.returncode == 1
    assert "FAILED" in result.stdout


def test_profile(exported: Path, toolkit_command: Command) -> None:
    arguments = ("profile", "--workload", "24x16", "--duration", "0.02", "--no-roofline")
    result = toolkit_command(*arguments, cwd=exported)
    assert result.returncode == 0, result.stderr
    for word in ("torch-unfused", "openvino", "1.00x", "p95", "boundary host"):
        assert word in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
    document = json.loads(toolkit_command(*arguments, "--json", "--runtime", "ort-cpu", cwd=exported).stdout)
    assert [cell["runtime"] for cell in document["cells"]] == ["torch-unfused", "ort-cpu"]
    rows = toolkit_command(*arguments, "--csv", "--runtime", "ort-cpu", cwd=exported).stdout.splitlines()
    assert rows[0].startswith("workload,runtime,precision")
    assert len(rows) == 3


QUICK = ("profile", "--no-roofline", "--workload", "16x16", "--duration", "0.02", "--runtime", "ort-cpu")


def test_a_runtime_that_was_asked_for_and_cannot_run_has_exit_code_3(exported: Path, toolkit_command: Command) -> None:
    result = toolkit_command(*QUICK, "--precision", "bf16", cwd=exported)
    assert result.returncode == 3
    assert "ort-cpu bf16 did not run" in result.stdout


def test_an_artifact_is_profiled_in_its_own_precision(exported: Path, toolkit_command: Command, tmp_path: Path) -> None:
    made = toolkit_command(
        "convert", "exported/rt4ksr_x2_c6b2_fp32.onnx", "--precision", "fp16", "-o", tmp_path, cwd=exported
    )
    assert made.returncode == 0, made.stderr
    result = toolkit_command(*QUICK, tmp_path / "rt4ksr_x2_c6b2_fp16.onnx", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert {cell["precision"] for cell in json.loads(result.stdout)["cells"] if cell["runtime"] == "ort-cpu"} == {
        "fp16"
    }
    empty = toolkit_command("build", tmp_path / "rt4ksr_x2_c6b2_fp16.onnx", "--target", ",", "--runtime", "native")
    assert (empty.returncode, "--target names no target" in empty.stderr) == (2, True)


def test_a_precision_that_is_not_there_yet_is_made_for_the_run(exported: Path, toolkit_command: Command) -> None:
    before = sorted((exported / "exported").iterdir())
    result = toolkit_command(*QUICK, "--precision", "fp16", cwd=exported)
    assert result.returncode == 0, result.stderr
    assert "was converted to fp16 for this run" in result.stderr.replace("\n", " ")
    assert "ort-cpu fp16: stored fp16, computed fp32" in result.stdout
    assert sorted((exported / "exported").iterdir()) == before


@pytest.mark.slow
def test_presets_are_profiled_by_name(tmp_path: Path, toolkit_command: Command) -> None:
    result = toolkit_command(*QUICK, "--preset", "unshuffle", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for words in ("rt4ksr_x2_unshuffle_untrained_fp32", "rt4ksr_x3_unshuffle_untrained_fp32"):
        assert words in result.stdout
    assert "UNTRAINED" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_precisions_and_engines(exported: Path, tmp_path: Path, toolkit_command: Command) -> None:
    fp32 = exported / "exported" / "rt4ksr_x2_c6b2_fp32.onnx"
    converted = toolkit_command("convert", fp32, "--precision", "fp16,int8", "-o", tmp_path / "exported")
    assert converted.returncode == 0, converted.stderr
    assert "mean error against float64" in converted.stdout
    assert "loss unknown, because the network gains nothing over bicubic there no verdict" in " ".join(
        converted.stdout.split()
    )
    profiled = toolkit_command(*QUICK, "--precision", "fp16", cwd=tmp_path)
    assert profiled.returncode == 0
    assert "ort-cpu fp16: stored fp16, computed fp32" in profiled.stdout
    fp16 = tmp_path / "exported" / "rt4ksr_x2_c6b2_fp16.onnx"
    rtx = ("build", fp16, "--runtime", "tensorrt-rtx", "--target", "sm86,sm120", "--shape", "16x16")
    assert "typing: strong" in toolkit_command(*rtx).stdout
    assert "nothing has changed" in toolkit_command(*rtx).stdout
    assert json.loads(toolkit_command(*rtx, "--json").stdout)["precision"] == "fp16"
    listed = toolkit_command("build", "--list", cwd=tmp_path)
    assert "rt4ksr_x2_c6b2_fp16.tensorrt-rtx.engine" in listed.stdout
    assert "fits" in listed.stdout


def test_doctor(toolkit_command: Command) -> None:
    result = toolkit_command("doctor")
    assert result.returncode == 0
    for word in ("torch-unfused", "ort-cpu", "openvino", "processor", "GPU", "PyAV", "ray"):
        assert word in result.stdout
    assert {runtime["name"] for runtime in json.loads(toolkit_command("doctor", "--json").stdout)["runtimes"]} >= {
        "torch",
        "openvino",
    }


@pytest.mark.slow
def test_without_a_checkpoint_the_toolkits_own_weights_are_used(tmp_path: Path, toolkit_command: Command) -> None:
    result = toolkit_command("export", "--scale", "3", cwd=tmp_path)
    assert result.returncode == 0
    assert (tmp_path / "exported" / "rt4ksr_x3_fp32.onnx").is_file()
    empty = tmp_path / "empty"
    empty.mkdir()
    verified = toolkit_command("verify-fusion", "--no-full-frame", cwd=empty)
    assert verified.returncode == 0
    assert "rt4ksr_x2.safetensors" in verified.stdout
    profiled = toolkit_command(
        "profile", "--workload", "16x16", "--runtime", "ort-cpu", "--duration", "0.02", "--no-roofline", cwd=empty
    )
    assert profiled.returncode == 0
    assert [path.name for path in empty.iterdir()] == ["report.json"]


@pytest.mark.slow
def test_a_preset_is_untrained_and_says_so(tmp_path: Path, toolkit_command: Command) -> None:
    result = toolkit_command("export", "--preset", "rt4ksr-s", cwd=tmp_path)
    assert result.returncode == 0
    assert "UNTRAINED" in result.stderr
    assert (tmp_path / "exported" / "rt4ksr_x2_s_untrained_fp32.onnx").is_file()
    verified = toolkit_command("verify-fusion", "--preset", "naf", "--no-full-frame", cwd=tmp_path)
    assert verified.returncode == 0
    assert "UNTRAINED" in verified.stderr
    assert toolkit_command("export", tmp_path / "x.pth", "--preset", "naf").returncode == 2


class Evil:
    def __reduce__(self):
        return os.system, ("touch ran",)


def bad_files(directory: Path) -> dict[str, Path]:
    (directory / "empty.pth").touch()
    (directory / "text.pth").write_text("hello, this is text")
    (directory / "evil.pth").write_bytes(pickle.dumps({"state_dict": Evil()}))
    whole = save(directory / "whole.pth", released_state(network())).read_bytes()
    (directory / "cut.pth").write_bytes(whole[: len(whole) // 2])
    save(directory / "other.pth", {"conv.weight": network().head.weight})
    nan = released_state(network())
    nan["head.0.bias"][0] = float("nan")
    save(directory / "nan.pth", nan)
    return {path.stem: path for path in directory.glob("*.pth")} | {
        "missing": directory / "missing.pth",
        "directory": directory,
    }


@pytest.mark.parametrize("kind", ["empty", "text", "evil", "cut", "other", "nan", "missing", "directory"])
def test_bad_checkpoints_give_one_clear_error(kind: str, tmp_path: Path, toolkit_command: Command) -> None:
    path = bad_files(tmp_path)[kind]
    result = toolkit_command("export", path, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert str(path) in result.stderr.replace("\n", "")
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 3
    assert not (tmp_path / "exported").exists()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "--opset", "17"),
        ("export", "--opset", "many"),
        ("export", "--io", "float16"),
        ("export", "--layout", "nhwc"),
        ("export", "--shape", "big"),
        ("export", "--shape", "0x10"),
        ("profile", "--precision", "fp7"),
        ("profile", "--preset", "rt5"),
        ("profile", "--preset", "naf", "some.onnx"),
        ("profile", "--workload", "4k"),
        ("profile", "--runtime", "cuda"),
        ("profile", "--json", "--csv"),
        ("profile", "missing.onnx"),
        ("inspect", "missing.onnx"),
        ("inspect", "picture.png"),
        ("verify-fusion", "missing.onnx"),
        ("verify-fusion", "--scale", "2"),
        ("export", "--scale", "-1"),
        ("export", "--high-frequency", "on"),
        ("inspect", "[/red]odd[bold].onnx"),
        ("profile", "--duration", "nan"),
        ("profile", "--directory", "typo"),
        ("verify-fusion", "--directory", "typo"),
        ("export", "--opset", "26"),
        ("export", "--scale", "0"),
        ("export", "--scale", "100000"),
        ("build", "exported/rt4ksr_x2_c6b2_fp32.onnx"),
        ("build", "exported/rt4ksr_x2_c6b2_fp32.onnx", "--runtime", "torch"),
        ("convert", "exported/rt4ksr_x2_c6b2_fp32.onnx", "--precision", "fp32"),
        ("convert", "exported/rt4ksr_x2_c6b2_fp32.onnx", "--precision", "fp16", "--keep-fp32", "nonsense"),
        ("convert", "exported/rt4ksr_x2_c6b2_fp32.onnx", "--precision", "int8", "--exclude", "nonsense"),
        ("frobnicate",),
    ],
)
def test_bad_usage_has_exit_code_2(arguments: tuple[str, ...], exported: Path, toolkit_command: Command) -> None:
    before = sorted(exported.rglob("*"))
    result = toolkit_command(*arguments, cwd=exported)
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.strip()
    assert sorted(exported.rglob("*")) == before


def test_interrupting_an_export_leaves_nothing(exported: Path, tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("toolkit"), "export", exported / "small.bin"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    time.sleep(1)  # into it, on a slow machine and on a fast one
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())


def test_output_may_be_cut_off_by_its_reader(exported: Path) -> None:
    command = f"{Path(sys.executable).with_name('toolkit')} inspect --json exported/rt4ksr_x2_c6b2_fp32.onnx"
    script = f"{command} | true; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", script], cwd=exported, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    assert result.stdout.strip() == "0"


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("scale", [2, 3])
def test_the_three_commands_on_a_released_checkpoint(scale: int, tmp_path: Path, toolkit_command: Command) -> None:
    export = toolkit_command("export", released(scale), cwd=tmp_path)
    assert export.returncode == 0, export.stderr
    assert "high-frequency branch: left out" in export.stdout
    verified = toolkit_command("verify-fusion", cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr
    assert "full frame" in verified.stdout
    # A small frame: `make demo` runs the whole of 1080p, which takes the unfused network a minute.
    profiled = toolkit_command(
        "profile", "--duration", "0.1", "--json", "--no-roofline", "--workload", "320x180", cwd=tmp_path
    )
    assert profiled.returncode == 0, profiled.stderr
    cells = json.loads(profiled.stdout)["cells"]
    measured = [cell["runtime"] for cell in cells if cell["statistics"]]
    assert measured[:5] == ["torch-unfused", "torch", "torch-compile", "ort-cpu", "openvino"]
