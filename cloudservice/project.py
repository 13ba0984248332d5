"""Projects of Visual Studio: which folder is which role, and which files belong to it.

Source: the cloud service and Python project types of Visual Studio 2012 to 2017; MSBuild's own rules for item lists.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard
from urllib.parse import unquote

from cloudservice import document, rules, spelling
from cloudservice.document import Document
from cloudservice.element import Node
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown

NAMESPACE = "http://schemas.microsoft.com/developer/msbuild/2003"
ROOT = "Project"
_WILD = re.compile(r"[*?]")
_MOST_PATTERNS = 1000
"""Far above any real project; each is held against every file."""
_PACKAGED = ("Compile", "Content")
LANGUAGES = {
    ".pyproj": "Python",
    ".csproj": ".NET",
    ".vbproj": ".NET",
    ".fsproj": ".NET",
    ".ccproj": "",
    ".njsproj": "Node.js",
    ".phpproj": "PHP",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A role of a cloud service project: the file of the role's own project, and the line that names it."""

    role: str
    project: Path
    line: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path with wildcards, as the patterns of its names; None stands for any number of folders."""

    names: tuple[re.Pattern[str] | None, ...]

    def matches(self, path: str) -> bool:
        """Whether it means a path with `/`, in any case."""
        there = path.split("/")
        ends = {0}  # how many names of the path the pattern's names so far may have taken
        for name in self.names:
            if name is None:
                ends = set(range(min(ends), len(there) + 1)) if ends else ends
            else:
                ends = {end + 1 for end in ends if end < len(there) and name.fullmatch(there[end])}
        return len(there) in ends


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a project whose patterns mean files, but for those it excludes itself."""

    included: tuple[Pattern, ...]
    excluded: tuple[Pattern, ...]

    def holds(self, path: str) -> bool:
        """Whether it means a file."""
        meant = any(pattern.matches(path) for pattern in self.included)
        return meant and not any(pattern.matches(path) for pattern in self.excluded)


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a Python project that belong into a package: paths below its folder in lower case, and patterns."""

    paths: frozenset[str]
    items: tuple[Item, ...]

    def holds(self, path: str) -> bool:
        """Whether a file is meant, by its path below the project's folder with `/`; in any case, as on Windows."""
        return path.lower() in self.paths or any(item.holds(path) for item in self.items)


def find(folder: Path) -> Path | None:
    """The cloud service project in a service's folder, if there is one."""
    found = sorted(name for name in os.listdir(folder) if name.lower().endswith(".ccproj"))
    return folder / found[0] if found else None


def references(path: Path) -> tuple[Reference, ...]:
    """The roles that a .ccproj refers to. ServiceError if it is no project."""
    read = _load(path)
    found = []
    for element in _items(read, "ProjectReference"):
        written = element.get("Include", "")
        name = _metadata(element, "RoleName") or _metadata(element, "Name") or Path(_slashes(written)).stem
        found.append(Reference(name, spelling.find(path.parent, _slashes(written)), element.sourceline or 0))
    return tuple(found)


def listing(path: Path) -> Listing:
    """The files that a .pyproj puts into a package: what it compiles and what it calls content.

    ServiceError if it is no project, or has too many patterns.
    """
    read = _load(path)
    paths: set[str] = set()
    items = []
    patterns = 0
    for element in (each for name in _PACKAGED for each in _items(read, name)):
        included, excluded = (list(_paths(element.get(name, ""))) for name in ("Include", "Exclude"))
        if excluded or any(map(_WILD.search, included)):
            patterns += len(included) + len(excluded)
            items.append(Item(tuple(map(_pattern, included)), tuple(map(_pattern, excluded))))
        else:
            paths.update(each.lower() for each in included)
        if patterns > _MOST_PATTERNS:
            wrong = f"it has more than {_MOST_PATTERNS} patterns of files"
            where = shown(path), wrong, "List folders with ** instead", element.sourceline
            raise ServiceError(Fault(*where, "too-large", rules.level("too-large")))
    return Listing(frozenset(paths), tuple(items))


def is_python(path: Path | None) -> TypeGuard[Path]:
    """Whether there is a project, and it is one for Python whose file is there."""
    return path is not None and path.suffix.lower() == ".pyproj" and path.is_file()


def startup_file(path: Path) -> str:
    """The program that a .pyproj starts; empty if it does not say. ServiceError if it is no project."""
    return _property(_load(path), "StartupFile")


def interpreters(path: Path) -> list[str]:
    """What a .pyproj says of its Python, in properties and for virtual environments; each ends in a version."""
    read = _load(path)
    named = [_property(read, name) for name in ("InterpreterVersion", "InterpreterId")]
    return [*named, *(_metadata(element, "Version") for element in _items(read, "Interpreter"))]


def _property(read: Document, name: str) -> str:
    """The last value of a property that a project sets without a variable in it; empty if there is none."""
    values = [
        (element.text or "").strip()
        for group in read.tree.iterchildren("{*}PropertyGroup")
        for element in group.iterchildren(f"{{*}}{name}")
    ]
    return next((value for value in reversed(values) if value and "$(" not in value), "")


def _load(path: Path) -> Document:
    """Projects of today have no namespace, those of Visual Studio 2017 and before have MSBuild's."""
    return document.load(path, ROOT, NAMESPACE, "")


def _items(read: Document, name: str) -> Iterator[Node]:
    for group in read.tree.iterchildren("{*}ItemGroup"):
        yield from group.iterchildren(f"{{*}}{name}")


def _metadata(element: Node, name: str) -> str:
    found = [(child.text or "").strip() for child in element.iterchildren(f"{{*}}{name}")]
    return found[0] if found else element.get(name, "")


def _paths(written: str) -> Iterator[str]:
    """The paths of an item list; one that holds a variable of MSBuild names no file of the folder."""
    for path in written.split(";"):
        if path.strip() and "$(" not in path and "@(" not in path:
            yield _slashes(path.strip()).removeprefix("./")


def _slashes(written: str) -> str:
    return unquote(written).replace("\\", "/")


def _pattern(written: str) -> Pattern:
    """`**` is any number of folders; `*` and `?` stay within one name; `*.*` is any name, with a dot or without."""
    return Pattern(tuple(None if name == "**" else _name_pattern(name) for name in written.split("/")))


def _name_pattern(name: str) -> re.Pattern[str]:
    """Each piece after a star is taken where it is first found, so that no name takes long."""
    first, *rest = ("*" if name == "*.*" else name).split("*")
    between = "".join(f"(?>.*?{_piece(piece)})" for piece in rest[:-1])
    last = f".*{_piece(rest[-1])}" if rest else ""
    return re.compile(f"{_piece(first)}{between}{last}", re.IGNORECASE | re.DOTALL)


def _piece(text: str) -> str:
    return re.escape(text).replace(r"\?", ".")
