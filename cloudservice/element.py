"""Elements as the readers and rules use them: found once, cheap to ask again and again."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import overload

from lxml import etree

Node = etree._Element
_WORDS = {"WebRole": "role", "WorkerRole": "role", "Role": "role", "LocalStorage": "local store"}
_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,10}\s*", re.ASCII)


@dataclass(eq=False, slots=True)
class Element:
    """An element: its local name, its attributes, the line of its start tag, and the elements of its namespace in it.

    Its readers take what the schema allows; for anything else they give the default, since the schema has told it.
    """

    name: str
    attributes: dict[str, str]
    line: int
    parent: "Element | None"
    children: list["Element"] = field(default_factory=list)

    @overload
    def get(self, attribute: str, default: str) -> str: ...
    @overload
    def get(self, attribute: str, default: None = None) -> str | None: ...
    def get(self, attribute: str, default: str | None = None) -> str | None:
        """An attribute as it is written."""
        return self.attributes.get(attribute, default)

    @overload
    def number(self, attribute: str, default: int) -> int: ...
    @overload
    def number(self, attribute: str, default: None = None) -> int | None: ...
    def number(self, attribute: str, default: int | None = None) -> int | None:
        """A whole number."""
        text = self.attributes.get(attribute)
        return int(text) if text is not None and is_number(text) else default

    def boolean(self, attribute: str, default: bool) -> bool:
        """An XML Schema boolean."""
        text = self.attributes.get(attribute)
        return default if text is None else text.strip() in {"true", "1"}

    def all(self, first: str, *rest: str) -> list["Element"]:
        """The elements at a path of names below this one, in document order."""
        found = [child for child in self.children if child.name == first]
        for name in rest if found else ():
            found = [child for element in found for child in element.children if child.name == name]
        return found

    def first(self, *path: str) -> "Element | None":
        """The first element at a path of names."""
        found = self.all(*path)
        return found[0] if found else None

    def either(self, *names: str) -> list["Element"]:
        """The children that have one of the names, in document order."""
        return [child for child in self.children if child.name in names]

    def descendants(self, name: str) -> Iterator["Element"]:
        """The elements of that name below this one, however deep, in document order."""
        for child in self.children:
            if child.name == name:
                yield child
            yield from child.descendants(name)

    @property
    def part(self) -> "Element":
        """The element right below the root that it is or lies in; the root itself for the root."""
        here = self
        while here.parent is not None and here.parent.parent is not None:
            here = here.parent
        return here

    @property
    def label(self) -> str:
        """How a message names it: role 'web', Setting 'Title', Startup."""
        name = self.attributes.get("name")
        return f"{_WORDS.get(self.name, self.name)} '{name}'" if name else self.name

    @property
    def owner(self) -> str:
        """How a message names it if it may have no name of its own: role 'web', or Startup of role 'web'."""
        above = self if self.attributes.get("name") else self.parent
        while above is not None and not (above.attributes.get("name") and above.parent):
            above = above.parent
        return self.label if above in {None, self} else f"{self.name} of {above.label}"


def read(root: Node) -> Element:
    """The elements of the root's namespace, as a tree; what lies in an element of another one is left out."""
    tag = str(root.tag)
    space = tag[: tag.rfind("}") + 1]
    found: dict[Node | None, Element] = {}
    for node in root.iter(f"{space}*"):
        parent = found.get(node.getparent())
        if parent is None and found:
            continue
        name, line = str(node.tag)[len(space) :], node.sourceline or 0
        found[node] = below = Element(name, dict(node.items()), line, parent, [])
        if parent is not None:
            parent.children.append(below)
    return found[root]


def of(node: Node, made: dict[Node, Element]) -> Element:
    """One element and what is above it, without what is in it; each is made once."""
    if node not in made:
        above = node.getparent()
        parent = None if above is None else of(above, made)
        made[node] = Element(local_name(node), dict(node.items()), node.sourceline or 0, parent)
    return made[node]


def is_number(text: str) -> bool:
    """Whether it is a whole number of a sane length; int() alone takes much more, and refuses thousands of digits."""
    return _NUMBER.fullmatch(text) is not None


def local_name(node: Node) -> str:
    """The node's name without its namespace."""
    return str(node.tag).rpartition("}")[2]
