"""Text as someone would write it who wants more of a reader than that it is read."""

from __future__ import annotations

import re
import unicodedata

from hypothesis import strategies as st

_CONTROLS = "\n\r\t\x00\x07\x1b\x7f\x85\x9b\u2028\u2029\u202e\u2066\u200d\ufeff\U000e0041"
_SEQUENCES = ["\r\n", "\x1b[31m", "\x1b]8;;https://example.org\x07", "x\n#include <cstdlib>\nstatic int ran = 0;\n//"]
_SOURCE = r"""// /* */ ??/ \ " ' ''' ` $ ${x} $(x) ; | & && < > %s %(prog)s {} {0} @SYMBOL@ #include # =HYPERLINK(1)"""
_PAGE = "</script> <script> <b> ?> ]]> <!-- --> &amp; &#60; <img/onerror=x>"
_MARKUP = r"[/] [bold] [/bold] [red [link=x] [@click=x] :smile: \["
_MARKDOWN = "* ** _ __ ~~ ![x](y) [x](y) [x] - + = === --- 1. 1) https://example.org www.example.org a@b.org"
_WORDS = "-o --help -rf ~ .. ../ . é 日本 ａ \u0301 👩"

FRAGMENTS = [
    *(*_CONTROLS, *_SEQUENCES, "\\\n", '"""'),
    *f"{_SOURCE} {_PAGE} {_MARKUP} {_MARKDOWN} {_WORDS}".split(),
]
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What no line for people may hold, besides the end of the line."""

WORST = "".join(FRAGMENTS)
_LONE = st.integers(0xDC80, 0xDCFF).map(chr)


def texts(min_size: int = 0, *, surrogates: bool = False) -> st.SearchStrategy[str]:
    """Any text, with more of what has a meaning somewhere. `surrogates`: as in names of files that are no UTF-8."""
    characters = st.characters(codec="utf-8")
    pieces = st.sampled_from(FRAGMENTS) | st.text(characters | _LONE if surrogates else characters, max_size=3)
    return st.lists(pieces, max_size=6).map("".join).filter(lambda text: len(text) >= min_size)


def hidden(text: str) -> str:
    """The characters of a text that cannot be seen, besides ends of lines and joiners."""
    categories = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return "".join(c for c in text if unicodedata.category(c) in categories and c not in "\n\u200c\u200d")
