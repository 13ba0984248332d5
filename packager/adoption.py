"""Taking over a cloud service that Visual Studio made: what there is, what is missing, and how that is added."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from cloudservice import changes, command_rules, commandline, definition, folder, source_rules, sources, spelling
from cloudservice.definition import Definition
from cloudservice.edit import Node
from cloudservice.edit import Source as Text
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, write_whole
from cloudservice.service import Role, Source
from packager import ignored, scaffold
from packager.scaffold import File

_DEEP = 3
"""Folders below the one named in which a service is looked for."""
_NOT_OURS = {"bin", "obj", "packages", "node_modules"}
_SCRIPTS = {".ps1", ".py", ".cmd", ".bat"}
_BATCH, _CONFIGURES, _LAUNCHES = "ps", "configurecloudservice", "launchworker"


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
    if folder.definition_file(place).is_file():
        return place
    found = [below for below in _below(place, _DEEP) if folder.definition_file(below).is_file()]
    if not found:
        wrong = f"there is no {folder.DEFINITION} in it or below it"
        raise ServiceError(Fault(shown(start), wrong, "Name the folder of a solution or a service"))
    if len(found) > 1:
        there = ", ".join(map(shown, found))
        raise ServiceError(Fault(shown(start), f"there are several services in it: {there}", "Name one of them"))
    return found[0]


def look(root: Path, python: str) -> Adoption:
    """Read the service in `root`; nothing is written. `python` is the version that a host without one installs."""
    defined = definition.load(folder.definition_file(root))
    if defined.document.faults:
        raise ServiceError(*defined.document.faults)
    found = sources.find(root, defined.roles)
    missing = _tasks(root)
    entries: dict[Path, bytes] = {}
    remarks: list[str] = []
    for role in defined.roles:
        source = found.get(role.name)
        if source is None or source.language != "Python" or not source.folder.is_dir():
            continue
        if not source_rules.is_near(root, source.folder):
            remarks.append(f"{role.name}: {shown(source.folder)} is not in or beside the service and is left alone")
            continue
        wanted = _support(role, source, python)
        far = [place for place in wanted if not source_rules.is_near(root, place.parent)]
        remarks += [f"{role.name}: {shown(place)} is not in or beside the service and is left alone" for place in far]
        wanted = {place: content for place, content in wanted.items() if place not in far}
        lacking = {place: content for place, content in wanted.items() if not os.path.lexists(place)}
        missing |= lacking
        listed = _unlisted(source, wanted)
        if source.project is not None and listed and source_rules.is_near(root, source.project):
            entries[source.project] = changes.apply(source.project, *map(_with_content, listed))
        remarks += _remarks(role, source)
        remarks += [f"{role.name}: {text}" for text in ignored.advice(root, wanted)]
    return Adoption(root, defined, tuple(folder.configurations(root)), found, missing, entries, tuple(remarks))


def add(adoption: Adoption) -> list[Path]:
    """Write what is missing, never over a file, and enter it in the projects that list their files."""
    scaffold.write_files(adoption.missing)
    for path, content in adoption.entries.items():
        write_whole(path.resolve(), content)
    return [*adoption.missing, *adoption.entries]


def foreign_script(source: Source) -> Path | None:
    """The role's ConfigureCloudService.ps1, if it is another than ours and so knows nothing of a bundle's wheels."""
    script = spelling.find(source.folder, "bin/ConfigureCloudService.ps1")
    return script if _is_foreign(script) else None


def _below(place: Path, deep: int) -> Iterator[Path]:
    for name in sorted(os.listdir(place)) if deep else ():
        below = place / name
        if below.is_dir() and not below.is_symlink() and name.lower() not in _NOT_OURS and not name.startswith("."):
            yield below
            yield from _below(below, deep - 1)


def _tasks(root: Path) -> dict[Path, bytes]:
    """What makes a folder a service that Invoke knows, and keeps what is made there out of git."""
    rendered = {file.path.name: file.content for file in scaffold.render(["service"], {"name": root.name})}
    wanted = {root / name: rendered[name] for name in (".gitignore", "tasks.py")}
    return {path: content for path, content in wanted.items() if not os.path.lexists(path)}


def _support(role: Role, source: Source, python: str) -> dict[Path, bytes]:
    """The support files that the role uses, or would if it had any tasks, by their places.

    A Python twin belongs to a script of ours, which names it; beside another's there is none.
    """
    values = {"name": role.name, "kind": role.kind, "python": python}
    rendered = [file for file in scaffold.render(["support", role.kind], values) if _is_support(file)]
    used = _used(role)
    places = {file.path: spelling.find(source.folder, str(file.path)) for file in rendered}
    return {
        places[file.path]: file.content
        for file in rendered
        if (file.path.name == "web.config" or file.path.stem.lower() in used)
        and not (file.path.suffix == ".py" and _is_foreign(places[file.path.with_suffix(".ps1")]))
    }


def _used(role: Role) -> set[str]:
    """The support scripts that the role's command lines name, without endings; the usual ones if it starts none."""
    tasks = {name for task in role.tasks for name in _scripts(task.command_line)} or {_BATCH, _CONFIGURES}
    return tasks | (_scripts(role.entry_point or "") if role.entry_point else {_BATCH, _LAUNCHES})


def _scripts(command_line: str) -> set[str]:
    paths = map(PureWindowsPath, commandline.words(command_line))
    return {path.stem.lower() for path in paths if path.suffix.lower() in _SCRIPTS}


def _is_foreign(script: Path) -> bool:
    """Whether a script is there that does not run its Python twin, as ours do."""
    return script.is_file() and command_rules.runs_itself(script)


def _is_support(file: File) -> bool:
    return file.path.parent.name == "bin" or file.path.name == "web.config"


def _remarks(role: Role, source: Source) -> Iterator[str]:
    run = [script for task in role.tasks for script in _scripts(task.command_line)]
    if _CONFIGURES not in run:
        others = " unless another one does" if run else ""
        yield f"{role.name}: no startup task runs ConfigureCloudService.ps1, so none installs its packages{others}"
    script = foreign_script(source)
    if script is not None:
        yield (
            f"{role.name}: {shown(script)} is not rolepack's, so a host installs packages as it says and not from the "
            "bundle; for rolepack's, move it away and adopt again"
        )
    inner = spelling.find(source.folder, "bin/web.config")
    if role.kind == "web" and inner.is_file() and not spelling.find(source.folder, "web.config").exists():
        yield f"{role.name}: {shown(inner)} belongs beside the application, one folder up"


def _unlisted(source: Source, wanted: Iterable[Path]) -> list[str]:
    """The support files of a role that its project would have to list, as a project writes them."""
    listing = sources.listing_of(source)
    if listing is None:
        return []
    below = [path.relative_to(source.folder) for path in wanted]
    return [str(path).replace("/", "\\") for path in below if not listing.holds(path.as_posix())]


def _with_content(name: str) -> changes.Change:
    def change(text: Text) -> bytes:
        entry = f'<Content Include="{name}" />\n'
        group = _item_group(text.root)
        if group is None:
            return text.append(text.root, f"<ItemGroup>\n  {entry}</ItemGroup>\n")
        return text.append(group, entry)

    return change


def _item_group(project: Node) -> Node | None:
    """The first group of content that always counts, else of sources."""
    for name in ("Content", "Compile"):
        for group in project.named("ItemGroup"):
            if next(group.named(name), None) and "Condition" not in group.attributes:
                return group
    return None
