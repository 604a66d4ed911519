"""The wheel holds everything: installed elsewhere and run from another directory."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from samples import network, save_safetensors

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_wheel_works_without_the_source_tree(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if not name.startswith(("toolkit/", "rt4ksr_toolkit-"))]
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    binaries = environment / "bin"
    install = [binaries / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, capture_output=True)
    # Dependencies come from this environment; its own (editable) toolkit does not: .pth files in there are not read.
    (site,) = (environment / "lib").glob("python*/site-packages")
    dependencies = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "dependencies.pth").write_text(dependencies + "\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    save_safetensors(elsewhere / "weights", network())
    where = [binaries / "python", "-c", "import toolkit; print(toolkit.__file__)"]
    assert str(environment) in subprocess.run(where, check=True, cwd=elsewhere, capture_output=True, text=True).stdout
    result = subprocess.run([binaries / "toolkit", "export", "weights"], cwd=elsewhere, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (elsewhere / "exported" / "rt4ksr_x2_c6b2_fp32.onnx").is_file()
