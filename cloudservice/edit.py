"""Edits of an XML file that keep every other byte: what is changed is found by its place in the text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from cloudservice import encoding
from cloudservice.encoding import Encoding

_TAG = re.compile(rb"""<[^\s/>]+(?:[^"'>]|"[^"]*"|'[^']*')*>""")
_PREFIX = re.compile(rb"<([^\s/>:]+:)")
_ATTRIBUTE = re.compile(rb"""([^\s=<]+)\s*=\s*("[^"]*"|'[^']*')""")
_UNIT = "  "
"""The indentation of fragments, and of a file that shows none."""
_ESCAPES = {"&": "&amp;", "<": "&lt;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
_QUOTES = {b'"': ('"', "&quot;"), b"'": ("'", "&apos;")}
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(eq=False, slots=True)
class Node:
    """An element and where it stands: `start` to `outer` with its tags, `inner` to `end` between them.

    An empty tag has nothing between: its `inner`, `end` and `outer` are the same.
    """

    tag: str
    attributes: dict[str, str]
    start: int
    inner: int
    parent: "Node | None"
    end: int = 0
    outer: int = 0
    children: list["Node"] = field(default_factory=list)

    def named(self, *names: str, **attributes: str) -> Iterator["Node"]:
        """The children with one of the local names, in the node's namespace, that have these attributes."""
        space = self.tag.rpartition("}")[0]
        tags = {f"{space}}}{name}" if space else name for name in names}
        for child in self.children:
            if child.tag in tags and attributes.items() <= child.attributes.items():
                yield child


class UneditableError(Exception):
    """The file is well-formed, but cannot be changed without changing what it does not concern."""


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a file as UTF-8, the elements in it, and how it is written."""

    text: bytes
    root: Node
    written: Encoding

    def append(self, parent: Node, fragment: str) -> bytes:
        r"""The file with an element put at the end of another.

        The lines of `fragment` are ended by `\n` and indented by two blanks; it takes on the prefix of the parent's
        namespace, and the indentation and line ends of the file.
        """
        lines = self._prefixed(parent, fragment).removesuffix("\n").split("\n")
        newline = "\r\n" if b"\r\n" in self.text else "\n"
        inside = self._inside(parent)
        if inside is None:
            return self._put(parent, "".join(line.strip() for line in lines))
        unit = self._unit()
        shifted = [inside + _shifted(line, unit) for line in lines]
        line_start = self.text.rfind(b"\n", 0, parent.end) + 1
        if parent.inner != parent.outer and not self.text[line_start : parent.end].strip():
            return self._replaced(line_start, line_start, "".join(line + newline for line in shifted))
        closing = newline + (self._indentation(parent) or "")
        return self._put(parent, "".join(newline + line for line in shifted) + closing)

    def remove(self, node: Node) -> bytes:
        """The file without an element; with the lines that it has for itself."""
        start, outer = node.start, node.outer
        line_start = self.text.rfind(b"\n", 0, start) + 1
        line_end = self.text.find(b"\n", outer) + 1 or len(self.text)
        if not self.text[line_start:start].strip() and not self.text[outer:line_end].strip():
            start, outer = line_start, line_end
        return self._replaced(start, outer, "")

    def set_attribute(self, node: Node, name: str, value: str) -> bytes:
        """The file with another value of an attribute, in the quotes that are there; a new one stands last."""
        tag = _tag(self.text, node.start)
        for match in _ATTRIBUTE.finditer(tag):
            if match[1] == name.encode():
                start, end = (node.start + place for place in match.span(2))
                return self._replaced(start + 1, end - 1, _escaped(value, self.text[start : start + 1]))
        at = node.start + len(tag.rstrip(b"/>").rstrip())
        text = _escaped(value, b'"')
        return self._replaced(at, at, f' {name}="{text}"')

    def _put(self, parent: Node, inner: str) -> bytes:
        """The file with text right before the end tag of an element, which an empty tag is given."""
        if parent.inner != parent.outer:
            return self._replaced(parent.end, parent.end, inner)
        tag = _tag(self.text, parent.start).decode()
        name = tag[1:].split()[0].rstrip("/>")
        return self._replaced(parent.start, parent.outer, f"{tag[:-2].rstrip()}>{inner}</{name}>")

    def _prefixed(self, parent: Node, fragment: str) -> str:
        prefix = _PREFIX.match(self.text, parent.start)
        return re.sub(r"<(/?)(?=\w)", rf"<\1{prefix[1].decode()}", fragment) if prefix else fragment

    def _inside(self, parent: Node) -> str | None:
        """How a further child is indented; None if it stands on the line of its siblings or its parent."""
        if parent.children:
            return self._indentation(parent.children[-1])
        own = self._indentation(parent)
        if own is None:
            return self._unit() if parent.parent is None else None
        return own + self._unit()

    def _unit(self) -> str:
        """By how much the file indents."""
        for child in self.root.children:
            indentation = self._indentation(child)
            if indentation:
                return indentation
        return _UNIT

    def _indentation(self, node: Node) -> str | None:
        """The blanks before an element on its line; None if it has not begun the line."""
        line_start = self.text.rfind(b"\n", 0, node.start) + 1
        before = self.text[line_start : node.start]
        if before.strip() or (line_start == 0 and node.parent is not None):
            return None
        return before.decode()

    def _replaced(self, start: int, end: int, text: str) -> bytes:
        return self.written.encode((self.text[:start] + text.encode() + self.text[end:]).decode())


def parse(content: bytes) -> Source:
    """The elements of a file that has been read without an error. UneditableError if it cannot be written back."""
    written = encoding.detect(content)
    if written is None:
        raise UneditableError("its encoding is not known")
    text = written.decode(content)
    if written.encode(text) != content:
        raise UneditableError(f"its {written.codec} cannot be written back as it is")
    reader = _Reader(text.encode())
    if reader.root is None:
        raise UneditableError("it has no element")
    return Source(reader.text, reader.root, written)


def is_text(value: str) -> bool:
    """Whether XML can hold the value in an attribute."""
    return not _NO_CHARACTER.search(value)


class _Reader:
    """Notes where each element begins and ends."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.root: Node | None = None
        self._open: list[Node] = []
        self._parser = expat.ParserCreate("utf-8", "}")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        try:
            self._parser.Parse(text, True)
        except expat.ExpatError as error:
            raise UneditableError(f"it cannot be edited: {error}") from None

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        start = self._parser.CurrentByteIndex
        parent = self._open[-1] if self._open else None
        node = Node(tag, attributes, start, start + len(_tag(self.text, start)), parent)
        if parent is None:
            self.root = node
        else:
            parent.children.append(node)
        self._open.append(node)

    def _end(self, _tag_name: str) -> None:
        node = self._open.pop()
        if self.text[node.inner - 2 : node.inner] == b"/>":
            node.end = node.outer = node.inner
        else:
            node.end = self._parser.CurrentByteIndex
            node.outer = self.text.index(b">", node.end) + 1


def _tag(text: bytes, start: int) -> bytes:
    found = _TAG.match(text, start)
    if found is None:
        raise UneditableError(f"there is no tag at byte {start}")
    return found[0]


def _shifted(line: str, unit: str) -> str:
    """A line of a fragment with the file's own indentation."""
    stripped = line.lstrip(" ")
    return unit * ((len(line) - len(stripped)) // len(_UNIT)) + stripped


def _escaped(value: str, quote: bytes) -> str:
    own, reference = _QUOTES[quote]
    return "".join(reference if character == own else _ESCAPES.get(character, character) for character in value)
