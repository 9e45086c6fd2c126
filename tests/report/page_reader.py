"""A page as a reader without JavaScript gets it: its elements, its tables, its text."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset(["meta", "link", "br", "img", "input", "hr", "rect", "line", "circle", "path", "wbr"])
RAW = frozenset({"script", "style"})


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    inside: list[Element | str] = field(default_factory=list)

    def find(self, tag: str | None = None, **attributes: str) -> list[Element]:
        """All elements below this one, in order, with this tag and these attributes."""
        found: list[Element] = []
        for child in self.inside:
            if isinstance(child, Element):
                if (tag is None or child.tag == tag) and all(
                    child.attributes.get(name.rstrip("_")) == value for name, value in attributes.items()
                ):
                    found.append(child)
                found += child.find(tag, **attributes)
        return found

    def one(self, tag: str | None = None, **attributes: str) -> Element:
        found = self.find(tag, **attributes)
        assert len(found) == 1, (tag, attributes, len(found))
        return found[0]

    @property
    def text(self) -> str:
        """What is read: without scripts and styles, white space as one blank."""
        return " ".join(self._text().split())

    def _text(self) -> str:
        if self.tag in RAW:
            return ""
        block = self.tag in {"p", "small", "td", "th", "li", "dt", "dd", "h1", "h2", "h3", "tr", "pre"}
        text = "".join(child if isinstance(child, str) else child._text() for child in self.inside)
        return f" {text} " if block else text

    def rows(self) -> dict[str, list[str]]:
        """The texts of a table's cells, by row head."""
        return {
            row.find("th")[0].text: [cell.text for cell in row.find("td")]
            for row in self.find("tr")
            if row.find("th", scope="row")
        }


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"td", "tr"} and self.open[-1].tag == "td":
            self.open.pop()
        if tag == "tr" and self.open[-1].tag == "tr":
            self.open.pop()
        element = Element(tag, dict(attrs))
        self.open[-1].inside.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].inside.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.open[-1].tag != tag:
            assert self.open[-1].tag in {"td", "tr"}, f"</{tag}> ends <{self.open[-1].tag}>"
            self.open.pop()
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def read(html: str) -> Element:
    """The page's tree; fails on tags that are not closed in order."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == [reader.root]
    return reader.root
