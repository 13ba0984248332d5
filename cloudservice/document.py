"""An untrusted XML file as a tree whose every fault is gathered with its line."""

import functools
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from cloudservice import element, encoding, names, rules, syntax
from cloudservice.element import Element, Node
from cloudservice.encoding import Encoding
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown

MAX_BYTES = 4 * 1024 * 1024
"""Far above any real definition; a file beyond it is refused before it is parsed."""
_MOST_GUESSES = 10
"""Misspelt names of a file for which it is guessed what was meant, which takes time."""
_MOST_TOLD = 1000
"""Characters of a message."""
MOST_FAULTS = 500
"""Faults that are worth telling one by one."""
_LONGEST = 32_767
"""Characters that Windows takes in a path, a command line or a variable; a setting's value may be longer."""
_TOO_LONG = etree.XPath("//@*[string-length()>$longest][name()!='value' or local-name(..)!='Setting']")
_MARK = "\ufeff"
_PARSER = etree.XMLParser(encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
_DOCTYPE = re.compile(r"(?:\s+|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)


@dataclass
class Document:
    """A parsed file of `size` bytes and the faults found in it so far.

    `tree` is the whole of it, `root` the elements of the root's namespace. Once so much is wrong that it `is_hopeless`,
    no more is noted. `torn` are the names of the parts right below the root (empty for one without a name) that hold an
    element that is not known: what seems to be missing there may stand in it.
    """

    path: Path
    tree: Node
    size: int
    encoding: Encoding
    faults: list[Fault] = field(default_factory=list)
    is_hopeless: bool = False
    torn: set[str] = field(default_factory=set)
    guesses: int = 0

    @functools.cached_property
    def root(self) -> Element:
        """The root of the elements; alone if so much is wrong that there is no use in reading them."""
        return element.of(self.tree, {}) if self.is_hopeless else element.read(self.tree)

    @property
    def where(self) -> str:
        """The file as a user would name it."""
        return shown(self.path)

    def fault(self, place: Element, rule: str, wrong: str, remedy: str) -> None:
        """Note that a rule is broken at an element's line; the last fault of many says that there are more."""
        if self.is_hopeless:
            return
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(self.where, _short(wrong), _short(remedy), place.line, rule, rules.level(rule)))
        else:
            self.give_up()

    def meant(self, name: str, there: Iterable[str]) -> str | None:
        """Which of the names there was probably meant; None if none was, or after many guesses, which take time."""
        self.guesses += 1
        return names.similar(name, there) if self.guesses <= _MOST_GUESSES and not self.is_hopeless else None

    def give_up(self) -> None:
        """Note that there is no use in telling more."""
        wrong = f"more than {MOST_FAULTS} things in it are wrong"
        remedy = "Mend what is told, or begin again from a file that is right"
        self.faults.append(Fault(self.where, wrong, remedy, self.tree.sourceline, "too-many-faults"))
        self.is_hopeless = True


def load(path: Path, root: str, *namespaces: str) -> Document:
    """Read and parse a file; raise ServiceError if it is not a `root` document of one of the namespaces."""
    return parse(path, read(path), root, *namespaces)


def read(path: Path) -> bytes:
    """The content of a file; ServiceError if there is none, or one that no definition could have."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a device may have no end, and a pipe no writer
            raise _error(path, "unreadable", "it is no ordinary file", "Put a file there")
        if found.st_size > MAX_BYTES:
            raise _error(path, "too-large", f"the file has more than {MAX_BYTES:,} bytes", "Shorten it")
        with path.open("rb") as file:
            return file.read(found.st_size)
    except FileNotFoundError:
        raise _error(path, "unreadable", "there is no such file", "Create it, or name another one") from None
    except OSError as error:
        raise _error(path, "unreadable", f"it cannot be read: {error.strerror}", "Check its permissions") from None


def parse(path: Path, content: bytes, root: str, *namespaces: str) -> Document:
    """Parse the content of a file without entities, DTD or network.

    Raise ServiceError if it is no `root` document of one of the namespaces.
    """
    written = encoding.detect(content)
    if written is None:
        raise _error(path, "encoding", "it declares an encoding that is not known here", "Save it as UTF-8", 1)
    try:
        text = written.decode(content)
    except UnicodeError as error:
        line = 1 + content.count(b"\n", 0, getattr(error, "start", 0))
        wrong = f"it is not {written.codec} as its beginning says"
        raise _error(path, "encoding", wrong, "Save it as UTF-8, or declare the encoding it has", line) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # as any XML parser does; so that lines are counted alike
    if text.startswith(_MARK):
        raise _error(path, "encoding", "it begins with two byte order marks", "Save it with one, or without", 1)
    doctype = _DOCTYPE.match(text)
    if doctype:
        raise _doctype(path, 1 + text.count("\n", 0, doctype.end()))
    try:
        tree = etree.fromstring(text.encode(), _PARSER)
    except etree.XMLSyntaxError as error:
        raise _error(path, "not-xml", *syntax.trouble(error, text), error.lineno or 1) from None
    if tree.getroottree().docinfo.internalDTD is not None:  # whatever the pattern did not see
        raise _doctype(path, 1)
    syntax.correct_lines(tree, text)
    for attribute in _TOO_LONG(tree, longest=_LONGEST) if len(text) > _LONGEST else ():
        wrong = f"an attribute has more than {_LONGEST:,} characters"
        raise _error(path, "too-large", wrong, "Shorten it", attribute.getparent().sourceline)
    document = Document(path, tree, len(content), written)
    name = etree.QName(tree)
    if name.localname != root or (name.namespace or "") not in namespaces:
        document.fault(document.root, "wrong-root", *_wrong_root(name, root, namespaces[0]))
        raise ServiceError(*document.faults)
    return document


def _doctype(path: Path, line: int) -> ServiceError:
    return _error(path, "doctype", "a document type declaration is not allowed", "Remove the DOCTYPE", line)


def _wrong_root(name: etree.QName, root: str, namespace: str) -> tuple[str, str]:
    if name.localname != root:
        return f"the root element is {name.localname}", f"It must be {root}; perhaps this is another file"
    wrong = f"the root element is in {f'the namespace {name.namespace}' if name.namespace else 'no namespace'}"
    return wrong, f'Write xmlns="{namespace}" in it' if namespace else "Remove its xmlns"


def _error(path: Path, rule: str, wrong: str, remedy: str, line: int | None = None) -> ServiceError:
    return ServiceError(Fault(shown(path), wrong, remedy, line, rule, rules.level(rule)))


def _short(text: str) -> str:
    return text if len(text) <= _MOST_TOLD else f"{text[:_MOST_TOLD]}…"
