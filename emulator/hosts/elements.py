"""The XML of a web.config as a tree that knows its lines. It is not trusted: no DOCTYPE, no great depth."""

from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

MOST_BYTES = 1024 * 1024
_MOST_DEPTH = 100


class MalformedError(Exception):
    """Why a file is no web.config; it names the file and the line."""


class Element:
    """An element: its name without a namespace, its attributes, the elements in it, and its line."""

    __slots__ = ("attributes", "children", "line", "name")

    def __init__(self, name: str, attributes: dict[str, str], line: int) -> None:
        self.name = name
        self.attributes = attributes
        self.line = line
        self.children: list[Element] = []

    def get(self, name: str, default: str = "") -> str:
        """An attribute."""
        return self.attributes.get(name, default)

    def all(self, name: str) -> Iterator["Element"]:
        """The elements of that name in it."""
        return (one for one in self.children if one.name == name)

    def below(self, name: str) -> Iterator["Element"]:
        """The elements of that name in it, however deep."""
        for one in self.children:
            if one.name == name:
                yield one
            yield from one.below(name)

    def is_true(self, name: str, default: bool) -> bool:
        """An attribute that says yes or no."""
        written = self.get(name).strip().lower()
        return default if written not in {"true", "false"} else written == "true"

    def number(self, name: str, default: int) -> int:
        """An attribute that is a whole number; what is none counts as not there."""
        written = self.get(name).strip()
        return int(written) if written.isascii() and written.isdigit() and len(written) < 16 else default


def parse(content: bytes, name: str) -> Element:
    """The root element of a file; MalformedError, which names the file by `name`, if it is no XML to be read here."""
    if len(content) > MOST_BYTES:
        raise MalformedError(f"{name}: it has more than {MOST_BYTES:,} bytes")
    top = Element("", {}, 0)
    open_ones = [top]
    parser = expat.ParserCreate(namespace_separator=" ")

    def begin(tag: str, attributes: dict[str, str]) -> None:
        if len(open_ones) > _MOST_DEPTH:
            raise MalformedError(f"{name}:{parser.CurrentLineNumber}: elements are nested too deep")
        element = Element(tag.rpartition(" ")[2], attributes, parser.CurrentLineNumber)
        open_ones[-1].children.append(element)
        open_ones.append(element)

    def refuse(*_: object) -> None:
        raise MalformedError(f"{name}:{parser.CurrentLineNumber}: a DOCTYPE is not allowed here")

    parser.StartElementHandler = begin
    parser.EndElementHandler = lambda _tag: open_ones.pop()
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise MalformedError(f"{name}:{error.lineno}: {expat.ErrorString(error.code)}") from None
    except (LookupError, ValueError, UnicodeError) as error:  # an encoding that Python does not know, or not as it says
        raise MalformedError(f"{name}:{parser.CurrentLineNumber}: {error}") from None
    return top.children[0]


def load(path: Path) -> Element:
    """The root element of a file."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise MalformedError(f"{path.name}: {error.strerror}") from None
    return parse(content, path.name)
