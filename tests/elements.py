"""What a page is made of, for comparing two of them."""

from __future__ import annotations

from html.parser import HTMLParser


class Elements(HTMLParser):
    """The elements of a page with their attributes' names, and all its text and attributes' values."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tree: list[object] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tree.append((tag, *(name for name, _ in attrs)))
        self.text += "".join(value or "" for _, value in attrs)

    def handle_endtag(self, tag: str) -> None:
        self.tree.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.tree.append("comment")

    handle_pi = unknown_decl = handle_comment


def elements(page: str) -> Elements:
    parser = Elements()
    parser.feed(page)
    parser.close()
    return parser
