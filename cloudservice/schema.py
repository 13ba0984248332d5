"""Our XML schemas of the two files, and their verdicts as faults that say what to do.

The schema files are the only place that says which elements, attributes and values there are; the remedies are read
from their documentation.
"""

import copy
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lxml import etree

from cloudservice import element, names
from cloudservice.document import MOST_FAULTS, Document
from cloudservice.element import Element, Node, local_name

FOLDER = Path(__file__).parent / "schemas"
_XS = "{http://www.w3.org/2001/XMLSchema}"
_SMALL = 30_000
"""Bytes up to which libxml2 is quick with any fault: each takes it time in proportion to the elements before it."""
_CHUNK = 50_000
_WITHDRAWN = {"VirtualMachineRole": "Azure withdrew it in 2012: make it a worker role, or a virtual machine"}
_ATTRIBUTE = re.compile(r"attribute '(\{[^}]*\})?([^']+)'")
_STEP = etree.XPath("*[$name='*' or name()=$name][$number]")


@dataclass(frozen=True, slots=True)
class _Child:
    """An element that may stand in another: the name of its type, whether it may stand there again, or has to once."""

    type: str
    repeats: bool
    required: bool


@dataclass(frozen=True, slots=True)
class _Type:
    """What an element may hold; attributes with what may be written in them."""

    children: Mapping[str, _Child]
    attributes: Mapping[str, str]


def validate(document: Document) -> None:
    """Note everything in the document that its schema does not allow."""
    root = local_name(document.tree)
    schema = _compiled(root)
    if document.size > _SMALL and _has_too_many(document, schema):
        document.give_up()
    elif not schema.validate(document.tree):
        _Judge(document, _types(root)).tell(root, schema)


def _has_too_many(document: Document, schema: etree.XMLSchema) -> bool:
    """Whether telling the faults would take too long; counting them in a stream takes no time."""
    parser = etree.XMLParser(schema=schema, resolve_entities=False, no_network=True)
    text = etree.tostring(document.tree)
    for start in range(0, len(text), _CHUNK):
        parser.feed(text[start : start + _CHUNK])
        if len(parser.feed_error_log) > MOST_FAULTS:
            return True
    return False


class _Judge:
    """Tells the faults of one document."""

    def __init__(self, document: Document, types: Mapping[str, _Type]) -> None:
        self.document = document
        self.types = types
        self.space = etree.QName(document.tree).namespace
        self.told: set[tuple[Node, str]] = set()
        self.robbed: set[Node] = set()
        self.steps: dict[tuple[Node, str], tuple[Node, str]] = {}
        self.places: dict[Node, Element] = {}

    def tell(self, root_type: str, schema: etree.XMLSchema) -> None:
        """Note what does not belong; then, since the schema stops at it, ask again for the rest without it."""
        rest = copy.deepcopy(self.document.tree)
        for parent, stranger, type_name in list(islice(self._strangers(rest, root_type), MOST_FAULTS + 1)):
            self._stranger(self._place(stranger), self._place(parent).owner, self.types[type_name].children, stranger)
            stranger.clear()  # to remove what has much in it takes lxml long
            parent.remove(stranger)
            self.robbed.add(parent)
        if self.document.is_hopeless:
            return
        schema.validate(rest)
        for error in islice(schema.error_log, 2 * MOST_FAULTS + 2):  # a value may be told twice
            node, type_name = self._find(rest, root_type, error.path or "")
            self._verdict(node, self.types[type_name], error.type_name, error.message)

    def _strangers(self, node: Node, type_name: str) -> Iterator[tuple[Node, Node, str]]:
        """Nodes that may not stand where they do, or not again, each with its parent and the parent's type."""
        seen = set()
        for child in node.iterchildren(etree.Element):
            declared = self._declared(child, type_name)
            if declared is None or (not declared.repeats and child.tag in seen):
                yield node, child, type_name
            else:
                yield from self._strangers(child, declared.type)
            seen.add(child.tag)

    def _declared(self, child: Node, type_name: str) -> _Child | None:
        name = etree.QName(child)
        return self.types[type_name].children.get(name.localname) if name.namespace == self.space else None

    def _stranger(self, stranger: Element, owner: str, allowed: Mapping[str, _Child], node: Node) -> None:
        name, space = local_name(node), etree.QName(node).namespace
        self.document.torn.add(stranger.part.get("name", ""))
        if space != self.space:
            wrong = f"{owner} holds {name} of {f'the namespace {space}' if space else 'no namespace'}"
            self.document.fault(stranger, "unknown-element", wrong, "Remove it")
        elif name in allowed:
            self.document.fault(stranger, "repeated-element", f"{owner} has a second {name}", "Make them one")
        else:
            remedy = _WITHDRAWN.get(name) or _instead(name, allowed, "It may hold")
            self.document.fault(stranger, "unknown-element", f"{owner} cannot hold {name}", remedy)

    def _find(self, root: Node, root_type: str, path: str) -> tuple[Node, str]:
        """The node at a path of libxml2's (`/*/*[2]/n:Role[1]`), and its type."""
        node, type_name = root, root_type
        for step in path.split("/")[2:]:
            if (node, step) not in self.steps:
                self.steps[node, step] = self._step(node, type_name, step)
            node, type_name = self.steps[node, step]
        return node, type_name

    def _step(self, parent: Node, parent_type: str, step: str) -> tuple[Node, str]:
        name, _, number = step.partition("[")
        node = _STEP(parent, name=name, number=int(number.rstrip("]") or 1))[0]
        declared = self._declared(node, parent_type)
        return node, parent_type if declared is None else declared.type

    def _place(self, node: Node) -> Element:
        return element.of(node, self.places)

    def _verdict(self, node: Node, known: _Type, kind: str, message: str) -> None:
        found = _ATTRIBUTE.search(message)
        space, name = (found[1] or "", found[2]) if found else ("", "")
        if space:
            wrong = f"{self._place(node).owner} has an attribute {name} of the namespace {space[1:-1]}"
            self.document.fault(self._place(node), "unknown-attribute", wrong, "Remove it")
            return
        if name and (node, name) in self.told:  # a value that breaks two rules of its type
            return
        self.told.add((node, name))
        place, allowed = self._place(node), known.attributes
        if kind == "SCHEMAV_CVC_COMPLEX_TYPE_3_2_1":
            remedy = _instead(name, allowed, "It may have")
            self.document.fault(place, "unknown-attribute", f"{place.owner} cannot have {name}", remedy)
        elif kind == "SCHEMAV_CVC_COMPLEX_TYPE_4":
            meant = f": {allowed[name]}" if allowed[name] else ""
            remedy = f'Add {name}="…" to it{meant}'
            self.document.fault(place, "missing-attribute", f"{place.owner} has no {name}", remedy)
        elif kind == "SCHEMAV_ELEMENT_CONTENT":
            if node not in self.robbed:
                self._missing(node, place, known)
        elif name:
            wrong = f"{place.owner} has {name} '{_short(place.get(name, ''))}'"
            self.document.fault(place, "value", wrong, f"Write {allowed.get(name) or 'another value'}")
        elif _text(node):
            wrong = f"{place.owner} holds the text '{_short(_text(node))}'"
            self.document.fault(place, "text", wrong, "Remove it; it means nothing there")

    def _missing(self, node: Node, place: Element, known: _Type) -> None:
        """What it has to hold, or one of what it may."""
        there = {local_name(child) for child in node.iterchildren(etree.Element)}
        required = [name for name, child in known.children.items() if child.required and name not in there]
        wanted = " and ".join(required) or " or ".join(known.children)
        self.document.fault(place, "missing-element", f"{place.owner} has no {wanted}", f"Add {wanted} to it")


def _text(node: Node) -> str:
    """The first text between its children; the schema wants not even blanks in an element without any."""
    pieces = (node.text, *(child.tail for child in node))
    return next((" ".join(piece.split()) for piece in pieces if piece and piece.strip()), "")


def _instead(name: str, allowed: Mapping[str, object], otherwise: str) -> str:
    """What was meant, if that can be guessed, else what there is."""
    meant = names.similar(name, allowed)
    if meant:
        return f"Write {meant}, if that was meant; otherwise remove it"
    return f"Remove it. {otherwise} {', '.join(sorted(allowed)) or 'nothing'}"


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"


@functools.cache
def _compiled(root: str) -> etree.XMLSchema:
    return etree.XMLSchema(_parsed(root))


def _parsed(root: str) -> etree._ElementTree:
    return etree.parse(FOLDER / f"{root}.xsd")


@functools.cache
def _types(root: str) -> Mapping[str, _Type]:
    """The schema's complex types by name; each element in it has a named type."""
    schema = _parsed(root).getroot()
    written = {each.get("name", ""): _documentation(each) for each in schema.iterchildren(f"{_XS}simpleType")}
    groups = {each.get("name", ""): each for each in schema.iterchildren(f"{_XS}attributeGroup")}
    types = {}
    for each in schema.iterchildren(f"{_XS}complexType"):
        holders = [each, *(groups[one.get("ref", "")] for one in each.iterchildren(f"{_XS}attributeGroup"))]
        attributes = [one for holder in holders for one in holder.iterchildren(f"{_XS}attribute")]
        types[each.get("name", "")] = _Type(
            {one.get("name", ""): _child(one) for one in each.iter(f"{_XS}element")},
            {one.get("name", ""): written.get(one.get("type", ""), "") for one in attributes},
        )
    return types


def _child(node: Node) -> _Child:
    """A child repeats where itself or its group may occur more than once; one of a choice is not required."""
    parent = node.getparent()
    holders = [node] if parent is None else [node, parent]
    repeats = any(one.get("maxOccurs") == "unbounded" for one in holders)
    optional = any(one.get("minOccurs") == "0" or one.tag == f"{_XS}choice" for one in holders)
    return _Child(node.get("type", ""), repeats, not optional)


def _documentation(node: Node) -> str:
    return node.findtext(f"{_XS}annotation/{_XS}documentation", "")
