"""Corrects XMP packets for pictures that were rotated upright, and whose additional images or video were removed."""

from __future__ import annotations

import re

_UPRIGHT = re.compile(rb"(tiff:Orientation(?:=[\"']|>))(\d)([\"']|<)")
_OF_TRAILERS = (
    b"http://ns.adobe.com/hdr-gain-map/",
    b"http://ns.apple.com/HDRGainMap/",
    b"http://ns.apple.com/pixeldatainfo/",
    b"http://ns.google.com/photos/1.0/camera/",
    b"http://ns.google.com/photos/1.0/container/",
    b"http://ns.google.com/photos/1.0/depthmap/",
    b"http://ns.google.com/photos/1.0/image/",
)
"""Namespaces that describe additional images or a video in the same file: gain maps, depth maps, motion photos."""
_DECLARATION = re.compile(rb"""\sxmlns:([A-Za-z_][\w.-]*)\s*=\s*["']([^"']*)["']""")


def upright(xmp: bytes) -> bytes:
    """An XMP packet whose orientation, if it has one, is 1 (upright)."""
    return _UPRIGHT.sub(rb"\g<1>1\g<3>", xmp)


def without_trailers(xmp: bytes) -> tuple[bytes, bool]:
    """An XMP packet without descriptions of additional images or video in the file, and whether it had any."""
    prefixes = {name for name, uri in _DECLARATION.findall(xmp) if uri.startswith(_OF_TRAILERS)}
    result = xmp
    for prefix in sorted(prefixes):
        name = re.escape(prefix) + rb":[\w.-]+"
        result = re.sub(rb"<(" + name + rb")\b[^>]*?/>", b"", result)
        result = re.sub(rb"<(" + name + rb")\b[^>]*>.*?</\1\s*>", b"", result, flags=re.DOTALL)
        result = re.sub(rb"\s" + name + rb"""\s*=\s*("[^"]*"|'[^']*')""", b"", result)
    if result == xmp:
        return xmp, False
    for prefix in sorted(prefixes):
        result = re.sub(rb"\sxmlns:" + re.escape(prefix) + rb"""\s*=\s*("[^"]*"|'[^']*')""", b"", result)
    return result, True
