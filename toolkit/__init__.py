"""RT4KSR deployment toolkit: from a trained checkpoint to proven, measured inference.

    import toolkit

    checkpoint = toolkit.load_checkpoint("rt4ksr_x2.pth")
    artifact = toolkit.export(checkpoint)
    assert toolkit.verify_fusion(checkpoint, artifact).passed
    print(toolkit.profile([artifact]).to_csv())

`__init__.pyi` lists the public names, one import per line. It is the only list: type checkers read it, and so does this
module, which imports a name from its module on first use. `import toolkit` itself loads neither torch nor onnx.
"""

import importlib
from functools import cache
from pathlib import Path


@cache
def _modules() -> dict[str, str]:
    """The module of each public name. Read on first use: the command line needs none of them."""
    import ast

    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.name: node.module for node in imports for alias in node.names}


def __getattr__(name: str) -> object:
    if name == "__all__":
        return ["__version__", *_modules()]
    if name == "__version__":
        from importlib.metadata import version

        return version("rt4ksr-toolkit")
    if name not in _modules():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_modules()[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(["__version__", *_modules()])
