"""Pictures compared by a slider: two of several lie above each other, and the line between them can be dragged.

`slider` needs no script: the upper picture is in an element that CSS lets the reader resize, and radio buttons choose
the pictures. Each is in the page once, however often it is chosen. `canvas_slider` is the same for pictures that a
script draws, which then also moves the line.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolkit.quoting import html

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST = 5

SLIDER_STYLE = """
.slider{margin:1rem 0}.slider>span{color:var(--soft);margin-right:.4rem}.slider>label{margin-right:.9rem}
.slider .scroll{margin:.4rem 0}
.stage{position:relative;background-repeat:no-repeat}
.stage>div{position:absolute;inset:0 auto 0 0;width:50%;min-width:1rem;max-width:100%;overflow:hidden;
resize:horizontal;background-repeat:no-repeat;border-right:2px solid #fff;box-shadow:1px 0 #000}
.stage>div::-webkit-resizer{background:linear-gradient(135deg,#0000 40%,#fff 40% 60%,#000 60%)}
""" + "".join(
    f".l{n}:checked~.scroll>.stage>div{{background-image:var(--p{n})}}"
    f".r{n}:checked~.scroll>.stage{{background-image:var(--p{n})}}"
    for n in range(_MOST)
)
"""Style of a page with sliders that need no script, in addition to that of all pages."""

CANVAS_STYLE = """
.stage.drawn{container-type:inline-size;max-width:none;touch-action:pan-y;cursor:ew-resize;background:var(--card)}
.stage.drawn>div{resize:none;min-width:0}.stage.drawn canvas{display:block;width:100cqw;height:100%}
.ends{display:flex;justify-content:space-between;gap:1rem;color:var(--soft)}
input[type=range].line{width:100%;margin:.4rem 0;accent-color:var(--c0)}
"""
"""Style of a page with `canvas_slider`, in addition to `SLIDER_STYLE`."""


@dataclass(frozen=True)
class View:
    """A picture of a comparison: its caption, and uint8 (H, W) or (H, W, 3)."""

    caption: str
    pixels: NDArray[np.uint8]


def png_url(pixels: NDArray[np.uint8]) -> str:
    """A picture as a `data:` URL."""
    import numpy as np
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def slider(key: str, views: Sequence[View], *, left: int = 0, right: int = 1) -> str:
    """Pictures of the same size, of which the reader chooses one for each side of a line.

    Args:
        key: letters and digits that no other slider of the page has.
        views: two to five.
        left: number of the picture that is on the left at first.
        right: and on the right.
    """
    if not 2 <= len(views) <= _MOST or len({view.pixels.shape for view in views}) != 1 or not key.isalnum():
        raise ValueError("a slider has two to five pictures of the same size, and a key of letters and digits")
    height, width = views[0].pixels.shape[:2]
    # The radio buttons come first: CSS selects what follows a checked one.
    buttons = "".join(
        f"<span>{side}</span>"
        + "".join(
            f"<input type='radio' class='{name}{number}' id='{key}{name}{number}' name='{key}{name}'"
            f"{' checked' if number == chosen else ''}> <label for='{key}{name}{number}'>{html(view.caption)}</label>"
            for number, view in enumerate(views)
        )
        for side, name, chosen in (("left:", "l", left), ("right:", "r", right))
    )
    pictures = ";".join(f"--p{number}:url({png_url(view.pixels)})" for number, view in enumerate(views))
    return (
        f"<div class='slider' style='{pictures}'>{buttons}<div class='scroll'>"
        f"<div class='stage' style='width:{width}px;height:{height}px'><div></div></div></div></div>"
    )


def canvas_slider(key: str, left: str, right: str) -> str:
    """Two canvases above each other, and a range by which the line between them is moved.

    A script draws on `#KEYleft` and `#KEYright`, and sets the width of `#KEYupper` to the value of `#KEYline`, in
    percent. The range is for keyboards and screen readers; the script may let the line be dragged too.

    Args:
        key: letters and digits that no other slider of the page has.
        left: caption of what is left of the line.
        right: and right of it.
    """
    label = f"Line between {left} and {right}"
    return (
        f"<div class='slider'><div class='ends'><span>← {html(left)}</span><span>{html(right)} →</span></div>"
        f"<input type='range' class='line' id='{key}line' min='0' max='100' value='50' "
        f"aria-label='{html(label)}'><div class='scroll'>"
        f"<div class='stage drawn' id='{key}stage'><canvas id='{key}right' role='img' aria-label='{html(right)}'>"
        f"</canvas><div id='{key}upper'><canvas id='{key}left' role='img' aria-label='{html(left)}'></canvas></div>"
        "</div></div></div>"
    )
