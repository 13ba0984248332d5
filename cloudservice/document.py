"""An untrusted XML file as a tree whose every fault is gathered with its line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

from lxml import etree

from cloudservice import encoding, rules
from cloudservice.encoding import Encoding
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown

Element = etree._Element
MAX_BYTES = 4 * 1024 * 1024
"""Far above any real definition; a file beyond it is refused before it is parsed."""
_MOST_TOLD = 1000
"""Characters of a message."""
MOST_FAULTS = 500
"""Faults that are worth telling one by one."""
_LONGEST = 32_767
"""Characters that Windows takes in a path, a command line or a variable; a setting's value may be longer."""
_TOO_LONG = etree.XPath("//@*[name()!='value'][string-length()>$longest]")
_DOCTYPE = re.compile(r"(?:\s+|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)
_WORDS = {"WebRole": "role", "WorkerRole": "role", "Role": "role", "LocalStorage": "local store"}


@dataclass
class Document:
    """A parsed file and the faults found in it so far. All names are looked up in `namespace`.

    `where` is the file as a user would name it, `size` its bytes. Once so much is wrong that it `is_hopeless`, no more
    is noted.

    Its readers take what the schema allows; for anything else they give the default, since the schema has told it.
    """

    where: str
    root: Element
    namespace: str
    size: int
    encoding: Encoding
    faults: list[Fault] = field(default_factory=list)
    is_hopeless: bool = False

    def fault(self, element: Element, rule: str, wrong: str, remedy: str) -> None:
        """Note that a rule is broken at the element's line; the last fault of many says that there are more."""
        if self.is_hopeless:
            return
        if len(self.faults) < MOST_FAULTS:
            line = element.sourceline
            self.faults.append(Fault(self.where, _short(wrong), _short(remedy), line, rule, rules.level(rule)))
        else:
            self.give_up()

    def give_up(self) -> None:
        """Note that there is no use in telling more."""
        wrong = f"more than {MOST_FAULTS} things in it are wrong"
        remedy = "Mend what is told, or begin again from a file that is right"
        self.faults.append(Fault(self.where, wrong, remedy, self.root.sourceline, "too-many-faults"))
        self.is_hopeless = True

    def children(self, element: Element | None, *path: str) -> Iterator[Element]:
        """The elements at a path of local names below `element`, in document order; none below None."""
        if element is None:
            return
        found = element.iterchildren(f"{{{self.namespace}}}{path[0]}")
        if len(path) == 1:
            yield from found
            return
        for child in found:
            yield from self.children(child, *path[1:])

    def child(self, element: Element | None, *path: str) -> Element | None:
        """The first element at `path`, if any."""
        return next(self.children(element, *path), None)

    def either(self, element: Element, *names: str) -> Iterator[Element]:
        """The children of `element` that have one of the local names, in document order."""
        return element.iterchildren(*(f"{{{self.namespace}}}{name}" for name in names))

    @overload
    def number(self, element: Element, name: str, default: int) -> int: ...
    @overload
    def number(self, element: Element, name: str, default: None = None) -> int | None: ...
    def number(self, element: Element, name: str, default: int | None = None) -> int | None:
        """A whole number."""
        text = element.get(name)
        return int(text) if text is not None and is_number(text) else default

    def boolean(self, element: Element, name: str, default: bool) -> bool:
        """An XML Schema boolean."""
        text = element.get(name)
        return default if text is None else text.strip() in {"true", "1"}

    def label(self, element: Element) -> str:
        """How a message names an element: role 'web', Setting 'Title', Startup."""
        name = element.get("name")
        local = local_name(element)
        return f"{_WORDS.get(local, local)} '{name}'" if name else local

    def owner(self, element: Element) -> str:
        """How a message names an element that has no name of its own: role 'web' and Startup."""
        if element.get("name"):
            return self.label(element)
        for above in element.iterancestors():
            if above.get("name") and above.getparent() is not None:
                return f"{local_name(element)} of {self.label(above)}"
        return local_name(element)


def is_number(text: str) -> bool:
    """Whether it is a whole number of a sane length; int() alone takes much more, and refuses thousands of digits."""
    return bool(re.fullmatch(r"\s*[+-]?[0-9]{1,10}\s*", text, re.ASCII))


def local_name(element: Element) -> str:
    """The element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def load(path: Path, root: str, namespace: str) -> Document:
    """Read and parse a file; raise ServiceError if it is not a `root` document."""
    where = shown(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _error(where, "too-large", f"the file has {size:,} bytes", f"Keep it under {MAX_BYTES:,}")
        return parse(path, path.read_bytes(), root, namespace)
    except FileNotFoundError:
        raise _error(where, "unreadable", "there is no such file", "Create it, or name another one") from None
    except OSError as error:
        raise _error(where, "unreadable", f"it cannot be read: {error.strerror}", "Check its permissions") from None


def parse(path: Path, content: bytes, root: str, namespace: str) -> Document:
    """Parse the content of a file without entities, DTD or network; raise ServiceError if it is no `root` document."""
    where = shown(path)
    written = encoding.detect(content)
    if written is None:
        raise _error(where, "encoding", "it declares an encoding that is not known here", "Save it as UTF-8", 1)
    try:
        text = written.decode(content)
    except UnicodeError as error:
        line = 1 + content.count(b"\n", 0, getattr(error, "start", 0))
        wrong = f"it is not {written.codec} as its beginning says"
        raise _error(where, "encoding", wrong, "Save it as UTF-8, or declare the encoding it has", line) from None
    doctype = _DOCTYPE.match(text)
    if doctype:
        wrong = "a document type declaration is not allowed"
        raise _error(where, "doctype", wrong, "Remove the DOCTYPE", 1 + text.count("\n", 0, doctype.end()))
    parser = etree.XMLParser(encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        tree = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        wrong = f"not well-formed XML: {_first_line(error)}"
        raise _error(where, "not-xml", wrong, "Mend the XML there", error.lineno or 1) from None
    if len(text) > _LONGEST and _TOO_LONG(tree, longest=_LONGEST):
        raise _error(where, "too-large", f"an attribute has more than {_LONGEST:,} characters", "Shorten it")
    document = Document(where, tree, namespace, len(content), written)
    if tree.tag != (f"{{{namespace}}}{root}" if namespace else root):
        document.fault(
            tree,
            "wrong-root",
            f"the root element is {tree.tag!s}",
            f"It must be {root} in {namespace or 'no namespace'}",
        )
        raise ServiceError(*document.faults)
    return document


def _error(where: str, rule: str, wrong: str, remedy: str, line: int | None = None) -> ServiceError:
    return ServiceError(Fault(where, wrong, remedy, line, rule, rules.level(rule)))


def _short(text: str) -> str:
    return text if len(text) <= _MOST_TOLD else f"{text[:_MOST_TOLD]}…"


def _first_line(error: etree.XMLSyntaxError) -> str:
    message = str(error.msg or "syntax error").splitlines()[0]
    return message.partition(", line ")[0].rstrip(".")
