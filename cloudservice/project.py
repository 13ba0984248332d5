"""Projects of Visual Studio: which folder is which role, and which files belong to it.

Source: the cloud service and Python project types of Visual Studio 2012 to 2017; MSBuild's own rules for item lists.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from cloudservice import document, spelling
from cloudservice.document import Document
from cloudservice.element import Node
from cloudservice.errors import ServiceError

NAMESPACE = "http://schemas.microsoft.com/developer/msbuild/2003"
ROOT = "Project"
_WILD = re.compile(r"[*?]")
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
    """A role of a cloud service project: the file of the role's own project."""

    role: str
    project: Path


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a Python project that belong into a package: paths in lower case, and patterns, below its folder."""

    paths: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]
    excluded: tuple[re.Pattern[str], ...]

    def holds(self, path: str) -> bool:
        """Whether a file is meant, by its path below the project's folder with `/`; in any case, as on Windows."""
        meant = path.lower() in self.paths or any(pattern.fullmatch(path) for pattern in self.patterns)
        return meant and not any(pattern.fullmatch(path) for pattern in self.excluded)


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
        found.append(Reference(name, spelling.find(path.parent, _slashes(written))))
    return tuple(found)


def listing(path: Path) -> Listing:
    """The files that a .pyproj puts into a package: what it compiles and what it calls content."""
    items = [element for name in _PACKAGED for element in _items(_load(path), name)]
    included = [each for element in items for each in _paths(element.get("Include", ""))]
    excluded = [each for element in items for each in _paths(element.get("Exclude", ""))]
    return Listing(
        frozenset(each.lower() for each in included if not _WILD.search(each)),
        tuple(_pattern(each) for each in included if _WILD.search(each)),
        tuple(map(_pattern, excluded)),
    )


def property_of(path: Path, name: str) -> str:
    """The last value of a property that a project sets without a variable in it; empty if there is none."""
    read = _load(path)
    values = [
        (element.text or "").strip()
        for group in read.tree.iterchildren("{*}PropertyGroup")
        for element in group.iterchildren(f"{{*}}{name}")
    ]
    return next((value for value in reversed(values) if value and "$(" not in value), "")


def _load(path: Path) -> Document:
    """Projects of today have no namespace, those of Visual Studio 2017 and before have MSBuild's."""
    try:
        return document.load(path, ROOT, NAMESPACE)
    except ServiceError as error:
        if all(fault.rule == "wrong-root" for fault in error.faults):
            with contextlib.suppress(ServiceError):
                return document.load(path, ROOT, "")
        raise


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


def _pattern(written: str) -> re.Pattern[str]:
    """`**/` is any number of folders, `*` and `?` stay within one name."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", written)
    meant = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meant.get(part) or re.escape(part) for part in parts), re.IGNORECASE)
