"""An untrusted XML file as a tree whose every fault is gathered with its line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown

Element = etree._Element
MAX_BYTES = 16 * 1024 * 1024
"""Far above any real definition; a file beyond it is refused before it is parsed."""


@dataclass
class Document:
    """A parsed file and the faults found in it so far. All names are looked up in `namespace`."""

    path: Path
    root: Element
    namespace: str
    faults: list[Fault] = field(default_factory=list)

    def fault(self, element: Element, wrong: str, remedy: str) -> None:
        """Note a fault at the element's line."""
        self.faults.append(Fault(f"{shown(self.path)}:{element.sourceline}", wrong, remedy))

    def children(self, element: Element, path: str) -> Iterator[Element]:
        """The elements at a `/`-separated path of local names below `element`, in document order."""
        qualified = "/".join(f"{{{self.namespace}}}{name}" for name in path.split("/"))
        return element.iterfind(qualified)

    def child(self, element: Element, path: str) -> Element | None:
        """The first element at `path`, if any."""
        return next(self.children(element, path), None)

    def attribute(self, element: Element, name: str, default: str | None = None) -> str:
        """An attribute's value; a missing or empty one without a default is a fault."""
        value = element.get(name, default)
        if value:
            return value
        if value is None or default is None:
            self.fault(element, f"{self.label(element)} has no {name}", f'Add {name}="…" to it')
        return ""

    def number(self, element: Element, name: str, limits: range, default: int | None = None) -> int | None:
        """A whole number inside `limits`; anything else is a fault and gives None."""
        text = element.get(name)
        if text is None and default is not None:
            return default
        if text is not None and is_number(text) and int(text) in limits:
            return int(text)
        span = f"Write a whole number from {limits.start} to {limits.stop - 1}"
        self.fault(element, f"{self.label(element)} has {name} {_quoted(text)}", span)
        return None

    def boolean(self, element: Element, name: str, default: bool) -> bool:
        """An XML Schema boolean; anything else is a fault and gives the default."""
        text = element.get(name)
        if text is None:
            return default
        if text.strip() not in {"true", "false", "0", "1"}:
            self.fault(element, f"{self.label(element)} has {name} {_quoted(text)}", "Write true or false")
            return default
        return text.strip() in {"true", "1"}

    def choice(self, element: Element, name: str, values: tuple[str, ...], default: str | None = None) -> str:
        """One of `values`; anything else is a fault and gives the first."""
        text = element.get(name, default)
        if text in values:
            return str(text)
        self.fault(element, f"{self.label(element)} has {name} {_quoted(text)}", f"Write {' or '.join(values)}")
        return values[0]

    def label(self, element: Element) -> str:
        """How a message names an element: role 'web', Setting 'Title', Startup."""
        local = local_name(element)
        words = {"WebRole": "role", "WorkerRole": "role", "Role": "role"}
        name = element.get("name")
        return f"{words.get(local, local)} '{name}'" if name else local


def is_number(text: str) -> bool:
    """Whether it is a whole number of a sane length; int() alone takes much more, and refuses thousands of digits."""
    return bool(re.fullmatch(r"\s*[0-9]{1,9}\s*", text))


def local_name(element: Element) -> str:
    """The element's name without its namespace."""
    return etree.QName(element).localname


def load(path: Path, root: str, namespace: str) -> Document:
    """Parse a file without entities, DTD or network; raise ServiceError if it is not a `root` document."""
    where = shown(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ServiceError(Fault(where, f"the file has {size:,} bytes", f"Keep it under {MAX_BYTES:,}"))
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        tree = etree.fromstring(path.read_bytes(), parser)
    except FileNotFoundError:
        raise ServiceError(Fault(where, "there is no such file", "Create it, or name another one")) from None
    except OSError as error:
        raise ServiceError(Fault(where, f"it cannot be read: {error.strerror}", "Check its permissions")) from None
    except etree.XMLSyntaxError as error:
        line = f"{where}:{error.lineno or 1}"
        raise ServiceError(Fault(line, f"not well-formed XML: {_first_line(error)}", "Mend the XML there")) from None
    if tree.getroottree().docinfo.doctype:
        raise ServiceError(Fault(f"{where}:1", "a document type declaration is not allowed", "Remove the DOCTYPE"))
    document = Document(path, tree, namespace)
    if tree.tag != f"{{{namespace}}}{root}":
        document.fault(tree, f"the root element is {tree.tag!s}", f"It must be {root} in {namespace}")
        raise ServiceError(*document.faults)
    return document


def _quoted(text: str | None) -> str:
    return "missing" if text is None else f"'{text}'"


def _first_line(error: etree.XMLSyntaxError) -> str:
    message = str(error.msg or "syntax error").splitlines()[0]
    return message.partition(", line ")[0].rstrip(".")
