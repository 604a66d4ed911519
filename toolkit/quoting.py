"""Text that came from a file, quoted for where it goes: one function for each target.

Names of nodes, metadata, file names and messages of libraries are written by others. Generated source, pages, tables,
commands and the terminal take them through the function of their target, and nothing else escapes text.
"""

from __future__ import annotations

import hashlib
import html as _html
import json
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control, format (bidirectional ones included), surrogate, and separators of lines and paragraphs."""

_JOINERS = "\u200c\u200d"
"""Invisible, but part of how Persian and emoji are written."""

_LONGEST_NAME = 100
"""Bytes; file systems take 255, and callers add their own."""

_COMMENT = frozenset(" !#$%&'()+,-./:;=@[]^_{|}~→")
"""Beside letters and digits. Not *, which could end a comment; not ? and \\, of which trigraphs and spliced lines are
made."""

_MARKDOWN = frozenset("\\`*[]<>|~&$")


def visible(text: str, keep: str = "") -> str:
    r"""Text in which what cannot be seen is written as Python's escapes do (`\x1b`, `\u202e`), except for `keep`."""
    if text.isprintable():
        return text
    kept = keep + _JOINERS
    return "".join(_escape(c) if unicodedata.category(c) in _HIDDEN and c not in kept else c for c in text)


def terminal(text: str) -> str:
    """For a terminal: no control sequence and no change of direction; lines and tabs stay."""
    return visible(text, "\n\t")


def html(text: str) -> str:
    """As text or as a quoted attribute of an HTML page or an SVG drawing."""
    return _html.escape(visible(text, "\n"))


def markdown(text: str) -> str:
    """Inline text of a Markdown document or table: one line, that nothing in it formats."""
    line = visible(" ".join(text.split()))
    quoted = "".join(f"\\{c}" if c in _MARKDOWN else c for c in line)
    # Underscores inside of a word mark nothing.
    quoted = re.sub(r"(?<!\w)_+|_+(?!\w)", lambda found: found[0].replace("_", r"\_"), quoted)
    # What would begin a heading, list, rule, underline or number at the start of a line; and links without brackets.
    quoted = re.sub(r"^([#+=-]|\d+(?=[.)]))", lambda found: _first(found[0]), quoted)
    return re.sub(r"(?i)(?<=www)\.|:(?=//)|@", lambda found: f"\\{found[0]}", quoted)


def _first(mark: str) -> str:
    """A digit takes no backslash, so that a number is written as a character reference."""
    return f"&#{ord(mark[0])};{mark[1:]}" if mark[0].isdigit() else f"\\{mark}"


def csv_cell(text: str) -> str:
    """A cell that spreadsheets take for text, and not for a formula; the `csv` module adds quotes."""
    shown = visible(text, "\n")
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def plot(text: str) -> str:
    """A title or label of matplotlib, where a pair of dollars means mathematics."""
    return visible(text, "\n").replace("$", r"\$")


def json_document(text: str) -> str:
    """A valid JSON document that shows on a terminal as any text: the same document, with what is hidden escaped."""
    return "".join(
        "".join(f"\\u{unit:04x}" for unit in _utf16(c)) if _is_hidden(c) and c not in "\n\t" else c
        for c in text.replace("\r", "")
    )


def cpp_comment(text: str) -> str:
    """Inside of a C or C++ comment of either kind: it neither ends the comment nor joins the next line to it."""
    return "".join(c if c.isalnum() or c in _COMMENT else f"<{ord(c):04X}>" for c in text)


def cpp_string(text: str) -> str:
    """A C or C++ string literal in UTF-8; text must have no lone surrogates."""
    # Octal escapes end after three digits, whatever follows; hexadecimal ones do not.
    shown = (chr(b) if 0x20 <= b < 0x7F and b not in b'"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{"".join(shown)}"'


def python_literal(value: object) -> str:
    """A Python expression that evaluates to the same text, number, None, or tuple, list, set or mapping of these."""
    if isinstance(value, str):
        return f'"{_python(value, keep="")}"'
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{python_literal(k)}: {python_literal(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(python_literal, value))}]"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(map(python_literal, sorted(value)))}}}" if value else "set()"
    if isinstance(value, tuple):
        return f"({', '.join(map(python_literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, float) and not abs(value) < float("inf"):
        return f'float("{value}")'
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    raise TypeError(f"{type(value).__name__} has no literal here")


def python_docstring(text: str) -> str:
    """Inside of a docstring with three double quotes; lines stay lines."""
    return _python(text, keep="\n")


def toml_value(value: object) -> str:
    """A TOML string, number, boolean, or array of these."""
    # As JSON writes it, but that JSON allows U+007F in a string.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")


def shell(words: Iterable[str | Path]) -> str:
    """A command line for a POSIX shell, from its words. A path is never taken for an option."""
    return " ".join(_word(str(word), is_path=isinstance(word, Path)) for word in words)


def file_name(text: str) -> str:
    """Part of a file name: letters, digits and `._+-`, not hidden, no option, of limited length. Text that had to be
    changed is told apart by its hash."""
    plain = "".join(c if c.isalnum() or c in "._+-" else "_" for c in text).lstrip("-.")
    short = plain.encode()[:_LONGEST_NAME].decode(errors="ignore")
    if short == text and short:
        return short
    return f"{short or 'unnamed'}-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}"


def _word(word: str, *, is_path: bool) -> str:
    if is_path and word.startswith("-"):
        word = f"./{word}"
    if not any(_is_hidden(c) for c in word):
        return shlex.quote(word)
    # $'…' takes escapes: bytes, as a word may hold what is no UTF-8.
    shown = (c if not _is_hidden(c) and c not in "'\\" else _octal(c) for c in word)
    return f"$'{''.join(shown)}'"


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode(errors="surrogateescape"))


def _is_hidden(character: str) -> bool:
    return not character.isprintable() and unicodedata.category(character) in _HIDDEN


def _utf16(character: str) -> Iterable[int]:
    """Code units."""
    units = character.encode("utf-16-be", "surrogatepass")
    return (int.from_bytes(units[start : start + 2]) for start in range(0, len(units), 2))


def _python(text: str, keep: str) -> str:
    return "".join(f"\\{c}" if c in '"\\' else _escape(c) if _is_hidden(c) and c not in keep else c for c in text)


def _escape(character: str) -> str:
    short = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
    code = ord(character)
    return short.get(character) or (
        f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    )
