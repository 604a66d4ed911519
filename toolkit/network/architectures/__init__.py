"""Network architectures, each a module or folder of its own, behind one interface.

To add one, write three files:

1. The architecture: a module here, or a folder where it is large (`rt4ksr/`). It holds a `Configuration`, a `Details`
   struct whose tag is the architecture's name, a `NetworkModule` built from the configuration, and an `Architecture`
   that recognises weights from tensors (`tensors.py` has the tools) and names presets. Blocks that can be merged derive
   from `MergeableBlock`: then merging, its proof, and training through the merge need no further code.
2. `registry.py`: an instance in `ARCHITECTURES`, and the details in `AnyDetails`.
3. A test. `tests/network/test_registry.py` already takes every preset through recognition and merging.

Configuration, details and architecture must not import torch when they are imported.
"""
