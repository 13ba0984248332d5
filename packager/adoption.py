"""Taking over a cloud service that Visual Studio made: what there is, what is missing, and how that is added."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cloudservice import changes, definition, folder, sources, spelling
from cloudservice.definition import Definition
from cloudservice.edit import Node
from cloudservice.edit import Source as Text
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, write_whole
from cloudservice.service import Role, Source
from packager import scaffold
from packager.scaffold import File

_IGNORES_BIN = re.compile(r"(?m)^/?(?:\*\*/)?(?:\[Bb\]|b|B)in/?\s*$")
_ABOVE = 3
"""Folders from the role upwards in which a .gitignore is looked for."""
_CONFIGURES = "configurecloudservice.ps1"


@dataclass(frozen=True, slots=True)
class Adoption:
    """A service as it was found: the source of each role, the files that it lacks by their place, and remarks."""

    root: Path
    definition: Definition
    configurations: tuple[str, ...]
    sources: Mapping[str, Source]
    missing: Mapping[Path, bytes]
    remarks: tuple[str, ...]


def find(start: Path) -> Path:
    """The service's folder: `start`, or the one folder right below it that holds a definition."""
    if not start.is_dir():
        raise ServiceError(Fault(shown(start), "there is no such folder", "Name the folder of a solution or a service"))
    places = [start, *sorted(path for path in start.iterdir() if path.is_dir())]
    found = [place for place in places if folder.definition_file(place).is_file()]
    if not found:
        wrong = f"there is no {folder.DEFINITION} in it or right below it"
        raise ServiceError(Fault(shown(start), wrong, "Name the folder of a solution or a service"))
    if found[0] != start and len(found) > 1:
        there = ", ".join(map(shown, found))
        raise ServiceError(Fault(shown(start), f"there are several services in it: {there}", "Name one of them"))
    return found[0]


def look(root: Path, python: str) -> Adoption:
    """Read the service in `root`; nothing is written. `python` is the version that a host without one installs."""
    defined = definition.load(folder.definition_file(root))
    if defined.document.faults:
        raise ServiceError(*defined.document.faults)
    found = sources.find(root, defined.roles)
    missing = {} if (root / "tasks.py").exists() else _tasks(root)
    remarks: list[str] = []
    for role in defined.roles:
        source = found[role.name]
        if source.language == "Python" and source.folder.is_dir():
            missing |= _support(role, source, python)
            remarks += _remarks(role, source)
    return Adoption(root, defined, tuple(folder.configurations(root)), found, missing, tuple(remarks))


def add(adoption: Adoption) -> list[Path]:
    """Write what is missing, never over a file, and enter it in the projects that list their files."""
    edits = {
        source.project: _listed(source.project, new)
        for source in adoption.sources.values()
        if source.project is not None and (new := _unlisted(source, adoption.missing))
    }
    scaffold.write_files(adoption.missing)
    for path, content in edits.items():
        write_whole(path, content)
    return [*adoption.missing, *edits]


def _tasks(root: Path) -> dict[Path, bytes]:
    rendered = scaffold.render(["service"], {"name": root.name})
    return {root / file.path: file.content for file in rendered if file.path.name == "tasks.py"}


def _support(role: Role, source: Source, python: str) -> dict[Path, bytes]:
    """The support files that the role lacks; a Python twin belongs to the script beside it, ours or another's."""
    values = {"name": role.name, "kind": role.kind, "python": python}
    rendered = {file.path: file for file in scaffold.render(["support", role.kind], values) if _is_support(file)}
    places = {path: spelling.find(source.folder, str(path)) for path in rendered}
    return {
        place: rendered[path].content
        for path, place in places.items()
        if not place.exists() and not (path.suffix == ".py" and places[path.with_suffix(".ps1")].exists())
    }


def _is_support(file: File) -> bool:
    return file.path.parent.name == "bin" or file.path.name == "web.config"


def _remarks(role: Role, source: Source) -> Iterator[str]:
    if not any(_CONFIGURES in task.command_line.lower() for task in role.tasks):
        yield f"{role.name}: no startup task runs ConfigureCloudService.ps1, so a host would not install its packages"
    inner = spelling.find(source.folder, "bin/web.config")
    if role.kind == "web" and inner.is_file() and not spelling.find(source.folder, "web.config").exists():
        yield f"{role.name}: {shown(inner)} belongs beside the application, one folder up"
    for above in (source.folder, *source.folder.parents[: _ABOVE - 1]):
        ignores = above / ".gitignore"
        if ignores.is_file() and _IGNORES_BIN.search(ignores.read_text(encoding="utf-8", errors="replace")):
            yield f"{role.name}: {shown(ignores)} ignores bin, so git would lose the support files; except them there"


def _unlisted(source: Source, missing: Iterable[Path]) -> list[str]:
    """The missing files of a role that its project would have to list, as a project writes them."""
    listing = sources.listing_of(source)
    if listing is None:
        return []
    below = [path.relative_to(source.folder) for path in missing if path.is_relative_to(source.folder)]
    return [str(path).replace("/", "\\") for path in below if not listing.holds(path.as_posix())]


def _listed(project: Path, names: Iterable[str]) -> bytes:
    """The project with further files as content."""
    return changes.apply(project, *(_with_content(name) for name in names))


def _with_content(name: str) -> changes.Change:
    def change(text: Text) -> bytes:
        entry = f'<Content Include="{name}" />\n'
        group = _item_group(text.root)
        if group is None:
            return text.append(text.root, f"<ItemGroup>\n  {entry}</ItemGroup>\n")
        return text.append(group, entry)

    return change


def _item_group(project: Node) -> Node | None:
    """The first group of content, else of sources."""
    for name in ("Content", "Compile"):
        for group in project.named("ItemGroup"):
            if next(group.named(name), None):
                return group
    return None
