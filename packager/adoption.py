"""Taking over a cloud service that Visual Studio made: what there is, what is missing, and how that is added."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cloudservice import definition, folder, location, source_rules, sources
from cloudservice.definition import Definition
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, write_whole
from cloudservice.service import Role, Source
from packager import ignored, scaffold, scripts, support
from packager.scaffold import Templates

_DEEP = 3
"""Folders below the one named in which a service is looked for."""
_NOT_OURS = {"bin", "obj", "packages", "node_modules"}
_CONFIG = "web.config"


@dataclass(frozen=True, slots=True)
class Adoption:
    """A service as it was found: the source of each role, the files that it lacks by their place, and remarks.

    `entries` are the new contents of the projects that have to list support files.
    """

    root: Path
    definition: Definition
    configurations: tuple[str, ...]
    sources: Mapping[str, Source]
    missing: Mapping[Path, bytes]
    entries: Mapping[Path, bytes]
    remarks: tuple[str, ...]


def find(start: Path) -> Path:
    """The service's folder: `start` or its file's, or the one folder below it that holds a definition."""
    place = start.parent if start.is_file() else start
    if not place.is_dir():
        raise ServiceError(Fault(shown(start), "there is no such folder", "Name the folder of a solution or a service"))
    if location.definition_file(place).is_file():
        return place
    found = [below for below in _below(place, _DEEP) if location.definition_file(below).is_file()]
    if not found:
        wrong = f"there is no {location.DEFINITION} in it or below it"
        raise ServiceError(Fault(shown(start), wrong, "Name the folder of a solution or a service"))
    if len(found) > 1:
        there = ", ".join(map(shown, found))
        raise ServiceError(Fault(shown(start), f"there are several services in it: {there}", "Name one of them"))
    return found[0]


def look(root: Path, templates: Templates) -> Adoption:
    """Read the service in `root`; nothing is written."""
    defined = definition.load(location.definition_file(root))
    if defined.document.faults:
        raise ServiceError(*defined.document.faults)
    found = sources.find(root, defined.roles)
    missing = _tasks(root, templates)
    entries: dict[Path, bytes] = {}
    remarks: list[str] = []
    for role in defined.roles:
        source = found.get(role.name)
        if source is None or source.language != "Python" or not source.folder.is_dir():
            continue
        if not source_rules.is_near(root, source.folder):
            remarks.append(f"{role.name}: {shown(source.folder)} is not in or beside the service and is left alone")
            continue
        wanted = _support(role, source, templates)
        far = [place for place in wanted if not source_rules.is_near(root, place.parent)]
        remarks += [f"{role.name}: {shown(place)} is not in or beside the service and is left alone" for place in far]
        wanted = {place: content for place, content in wanted.items() if place not in far}
        missing |= scaffold.missing(wanted)
        entries |= support.project_entries(root, source, wanted)
        told = (*_remarks(role, source), *ignored.advice(root, wanted))
        remarks += [f"{role.name}: {text}" for text in told]
    return Adoption(root, defined, tuple(folder.configurations(root)), found, missing, entries, tuple(remarks))


def add(adoption: Adoption) -> list[Path]:
    """Write what is missing, never over a file, and enter it in the projects that list their files."""
    scaffold.write_files(adoption.missing)
    for path, content in adoption.entries.items():
        write_whole(path.resolve(), content)
    return [*adoption.missing, *adoption.entries]


def _below(place: Path, deep: int) -> Iterator[Path]:
    for name in sorted(os.listdir(place)) if deep else ():
        below = place / name
        if below.is_dir() and not below.is_symlink() and name.lower() not in _NOT_OURS and not name.startswith("."):
            yield below
            yield from _below(below, deep - 1)


def _tasks(root: Path, templates: Templates) -> dict[Path, bytes]:
    """What makes a folder a service that Invoke knows, and keeps what is made there out of git."""
    values = {"name": root.name, "roles": ()}
    rendered = {file.path.name: file.content for file in templates.render(["service"], values)}
    wanted = {root / name: rendered[name] for name in (".gitignore", "tasks.py")}
    return scaffold.missing(wanted)


def _support(role: Role, source: Source, templates: Templates) -> dict[Path, bytes]:
    """The support files that the role uses, or would if it had any tasks, by their places."""
    used = scripts.used(role)
    there = support.places(role, source, templates)
    return {
        path: content for path, content in there.items() if path.name.lower() == _CONFIG or path.stem.lower() in used
    }


def _remarks(role: Role, source: Source) -> Iterator[str]:
    run = [name for task in role.tasks for name in scripts.names(task.command_line)]
    if scripts.CONFIGURES not in run:
        others = " unless another one does" if run else ""
        yield f"no startup task runs ConfigureCloudService.ps1, so none installs its packages{others}"
    yield from support.remarks_on(role, source)
