"""What a manifest says of a network that only its architecture can say: the base class."""

from __future__ import annotations

from typing import ClassVar

import msgspec


class Details(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="architecture"):
    """Facts about an exported network beside those that every network has (scale, parameters, variant).

    Each architecture derives a struct with its own fields from it, with its name as `tag`. Code outside an architecture
    reads only what is declared here.

    Attributes:
        title: the architecture's name as its authors write it.
    """

    title: ClassVar[str]

    @property
    def architecture(self) -> str:
        """The name under which `registry` knows the architecture: the tag in JSON."""
        return str(self.__struct_config__.tag)

    @property
    def size(self) -> str:
        """The network's size in a few words, for instance `24 channels, 4 blocks`."""
        return ""

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Further facts for people, as name and value."""
        return ()

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Facts for the metadata of the ONNX file, as key (without prefix) and value."""
        return ()
