"""The support files of a role: which ones it has, which it lacks, and which are another's."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cloudservice import changes, command_rules, definition, names, source_rules, sources, spelling
from cloudservice.edit import Node
from cloudservice.edit import Source as Text
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.service import Role, Source
from packager import ignored, scripts
from packager.blueprint import PYTHON, Blueprint
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
    everything = places(role, source, templates)
    far = [path for path in everything if not source_rules.is_near(root, path.parent)]
    wanted = {path: content for path, content in everything.items() if path not in far}
    left = [f"{shown(path)} is not in or beside the service, and is left alone" for path in far]
    for path, content in wanted.items():
        if os.path.lexists(path):
            is_ours = path.is_file() and scripts.same(path.read_bytes(), content)
            left.append(f"{shown(path)} is there already" if is_ours else f"{shown(path)} is another, and stays")
    lacking = {path: content for path, content in wanted.items() if not os.path.lexists(path)}
    entries, kept = _entries(role, source, templates)
    projects = project_entries(root, source, wanted)
    edits = changes.Plan({**changes.plan_elements(texts, name, entries).contents, **projects}, {})
    remarks = [*remarks_on(role, source), *ignored.advice(root, wanted)]
    return Support(Blueprint({source.folder: lacking}, edits), (*left, *kept), tuple(remarks))


def places(role: Role, source: Source, templates: Templates) -> dict[Path, bytes]:
    """The support files of a role's kind by their places, in whatever case these are written.

    A Python twin belongs to a script of ours, which names it; beside another's there is none.
    """
    rendered = list(_rendered(role, source, templates))
    where = {file.path: spelling.find(source.folder, str(file.path)) for file in rendered}
    return {
        where[file.path]: file.content
        for file in rendered
        if not (file.path.suffix == ".py" and _is_foreign(where[file.path.with_suffix(".ps1")]))
    }


def foreign_script(source: Source) -> Path | None:
    """The role's ConfigureCloudService.ps1, if it is another than ours and so knows nothing of a bundle's wheels."""
    script = spelling.find(source.folder, "bin/ConfigureCloudService.ps1")
    return script if _is_foreign(script) else None


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
    script = foreign_script(source)
    if script is not None:
        yield (
            f"{shown(script)} is not rolepack's, so a host installs packages as it says and not from the bundle; for "
            "rolepack's, move it away and adopt again"
        )
    inner = spelling.find(source.folder, "bin/web.config")
    if role.kind == "web" and inner.is_file() and not spelling.find(source.folder, "web.config").exists():
        yield f"{shown(inner)} belongs beside the application, one folder up"


def _rendered(role: Role, source: Source, templates: Templates) -> Iterator[File]:
    """The support files of a kind of role; a web role's web.config is one of them."""
    values = _values(role, source)
    for file in templates.render(["support/both", f"support/{role.kind}", "roles/web"], values):
        if role.kind == "web" or file.path.name != "web.config":
            yield file


def _values(role: Role, source: Source) -> dict[str, object]:
    """What the templates of support files may ask for, of a role that is there."""
    package = _django(source.folder) if role.kind == "web" else ""
    return {
        "name": role.name,
        "kind": role.kind,
        "framework": "",  # no more is known of it than its folder shows
        "handler": f"{package}.wsgi.application" if package else "app.wsgi_app",
        "django_settings": f"{package}.settings" if package else "",
        "python": PYTHON,
    }


def _django(place: Path) -> str:
    """The package that holds the settings of a Django project in a folder; empty if there is none."""
    found = sorted(path.parent.name for path in place.glob("*/wsgi.py") if (path.parent / "settings.py").is_file())
    return found[0] if found and (place / "manage.py").is_file() else ""


def _entries(role: Role, source: Source, templates: Templates) -> tuple[list[tuple[str, tuple[str, ...]]], list[str]]:
    """The elements that the role lacks in the definition, with those that hold them; and what stays, in words."""
    values: Mapping[str, object] = {"kind": role.kind}
    entries: list[tuple[str, tuple[str, ...]]] = []
    kept: list[str] = []
    if not any(store.name == "DiagnosticStore" for store in role.local_storage):
        entries.append((templates.text("entries/store.xml.j2", values), ("LocalResources",)))
    running = [task.command_line for task in role.tasks if scripts.CONFIGURES in scripts.names(task.command_line)]
    kept += [f"the startup task `{line}` stays" for line in (task.command_line for task in role.tasks)]
    if not running:
        entries.append((templates.text("entries/task.xml.j2", values), ("Startup",)))
    if role.kind == "worker" and role.entry_point:
        kept.append(f"the entry point `{role.entry_point}` stays")
    elif role.kind == "worker":
        if not any(variable.name == "EMULATED" for variable in role.environment):
            entries.append((templates.text("entries/variable.xml.j2", values), ("Runtime", "Environment")))
        program = {**values, "program": _program(source)}
        entries.append((templates.text("entries/program.xml.j2", program), ("Runtime",)))
    return entries, kept


def _program(source: Source) -> str:
    """What a worker that says nothing of it is to run: what its project starts, or a program of a usual name."""
    there = spelling.names(source.folder)
    found = [there[name] for name in (source.startup.lower(), *_PROGRAMS) if name in there]
    if found:
        return found[0]
    wrong = "it cannot be told which program the worker runs"
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


def _is_foreign(script: Path) -> bool:
    """Whether a script is there that does not run its Python twin, as ours do."""
    return script.is_file() and command_rules.runs_itself(script)


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
