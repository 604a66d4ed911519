"""Escaping of untrusted text: one function per target.

Names of nodes, metadata, file names and messages of libraries are untrusted. They reach generated source, pages,
tables, commands and the terminal only through the function of that target; no other module escapes text.
"""

from __future__ import annotations

import html as _html
import json
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control, format (bidirectional ones included), surrogate, and separators of lines and paragraphs."""

_JOINERS = "\u200c\u200d"
"""Invisible, but needed to write Persian and emoji."""

_LONGEST_NAME = 100
"""Bytes. File systems allow 255, and callers add suffixes."""

_COMMENT = frozenset(" !#$%&'()+,-./:;=@[]^_{|}~→")
"""Characters kept beside letters and digits. Not *, which could end a comment; not ? and \\, which form trigraphs and
spliced lines."""

_MARKDOWN = frozenset("\\`*[]<>|~&$")


def visible(text: str, keep: str = "") -> str:
    r"""Text with invisible characters written as Python escapes (`\x1b`, `\u202e`), except those in `keep`."""
    if text.isprintable():
        return text
    kept = keep + _JOINERS
    return "".join(_escape(c) if unicodedata.category(c) in _HIDDEN and c not in kept else c for c in text)


def terminal(text: str) -> str:
    """For a terminal: no control sequences and no change of direction; newlines and tabs are kept."""
    return visible(text, "\n\t")


def html(text: str) -> str:
    """For text or a quoted attribute in HTML or SVG."""
    return _html.escape(visible(text, "\n"))


def markdown(text: str) -> str:
    """For inline text in a Markdown document or table: one line without formatting."""
    line = visible(" ".join(text.split()))
    quoted = "".join(f"\\{c}" if c in _MARKDOWN else c for c in line)
    # Underscores inside a word have no meaning.
    quoted = re.sub(r"(?<!\w)_+|_+(?!\w)", lambda found: found[0].replace("_", r"\_"), quoted)
    # Characters that start a heading, list, rule, underline or number at the beginning of a line, and bare links.
    quoted = re.sub(r"^([#+=-]|\d+(?=[.)]))", lambda found: _first(found[0]), quoted)
    return re.sub(r"(?i)(?<=www)\.|:(?=//)|@", lambda found: f"\\{found[0]}", quoted)


def _first(mark: str) -> str:
    """Escape the first character. A digit cannot be escaped by a backslash and becomes a character reference."""
    return f"&#{ord(mark[0])};{mark[1:]}" if mark[0].isdigit() else f"\\{mark}"


def csv_cell(text: str) -> str:
    """For a CSV cell that spreadsheets must not interpret as a formula; the `csv` module adds quotes."""
    shown = visible(text, "\n")
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def plot(text: str) -> str:
    """For a title or label in matplotlib, where a pair of dollar signs means mathematics."""
    return visible(text, "\n").replace("$", r"\$")


def json_document(text: str) -> str:
    """The same JSON document with invisible characters escaped, so that it is safe to print on a terminal."""
    return "".join(
        "".join(f"\\u{unit:04x}" for unit in _utf16(c)) if _is_hidden(c) and c not in "\n\t" else c
        for c in text.replace("\r", "")
    )


def cpp_comment(text: str) -> str:
    """For a C or C++ comment of either kind: cannot end the comment or join the next line to it."""
    return "".join(c if c.isalnum() or c in _COMMENT else f"<{ord(c):04X}>" for c in text)


def cpp_string(text: str) -> str:
    """A C or C++ string literal in UTF-8. The text must not contain lone surrogates."""
    # Octal escapes end after three digits; hexadecimal ones continue as long as digits follow.
    shown = (chr(b) if 0x20 <= b < 0x7F and b not in b'"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{"".join(shown)}"'


def protobuf_string(text: str) -> str:
    """A string in protobuf's text format, which has the octal escapes of C. No lone surrogates."""
    return cpp_string(text)


def python_literal(value: object) -> str:
    """A Python expression for a string, number, None, or a tuple, list, set or mapping of these."""
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
    """For a docstring in triple double quotes; newlines are kept."""
    return _python(text, keep="\n")


def toml_value(value: object) -> str:
    """A TOML string, number, boolean, or array of these."""
    # The same as JSON, except that JSON allows U+007F in a string.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")


def first_few(names: Sequence[str], most: int) -> str:
    """Names in a sentence: `a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def shell(words: Iterable[str | Path]) -> str:
    """A command line for a POSIX shell. Paths cannot be mistaken for options."""
    return " ".join(_word(str(word), is_path=isinstance(word, Path)) for word in words)


def file_name(text: str) -> str:
    """Part of a file name: letters, digits and `._+-`, of limited length, neither hidden nor an option. If the text had
    to be changed, a hash of it is appended."""
    plain = "".join(c if c.isalnum() or c in "._+-" else "_" for c in text).lstrip("-.")
    short = plain.encode()[:_LONGEST_NAME].decode(errors="ignore")
    if short == text and short:
        return short
    import hashlib  # takes as long as all else here

    return f"{short or 'unnamed'}-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}"


def _word(word: str, *, is_path: bool) -> str:
    if is_path and word.startswith("-"):
        word = f"./{word}"
    if not any(_is_hidden(c) for c in word):
        return shlex.quote(word)
    # $'…' supports escapes. They are bytes, because a word may not be valid UTF-8.
    shown = (c if not _is_hidden(c) and c not in "'\\" else _octal(c) for c in word)
    return f"$'{''.join(shown)}'"


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode(errors="surrogateescape"))


def _is_hidden(character: str) -> bool:
    return not character.isprintable() and unicodedata.category(character) in _HIDDEN


def _utf16(character: str) -> Iterable[int]:
    """UTF-16 code units."""
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
