"""The tests that depend on arithmetic, run as CPUs with other instruction sets would compute.

Every setting is a set of environment variables that hold the libraries to an instruction set: PyTorch's own kernels
(`ATEN_CPU_CAPABILITY`), oneDNN in PyTorch and OpenVINO (`ONEDNN_MAX_CPU_ISA`, `DNNL_MAX_CPU_ISA`), MKL (`MKL_CBWR`),
NumPy (`NPY_DISABLE_CPU_FEATURES`), OpenBLAS (`OPENBLAS_CORETYPE`) and glibc's functions (`GLIBC_TUNABLES`). The native
engine's tests choose its targets themselves. ONNX Runtime's MLAS has no such switch: what it computes is what
this CPU does, and its results are only compared with bounds that hold for any order of summation. A setting above what
the CPU has changes nothing, and is skipped.

    python validation/isa.py [--only avx2] [-- pytest arguments]

Exit code 0 if the tests pass under every setting.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass

from toolkit.system.hardware import instruction_sets

TESTS = (
    "tests/graph/test_float64.py",
    "tests/graph/test_passes.py",
    "tests/graph/test_conditioning.py",
    "tests/graph/test_export.py",
    "tests/network/test_blocks.py",
    "tests/network/test_fusion.py",
    "tests/network/test_rounding.py",
    "tests/verification/test_verify_fusion.py",
    "tests/runtimes/test_sessions.py",
    "tests/native/test_engine.py",
    "tests/test_resize.py",
)


@dataclass(frozen=True)
class Setting:
    """Environment variables, and the CPU flags without which they change nothing."""

    name: str
    needs: tuple[str, ...]
    variables: dict[str, str]


def _held(isa: str, aten: str, mkl: str, blas: str, numpy: str, glibc: str) -> dict[str, str]:
    return {
        "ONEDNN_MAX_CPU_ISA": isa,
        "DNNL_MAX_CPU_ISA": isa,
        "ATEN_CPU_CAPABILITY": aten,
        "MKL_CBWR": mkl,
        "OPENBLAS_CORETYPE": blas,
        "NPY_DISABLE_CPU_FEATURES": numpy,
        "GLIBC_TUNABLES": f"glibc.cpu.hwcaps={glibc}",
    }


_WITHOUT_512 = "-AVX512F,-AVX512DQ,-AVX512BW,-AVX512VL"
_NUMPY_512 = "X86_V4 AVX512_ICL AVX512_SPR"
SETTINGS = (
    Setting(
        "sse4",
        ("sse4_1",),
        _held("SSE41", "default", "COMPATIBLE", "Nehalem", f"X86_V3 {_NUMPY_512}", f"{_WITHOUT_512},-AVX2,-FMA"),
    ),
    Setting("avx2", ("avx2", "fma"), _held("AVX2", "avx2", "AVX2", "Haswell", _NUMPY_512, _WITHOUT_512)),
    Setting(
        "avx512",
        ("avx512f", "avx512bw", "avx512dq", "avx512vl"),
        _held("AVX512_CORE", "avx512", "AVX512", "SkylakeX", "AVX512_ICL AVX512_SPR", ""),
    ),
    Setting("as it is", (), {}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tests that depend on arithmetic, under other instruction sets.")
    parser.add_argument("--only", choices=[setting.name for setting in SETTINGS], help="one setting instead of all")
    parser.add_argument("pytest", nargs="*", help="tests or options for pytest; default: the tests that need it")
    given = parser.parse_args()
    present = instruction_sets()
    outcomes: dict[str, str] = {}
    for setting in SETTINGS:
        if given.only not in (None, setting.name):
            continue
        if missing := sorted(set(setting.needs) - present):
            outcomes[setting.name] = f"skipped: this CPU lacks {', '.join(missing)}"
            continue
        print(f"{setting.name}: {setting.variables or 'no variables set'}", flush=True)
        outcomes[setting.name] = "passed" if _passes(setting, given.pytest or list(TESTS)) else "FAILED"
    for name, outcome in outcomes.items():
        print(f"{name}: {outcome}")
    sys.exit(any(outcome == "FAILED" for outcome in outcomes.values()))


def _passes(setting: Setting, tests: list[str]) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not gpu and not slow", *tests]
    # Names in the environment of this process must not reach a setting that is meant to be without them.
    names = {name for other in SETTINGS for name in other.variables}
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(command, env=kept | setting.variables, check=False).returncode == 0


if __name__ == "__main__":
    main()
