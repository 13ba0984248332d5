"""The support files of a role: which ones it has, which it lacks, and which are another's."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudservice import changes, definition, names, source_rules, sources, spelling
from cloudservice.changes import Entry
from cloudservice.edit import Node
from cloudservice.edit import Source as Text
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.service import Role, Source
from packager import application, blueprint, ignored, scaffold, scripts
from packager.blueprint import Blueprint
from packager.scaffold import File, Templates

_PROGRAMS = ("worker.py", "main.py", "app.py", "__main__.py")


@dataclass(frozen=True, slots=True)
class Support:
    """What a role gets, and what was left alone, in words; `remarks` tell what is to be done by hand."""

    blueprint: Blueprint
    left: tuple[str, ...]
    remarks: tuple[str, ...]


def plan(root: Path, name: str, templates: Templates) -> Support:
    """Everything that the role `name` of the service in folder `root` lacks of its support files and entries.

    ServiceError if it is no role of Python code in or beside the service.
    """
    texts = changes.read(root)
    defined = definition.parse(texts.definition, texts.contents[texts.definition])
    if defined.document.faults:
        raise ServiceError(*defined.document.faults)
    role = defined.role(name)
    source = sources.find(root, [role]).get(name)
    if source is None:
        raise ServiceError(Fault("ROLE", f"'{name}' cannot be the name of a role", names.RULE))
    _must_be_python(root, role, source)
    values = _values(role, source)
    everything = _placed(source, _rendered(role, templates, values))
    here = source.folder.resolve()
    far = [path for path in everything if not path.parent.resolve().is_relative_to(here)]
    wanted = {path: content for path, content in everything.items() if path not in far}
    left = [f"{shown(path)} is behind a link that leads elsewhere, and is left alone" for path in far]
    for path, content in wanted.items():
        if os.path.lexists(path):
            is_ours = path.is_file() and scripts.same(path.read_bytes(), content)
            left.append(
                f"{shown(path)} is there already" if is_ours else f"{shown(path)} differs from rolepack's, and stays"
            )
    entries, kept = _entries(role, source, templates, values)
    projects = project_entries(root, source, wanted)
    edits = changes.Plan({**changes.plan_elements(texts, name, entries).contents, **projects}, {})
    remarks = [*remarks_on(role, source), *_remarks_on_commands(role), *ignored.advice(root, wanted)]
    return Support(Blueprint({source.folder: scaffold.missing(wanted)}, edits), (*left, *kept), tuple(remarks))


def places(role: Role, source: Source, templates: Templates) -> dict[Path, bytes]:
    """The support files of a role's kind by their places, in whatever case these are written.

    A Python twin belongs to a script of ours, which names it; beside another's there is none.
    """
    return _placed(source, _rendered(role, templates, _values(role, source)))


def _placed(source: Source, rendered: Sequence[File]) -> dict[Path, bytes]:
    where = {file.path: spelling.find(source.folder, str(file.path)) for file in rendered}
    foreign = {
        path.with_suffix(".py") for path, place in where.items() if path.suffix == ".ps1" and scripts.is_foreign(place)
    }
    return {where[file.path]: file.content for file in rendered if file.path not in foreign}


def changed_scripts(role: Role, source: Source, templates: Templates) -> list[Path]:
    """The scripts that a role uses and only Windows can run, where they are neither rolepack's nor of `templates`."""
    values = _values(role, source)
    return [
        place
        for name, place in scripts.changed(role, source).items()
        if not scripts.same(place.read_bytes(), templates.text(name, values).encode())
    ]


def project_entries(root: Path, source: Source, wanted: Iterable[Path]) -> dict[Path, bytes]:
    """The new content of the role's project, if it lists its files and not all of the support files."""
    listing = sources.listing_of(source)
    if listing is None or source.project is None or not source_rules.is_near(root, source.project):
        return {}
    below = [path.relative_to(source.folder) for path in wanted]
    unlisted = [str(path).replace("/", "\\") for path in below if not listing.holds(path.as_posix())]
    if not unlisted:
        return {}
    return {source.project: changes.apply(source.project, source.project.read_bytes(), *map(_with_content, unlisted))}


def remarks_on(role: Role, source: Source) -> Iterator[str]:
    """What a look at a role's support files shows that only its owner can decide."""
    script = scripts.foreign(source)
    if script is not None:
        yield (
            f"{shown(script)} is not rolepack's, so a host installs packages as it says and not from the bundle; for "
            f"rolepack's, move it away and run `rolepack add-support-files {role.name}`"
        )
    inner, config = (spelling.find(source.folder, name) for name in ("bin/web.config", "web.config"))
    if role.kind == "web" and not config.exists():
        if inner.is_file():
            yield f"{shown(inner)} belongs beside the application, one folder up"
        elif application.find(source.folder) is None:
            yield f"no application was found, so {shown(config)} is to name {application.USUAL}: correct that"


def _remarks_on_commands(role: Role) -> Iterator[str]:
    """What in the role's own command lines keeps the support files from their work on a host."""
    for task in role.tasks:
        if scripts.CONFIGURES in scripts.names(task.command_line) and task.execution_context != "elevated":
            yield f'the startup task `{task.command_line}` needs executionContext="elevated" to prepare a host'
    if role.entry_point and scripts.LAUNCHES not in scripts.names(role.entry_point):
        yield (
            f"the entry point `{role.entry_point}` does not go through LaunchWorker.ps1, so on a host it has to find "
            "Python and the role's packages by itself"
        )


def _rendered(role: Role, templates: Templates, values: Mapping[str, object]) -> list[File]:
    """The support files of a kind of role; a web role's web.config is one of them."""
    return list(templates.render(["support/both", f"support/{role.kind}"], values))


def _values(role: Role, source: Source) -> dict[str, Any]:
    """What the templates may ask for, of a role that is there."""
    package = application.django(source.folder)
    settings = source.folder / package / "settings.py"
    collects = bool(package) and b"STATIC_ROOT" in settings.read_bytes()
    known = {"vmsize": role.vmsize, "django_settings": f"{package}.settings" if package else ""}
    if role.kind == "web":
        known["handler"] = application.find(source.folder) or application.USUAL
    return blueprint.values(role.name, role.kind, "django" if collects else "", **known)


def _entries(
    role: Role, source: Source, templates: Templates, values: Mapping[str, object]
) -> tuple[list[Entry], list[str]]:
    """The elements that the role lacks in the definition, and in words what stays as it is."""
    entries: list[Entry] = []
    if not any(store.name.lower() == "diagnosticstore" for store in role.local_storage):
        entries.append(Entry(templates.element("entries/store.xml.j2", values), ("LocalResources",)))
    if not any(scripts.CONFIGURES in scripts.names(task.command_line) for task in role.tasks):
        entries.append(Entry(templates.element("entries/task.xml.j2", values), ("Startup",)))
    kept = [f"the startup task `{task.command_line}` stays" for task in role.tasks]
    if role.kind == "worker" and role.entry_point:
        kept.append(f"the entry point `{role.entry_point}` stays")
    elif role.kind == "worker":
        if not any(variable.name == "EMULATED" for variable in role.environment):
            entries.append(Entry(templates.element("entries/variable.xml.j2", values), ("Runtime", "Environment")))
        program = {**values, "program": _program(source)}
        entries.append(Entry(templates.element("entries/program.xml.j2", program), ("Runtime",)))
    return entries, kept


def _program(source: Source) -> str:
    """What a worker that says nothing of it is to run: what its project starts, or a program of a usual name.

    As a word of a command line.
    """
    named = source.startup.replace("\\", "/")
    for name in (named,) if named else _PROGRAMS:
        found = spelling.find(source.folder, name)
        if found.is_file():
            program = str(found.relative_to(source.folder)).replace("/", "\\")
            return f'"{program}"' if " " in program else program
    wrong = f"its project starts {named}, which is not there" if named else "it cannot be told what the worker runs"
    remedy = f"Call it {_PROGRAMS[0]}, or add Runtime/EntryPoint/ProgramEntryPoint to the definition"
    raise ServiceError(Fault(shown(source.folder), wrong, remedy))


def _must_be_python(root: Path, role: Role, source: Source) -> None:
    if not source.folder.is_dir():
        wrong, remedy = "it is not there", f"Create it, with the program of role '{role.name}'"
    elif not source_rules.is_near(root, source.folder):
        wrong, remedy = "it is not in or beside the service", "Move it there"
    elif source.language not in {"", "Python"}:
        wrong, remedy = f"it holds a role in {source.language}", "Support files are for roles in Python"
    else:
        return
    raise ServiceError(Fault(shown(source.folder), wrong, remedy))


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
