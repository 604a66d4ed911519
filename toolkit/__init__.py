"""RT4KSR deployment toolkit: from a trained checkpoint to proven, measured inference.

    import toolkit

    checkpoint = toolkit.load_checkpoint("rt4ksr_x2.pth")
    artifact = toolkit.export(checkpoint)
    assert toolkit.verify_fusion(checkpoint, artifact).passed
    print(toolkit.profile([artifact]).to_csv())

`__init__.pyi` lists the public names, one import per line. It is the only list: type checkers read it, and so does this
module, which imports a name from its module on first use. `import toolkit` itself loads neither torch nor onnx.
"""

import ast
import importlib
from pathlib import Path


def _read_modules() -> dict[str, str]:
    """The module of each public name."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.name: node.module for node in imports for alias in node.names}


_MODULES = _read_modules()
__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("rt4ksr-toolkit")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
