"""Report files as others may write them: either a clear refusal, or pages in which every name is text."""

from __future__ import annotations

import copy
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from elements import elements
from hostile import hidden, texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from profile_reports import cell, report

from toolkit.cli import _run, console
from toolkit.cli.profile_table import print_report
from toolkit.errors import InputError
from toolkit.profiling.gate import gate
from toolkit.profiling.measuring.builds import Build
from toolkit.profiling.measuring.statistics import Interval
from toolkit.profiling.reporting.markdown import markdown
from toolkit.profiling.reporting.page import page
from toolkit.profiling.reporting.reading import read_report
from toolkit.profiling.reporting.report import ProfileReport, Throughput
from toolkit.profiling.reporting.side_by_side import TitledReport

ODD = [0, -1, 1, 1e-320, 1e308, -1e308, 10**30, 0.0, None, True, "", "x", [], {}, [[]], [0], ["x"], [-1.5]]


def made() -> ProfileReport:
    first, second = cell("torch-unfused", 3.6, frames=1), cell("openvino", 0.02, precision="bf16", frames=2)
    builds = (Build(0.02, Interval(0.01, 0.03), 0.0), Build(0.021, None, 0.1))
    second = msgspec.structs.replace(second, builds=builds, throughput=Throughput(2, 60.0), note="a note")
    missing = msgspec.structs.replace(cell("native", 0.1), statistics=None, reason="a reason", blocks=())
    return report(first, second, missing, warnings=("a warning",))


PLAIN: dict[str, Any] = json.loads(made().to_json())


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


PLACES = [path for path in places(PLAIN) if path]


def changed(path: tuple[Any, ...], change: Callable[[Any], Any], document: dict[str, Any]) -> dict[str, Any]:
    found: Any = document
    for key in path[:-1]:
        if not isinstance(found, dict | list) or (isinstance(found, list) and key >= len(found)):
            return document
        found = found.get(key, {}) if isinstance(found, dict) else found[key]
    if isinstance(found, dict) or (isinstance(found, list) and path[-1] < len(found)):
        found[path[-1]] = change(found[path[-1]] if isinstance(found, list) else found.get(path[-1]))
    return document


def show(first: ProfileReport, second: ProfileReport) -> str:
    """Everything that people are shown of reports."""
    stream = io.StringIO()
    shown = type(console.out)(stderr=False, width=200)
    shown.file = stream
    print_report(first, shown)
    pages = [page([TitledReport("a", first)]), page([TitledReport("a", first), TitledReport("b", second)])]
    texts = [markdown([TitledReport("a", first)]), markdown([TitledReport("a", first), TitledReport("b", second)])]
    return "".join([*pages, *texts, first.to_csv(), stream.getvalue()])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(ODD)), min_size=1, max_size=3))
def test_any_report_is_shown_or_refused(changes: list[tuple[tuple[Any, ...], Any]], tmp_path: Path) -> None:
    document = copy.deepcopy(PLAIN)
    for path, value in changes:
        document = changed(path, lambda _, value=value: value, document)
    file = tmp_path / "report.json"
    file.write_text(json.dumps(document))
    try:
        found = read_report(file)
    except InputError as error:
        assert str(file) in str(error)
        return
    assert not hidden(show(found, made()))
    assert not hidden(show(made(), found))
    for one, other in ((found, made()), (made(), found)):
        try:
            gate(one, other)
        except InputError as error:
            assert error.remedy


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("cells", 0, "statistics", "median"), 0, "median is 0"),
        (("cells", 0, "statistics", "deadlines"), [], "0 deadlines, not 2"),
        (("cells", 0, "blocks"), [], "blocks without frames"),
        (("cells", 0, "blocks", 0, "seconds"), [], "blocks without frames"),
        (("cells", 0, "blocks", 0, "seconds", 0), 0, "a frame of 0 s"),
        (("cells", 0, "blocks", 0, "seconds", 0), -1, "below 0"),
        (("cells", 0, "memory", "peak"), 10**400, "out of range"),
        (("cells", 0, "memory", "peak"), -5, "report.cells[0].memory.peak is -5, below 0"),
        (("cells", 1, "builds", 0, "median"), 0, "a build with a median of 0 s"),
        (("cells", 0, "work", "least_bytes"), 0, "a roofline, and no work"),
        (("ceilings", 0, "bytes_per_second"), 0, "ceilings[0] has a rate of 0"),
        (("cells", 1, "speed_up"), 0, "a speed of 0"),
    ],
    ids=str,
)
def test_what_cannot_have_been_measured(path: tuple[Any, ...], value: Any, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(json.dumps(changed(path, lambda _: value, copy.deepcopy(PLAIN))))
    with pytest.raises(InputError) as raised:
        read_report(file)
    assert reason in raised.value.args[0]
    assert raised.value.remedy


def test_a_report_without_cells_is_a_page(tmp_path: Path) -> None:
    empty = report(complete=False)
    assert "interrupted" in page([TitledReport("a", empty)])
    assert empty.to_csv().splitlines() == [made().to_csv().splitlines()[0]]
    assert read_report_of(empty, tmp_path) == empty


def read_report_of(content: ProfileReport, directory: Path) -> ProfileReport:
    (directory / "r.json").write_text(content.to_json())
    return read_report(directory / "r.json")


NAMES = [path for path in PLACES if path[-1] not in ("precision", "boundary", "limited_by", "schema", "begun")]


def named(text: str) -> ProfileReport:
    """With the text in every string; the same strings stay the same."""
    document = copy.deepcopy(PLAIN)
    for path in NAMES:
        document = changed(path, lambda old: f"{text}{old}" if isinstance(old, str) else old, document)
    return msgspec.convert(document, ProfileReport)


def without_labels(tree: list[object]) -> list[object]:
    """Labels of points are left out of a chart where there is no room for them."""
    return [item for item in tree if item != "/text" and item[0] != "text"]


@settings(deadline=None, max_examples=20)
@given(text=texts(1), title=texts(1))
def test_names_make_no_element_and_no_formatting(text: str, title: str) -> None:
    hostile, plain = named(text), named("x")
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for reports in (("t",), ("t", "u")):
        ours = [TitledReport(f"{title}{name}", hostile) for name in reports]
        theirs = [TitledReport(f"x{name}", plain) for name in reports]
        assert without_labels(elements(page(ours)).tree) == without_labels(elements(page(theirs)).tree)
        kinds = [[token.type for token in parser.parse(markdown(each))] for each in (ours, theirs)]
        assert kinds[0] == kinds[1]
    assert not hidden(show(hostile, plain))


@settings(deadline=None, max_examples=20)
@given(text=texts(1))
def test_a_spreadsheet_takes_names_for_text(text: str) -> None:
    rows = list(csv.reader(io.StringIO(named(text).to_csv(), newline="")))
    assert len({len(row) for row in rows}) == 1 and len(rows) == 4
    assert not [value for row in rows for value in row if value.startswith(("=", "+", "@", "\t", "\r"))]


def test_gate_prints_what_markup_would_break(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`[/]` closes nothing, and ended the command in a MarkupError."""
    import importlib

    (tmp_path / "r.json").write_text(named("[/] [bold]:smile:\x1b[2J").to_json())
    importlib.import_module("toolkit.cli.gate").gate(tmp_path / "r.json", against=tmp_path / "r.json")
    printed = capsys.readouterr().out
    assert "[/] [bold]:smile:\\x1b[2J" in printed
    assert not hidden(printed)


def test_reports_are_printed_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.json"
    path.write_text(made().to_json())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        _run(["report", "--json"])
    printed = capsys.readouterr()
    assert json.loads(printed.out) == PLAIN
    assert "openvino" in printed.err, "the table is on standard error"
    with pytest.raises(SystemExit, match="0"):
        _run(["report", str(path), str(path), "--json"])
    assert json.loads(capsys.readouterr().out) == [PLAIN, PLAIN]
    for other in (["--csv"], ["--markdown", "-"]):
        with pytest.raises(InputError, match="only one of --json"):
            _run(["report", "--json", *other])


@pytest.mark.parametrize("schema", [2, 3])
def test_reports_of_older_schemas_are_upgraded(schema: int, tmp_path: Path) -> None:
    """Sizes were HEIGHTxWIDTH before schema 3, and the kind of a subject was only in its name before schema 4."""
    document = copy.deepcopy(PLAIN) | {"schema": schema}
    for older in document["cells"]:
        del older["is_engine"]
    document["cells"][0]["workload"] = "48x64" if schema < 3 else "64x48"
    document["cells"][1]["artifact"] = "rt4ksr_x2_fp32.openvino.engine"
    (tmp_path / "old.json").write_text(json.dumps(document))
    upgraded = read_report(tmp_path / "old.json")
    assert [item.is_engine for item in upgraded.cells] == [False, True, False]
    assert upgraded.cells[0].workload == "64x48"
    assert read_report(_written(tmp_path / "new.json", upgraded)) == upgraded


def test_the_kind_of_a_subject_is_not_read_from_its_name(tmp_path: Path) -> None:
    named = report(msgspec.structs.replace(cell("openvino", 0.02), artifact="odd.engine"))
    (read,) = read_report(_written(tmp_path / "report.json", named)).cells
    assert not read.is_engine
    assert read.name == "openvino fp32"


def _written(path: Path, content: ProfileReport) -> Path:
    path.write_text(content.to_json())
    return path
