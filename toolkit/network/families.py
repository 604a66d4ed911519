"""Networks that are recognised by their tensors, and for which the toolkit has no architecture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from toolkit.errors import UnknownNetwork
from toolkit.network.architectures.registry import MORE_ARCHITECTURES


@dataclass(frozen=True)
class Family:
    """Networks with the same names of tensors.

    Attributes:
        title: as its authors write it.
        landmarks: patterns of which each matches the end of a tensor's name.
    """

    title: str
    landmarks: tuple[str, ...]

    def holds(self, names: Iterable[str]) -> bool:
        """Whether tensors of these names belong to it, whatever stands before the names."""
        given = list(names)
        return all(any(re.search(rf"(^|\.){pattern}$", name) for name in given) for pattern in self.landmarks)


FAMILIES = (
    Family("DISP", (r"blocks\.0\._extern_conv_block\.0\..*weight", r"blocks\.0\.c1_r\..*weight")),
    Family("PDS", (r"conv_near\.weight", r"block_1\.c1_r\..*weight", r"conv_cat_1\.weight")),
    Family("EFDN", (r"cells\.0\.conv1\..*weight", r"cells\.0\.att\.conv_max\.weight", r"local_fuse\.0\.weight")),
    Family("RepRLFN", (r"block_1\.c1_r\.rbr_\w+\..*weight", r"block_1\.esa\.conv_f\.weight")),
    Family("ExpandRepNet", (r"to_feat\..*weight", r"feats\.0\.conv1\.dwconv\.weight", r"to_img\.0\..*weight")),
    Family("ESRGAN", (r"(body\.0\.rdb1|RRDB_trunk\.0\.RDB1|model\.1\.sub\.0\.RDB1)\.conv1(\.0)?\.weight",)),
)
"""The first that fits is named."""


def check_family(groups: Mapping[str, Iterable[str]], where: str) -> None:
    """Refuse weights of a known family with what is missing.

    Raises:
        UnknownNetwork: a group of names belongs to one.
    """
    for names in groups.values():
        for family in FAMILIES:
            if family.holds(names):
                raise UnknownNetwork(
                    f"{where} holds {family.title} weights, and the toolkit has no such architecture",
                    "Export the network to ONNX with its own code, then give that file to `toolkit adopt`. "
                    f"More architectures: {MORE_ARCHITECTURES}.",
                )
