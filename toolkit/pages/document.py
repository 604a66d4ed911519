"""HTML pages: the document with its style, tables, figures and warnings, for every page that the toolkit writes.

A page is one self-contained file: styles are inline, there are no scripts, and its content security policy forbids
loading anything. The page of an application has a script, and files beside it that only the server of the page may
send. All text arguments are quoted here; arguments called `content` are HTML that these functions returned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from toolkit.quoting import html

STYLE = """
:root{color-scheme:light dark;--page:#fff;--card:#f6f7f9;--ink:#1b1f24;--soft:#59636e;--line:#d8dde3;--warn:#8a4b00;
--warn-page:#fff4e0;--c0:#0a66c2;--c1:#c24a00;--c2:#0b7d5c;--c3:#a3308f;--c4:#7a6200;--c5:#5a4fcf;--c6:#b3261e;
--c7:#4d5b66;--early:#1a7f4b;--fair:#d09a00;--late:#c93a32}
@media(prefers-color-scheme:dark){:root{--page:#14171b;--card:#1d2127;--ink:#e7eaee;--soft:#a2acb8;--line:#39414b;
--warn:#ffc46b;--warn-page:#352812;--c0:#6cb2ff;--c1:#ff9a5c;--c2:#4fd1a5;--c3:#ee8bdc;--c4:#e0c341;--c5:#a9a2ff;
--c6:#ff8a80;--c7:#b4c0ca;--early:#46c27f;--fair:#f0c24b;--late:#ff7a70}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:78rem;padding:1rem;color:var(--ink);
background:var(--page)}
h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.25rem;margin:2rem 0 .5rem;padding-top:.6rem;
border-top:1px solid var(--line)}
h3{font-size:1rem;margin:0 0 .6rem}p{margin:.4rem 0}.soft,figcaption{color:var(--soft)}figcaption{font-size:.85rem;
margin-top:.4rem}
.charts{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,25rem),1fr));align-items:start;
margin:1rem 0}
figure{margin:0;padding:.9rem;background:var(--card);border:1px solid var(--line);border-radius:.5rem;min-width:0}
svg{display:block;width:100%;max-width:40rem;height:auto;margin:auto}
svg text{font:13px system-ui,sans-serif;fill:var(--ink)}svg text.small{font-size:11.5px;fill:var(--soft)}
svg text.value{font-weight:600}
.grid{stroke:var(--line);stroke-width:1}.mark{stroke:var(--late);stroke-dasharray:4 3}
.median{stroke:var(--ink);stroke-width:2}.interval{stroke:var(--ink);stroke-width:4;opacity:.55}
.limit{fill:none;stroke:var(--soft);stroke-width:1.5}.faint{opacity:.6}
.c0{fill:var(--c0)}.c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}.c4{fill:var(--c4)}.c5{fill:var(--c5)}
.c6{fill:var(--c6)}.c7{fill:var(--c7)}.early{fill:var(--early)}.fair{fill:var(--fair)}.late{fill:var(--late)}
.scroll{overflow-x:auto;margin:.8rem 0}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
thead th{color:var(--soft);font-weight:500;vertical-align:bottom}tbody th{font-weight:inherit;white-space:normal;
overflow-wrap:anywhere;min-width:6.5rem}
th.text,td.text{text-align:left}td.text{white-space:normal;min-width:8rem}td.marked,p.marked{color:var(--warn);font-weight:600}
.warnings{background:var(--warn-page);color:var(--warn);border-radius:.5rem;padding:.7rem 1rem .7rem 2rem;margin:1rem 0}
pre{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.7rem}
td.wrap{white-space:normal;min-width:16rem}details{margin:.6rem 0}summary{cursor:pointer;color:var(--soft)}
:focus-visible{outline:2px solid var(--c0);outline-offset:2px}.headline{font-size:1.15rem;font-weight:600}
@media(max-width:40rem){th,td{padding:.3rem .35rem}thead th{white-space:normal}}
@media print{body{max-width:none}details::details-content{content-visibility:visible;height:auto}
figure,tr{break-inside:avoid}.scroll{overflow:visible}}
"""
"""Style of all pages. Charts use `c0` to `c7` for series, and `early`, `fair`, `late` for deadlines."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_APPLICATION = (
    f"{_POLICY}; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src data: blob:; "
    "media-src blob:"
)
"""A script may read what lies beside it, and what the reader gives it, and nothing else."""


def document(
    title: str, content: Iterable[str], *, style: str = "", images: bool = False, script: str | None = None
) -> str:
    """A complete page.

    Args:
        title: of the window and of the first heading.
        content: HTML of the body.
        style: CSS in addition to `STYLE`.
        images: whether the page has images, which are part of it as `data:` URLs.
        script: file name of the JavaScript module of an application, beside the page; None: there is none.
    """
    policy = _APPLICATION if script else f"{_POLICY}; img-src data:" if images else _POLICY
    # Without an icon of its own, a browser asks the server for one.
    loaded = f"<link rel='icon' href='data:,'><script type='module' src='{html(script)}'></script>" if script else ""
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html(title)}</title>"
        f"<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"{loaded}<style>{STYLE}{style}</style></head><body><h1>{html(title)}</h1>{''.join(content)}</body></html>\n"
    )


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int, marked: Sequence[int | None] = ()
) -> str:
    """A table that scrolls if it is wider than the page, also by keyboard.

    The first column heads its row, for screen readers.

    Args:
        header: column titles.
        rows: cells, row by row.
        texts: the first `texts` columns are left-aligned text, the others right-aligned numbers.
        marked: for each row, the index of a cell to highlight, or None.
    """

    def kind(index: int, row: int | None = None) -> str:
        classes = ["text"] if index < texts else []
        if row is not None and row < len(marked) and marked[row] == index:
            classes.append("marked")
        return f" class='{' '.join(classes)}'" if classes else ""

    def cell(index: int, number: int, text: str) -> str:
        name, scope = ("td", "") if index else ("th", " scope='row'")
        return f"<{name}{scope}{kind(index, number)}>{html(text)}</{name}>"

    head = "".join(f"<th scope='col'{kind(index)}>{html(name)}</th>" for index, name in enumerate(header))
    body = "".join(
        f"<tr>{''.join(cell(index, number, text) for index, text in enumerate(row))}</tr>"
        for number, row in enumerate(rows)
    )
    return f"<div class='scroll' tabindex='0'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def facts(pairs: dict[str, str]) -> str:
    """A table of names and values, one pair per row."""
    rows = "".join(
        f"<tr><th scope='row' class='text'>{html(name)}</th><td class='text wrap'>{html(value)}</td></tr>"
        for name, value in pairs.items()
    )
    return f"<div class='scroll'><table><tbody>{rows}</tbody></table></div>"


def fold(summary: str, content: str) -> str:
    """Content that is shown when its summary is clicked, and in print."""
    return f"<details><summary>{html(summary)}</summary>{content}</details>"


def figure(title: str, content: str, caption: str) -> str:
    """A chart with its title and caption."""
    return f"<figure><h3>{html(title)}</h3>{content}<figcaption>{html(caption)}</figcaption></figure>"


def figures(content: Iterable[str]) -> str:
    """Figures in as many columns as the window has room for."""
    return f"<div class='charts'>{''.join(content)}</div>"


def warnings(lines: Iterable[str]) -> str:
    """A highlighted list."""
    return f"<ul class='warnings'>{''.join(f'<li>{html(line)}</li>' for line in lines)}</ul>"
