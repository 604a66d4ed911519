"""Any text, in every place that text from a file can reach, means nothing there but itself."""

from __future__ import annotations

import ast
import csv
import io
import json
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
from elements import elements
from hostile import FRAGMENTS, WORST, hidden, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from toolkit import quoting


@settings(deadline=None)
@given(texts(surrogates=True))
def test_html_has_no_new_element(text: str) -> None:
    page = "<p title='{0}' id=\"{0}\"><b>{0}</b></p>"
    found = elements(page.format(quoting.html(text)))
    assert found.tree == elements(page.format("harmless")).tree
    assert found.text == quoting.visible(text, "\n") * 3


def structure(tokens: list[Token]) -> list[str]:
    """Types of tokens, those inside of lines included; neighbouring texts are one."""
    found: list[str] = []
    for token in tokens:
        kinds = [token.type] if token.children is None else structure(token.children)
        found += [kind for kind in kinds if not (kind == "text" and found[-1:] == ["text"])]
    return found


def shown(tokens: list[Token]) -> str:
    return "".join(token.content if token.children is None else shown(token.children) for token in tokens)


@settings(deadline=None)
@given(texts(1).filter(lambda text: text.strip() and hidden(text.strip()) != text.strip()))
def test_markdown_has_no_new_structure(text: str) -> None:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    document = "{0}\n\n**{0}**, {0}\n\n- {0}\n\n| {0} | x |\n| --- | --- |\n| {0} | {0} |\n\n> {0}\n"
    quoted = quoting.markdown(text)
    got = parser.parse(document.format(quoted))
    assert [kind for kind in structure(got) if kind != "text_special"] == structure(parser.parse(document.format("x")))
    assert shown(got) == "{0}{0}, {0}{0}{0}x{0}{0}{0}".format(quoting.visible(" ".join(text.split())))


@settings(deadline=None)
@given(texts(surrogates=True))
def test_a_terminal_gets_no_control_sequence(text: str) -> None:
    assert not hidden(quoting.terminal(text).replace("\t", ""))
    assert quoting.terminal(text).isascii() or not text.isascii()


def test_text_that_people_write_stays_as_it_is() -> None:
    for text in ("rt4ksr_x2_fp16.onnx", "Größe 95 % – 日本語　テスト", "می‌خواهم", "👩‍👩‍👧", "a\nb"):
        assert quoting.terminal(text) == text
    assert quoting.markdown("rt4ksr_x2_fp16: 95 % of (x), 1080p-4k") == "rt4ksr_x2_fp16: 95 % of (x), 1080p-4k"
    assert quoting.cpp_comment("/body/body.0/Conv_1") == "/body/body.0/Conv_1"
    assert quoting.file_name("rt4ksr_x2_fp16") == "rt4ksr_x2_fp16"
    assert quoting.shell(["toolkit", Path("a b.onnx"), "--x"]) == "toolkit 'a b.onnx' --x"
    assert quoting.csv_cell("-3 dB") == "'-3 dB"


@settings(deadline=None)
@given(texts(surrogates=True))
def test_csv_gives_the_text_back_and_no_formula(text: str) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerow([quoting.csv_cell(text), "x"])
    ((cell, last),) = csv.reader(io.StringIO(stream.getvalue(), newline=""))
    assert last == "x"
    assert cell.removeprefix("'").removeprefix("'") == quoting.visible(text, "\n").removeprefix("'")
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@settings(deadline=None)
@given(st.dictionaries(texts(), texts(), max_size=3), st.sampled_from([None, 2]))
def test_json_is_the_same_document_and_shows(content: dict[str, str], indent: int | None) -> None:
    document = json.dumps(content, ensure_ascii=False, indent=indent)
    assert json.loads(quoting.json_document(document)) == content
    assert not hidden(quoting.json_document(document))


@settings(deadline=None)
@given(texts(surrogates=True))
def test_cpp_comments_end_where_they_end(text: str) -> None:
    quoted = quoting.cpp_comment(text)
    assert not set(quoted) & set('\n\r\\*?"') and not hidden(quoted)


@settings(deadline=None)
@given(texts())
def test_cpp_strings_are_one_literal_of_ascii(text: str) -> None:
    quoted = quoting.cpp_string(text)
    assert quoted.isascii() and quoted.isprintable() and "?" not in quoted
    # Python's bytes have the same octal escapes.
    assert ast.literal_eval(f"b{quoted}").decode() == text


@settings(deadline=None)
@given(texts(surrogates=True))
def test_python_evaluates_to_the_same(text: str) -> None:
    value = {text: (text, [1, None, True, 0.5], {3, 1})}
    literal = quoting.python_literal(value)
    assert not hidden(literal) and "\n" not in literal
    assert ast.literal_eval(literal) == value
    module = ast.parse(f'"""{quoting.python_docstring(text)}"""\n')
    assert ast.get_docstring(module, clean=False) == text
    literal.encode()


def test_python_has_a_literal_for_what_is_no_number() -> None:
    assert quoting.python_literal(float("-inf")) == 'float("-inf")'
    with pytest.raises(TypeError, match="object has no literal"):
        quoting.python_literal(object())


@settings(deadline=None)
@given(texts())
def test_toml_is_the_same_value(text: str) -> None:
    assert tomllib.loads(f"x = {quoting.toml_value([text, 1, 0.5, True])}") == {"x": [text, 1, 0.5, True]}


@settings(deadline=None)
@given(st.lists(texts().filter(lambda text: not hidden(text) and "\n" not in text and "\u200d" not in text)))
def test_a_shell_line_splits_into_its_words(words: list[str]) -> None:
    assert shlex.split(quoting.shell(words)) == words


def test_a_shell_gives_the_words_back() -> None:
    """Control characters and names that are no UTF-8 included, and not one of them is shown as it is."""
    words = [*(word for word in FRAGMENTS if "\0" not in word), WORST.replace("\0", ""), "\udcff", "x\x1b'y"]
    line = quoting.shell(["printf", "%s\\0", *words])
    assert not hidden(line) and "\n" not in line
    ran = subprocess.run(["bash", "-c", line], capture_output=True, check=True, timeout=60)
    assert ran.stdout.split(b"\0")[:-1] == [word.encode(errors="surrogateescape") for word in words]


def test_a_path_is_no_option() -> None:
    assert quoting.shell(["toolkit", Path("-o.onnx"), "-o", Path("a/-b")]) == "toolkit ./-o.onnx -o a/-b"


@settings(deadline=None)
@given(texts(surrogates=True), texts(surrogates=True))
def test_file_names_are_plain_short_and_distinct(one: str, other: str) -> None:
    name = quoting.file_name(one)
    assert Path(name).name == name and not hidden(name)
    assert 0 < len(name.encode()) <= 120 and name[0] not in "-."
    assert (name == quoting.file_name(other)) == (one == other)


@settings(deadline=None)
@given(texts())
def test_a_plot_has_no_mathematics(text: str) -> None:
    cbook = pytest.importorskip("matplotlib.cbook")
    assert not cbook.is_math_text(quoting.plot(text))
