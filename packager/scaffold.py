"""Support files and starting programs, rendered from the templates; one door writes them."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from cloudservice import changes, definition, definition_rules, folder, modules, names, source_rules
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, write_whole
from cloudservice.service import Kind

_CRLF = {".cmd", ".ps1"}
"""cmd.exe loses its place in a batch file without carriage returns."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to be: its path below the folder it is made for, and its bytes."""

    path: PurePosixPath
    content: bytes


def render(template_folders: Iterable[str], values: Mapping[str, object]) -> Iterator[File]:
    """The files of some folders of `templates`, in order; nothing is written."""
    environment = Environment(
        loader=PackageLoader("templates", "."),
        undefined=StrictUndefined,
        autoescape=select_autoescape(("csdef.j2", "cscfg.j2", "xml.j2", "config.j2")),
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    for name in template_folders:
        for template in sorted(t for t in environment.list_templates(extensions=["j2"]) if t.startswith(f"{name}/")):
            path = PurePosixPath(template.removeprefix(f"{name}/").removesuffix(".j2"))
            text = environment.get_template(template).render(values)
            yield File(path, (text.replace("\n", "\r\n") if path.suffix in _CRLF else text).encode())


def write(root: Path, rendered: Iterable[File]) -> list[Path]:
    """Write the files below `root`, each whole; if any of them exists already, none is written."""
    return write_files({root / file.path: file.content for file in rendered})


def write_files(wanted: Mapping[Path, bytes]) -> list[Path]:
    """Write new files, each whole; if any of them exists already, none is written."""
    there = [path for path in wanted if os.path.lexists(path)]  # a link that leads nowhere is something, too
    if there:
        remedy = "Move it away, or choose another name"
        raise ServiceError(*(Fault(shown(path), "it exists already", remedy) for path in there))
    for path, content in wanted.items():
        write_whole(path, content)
    return list(wanted)


def new_service(root: Path, name: str) -> list[Path]:
    """Make a service folder without roles."""
    _check_name("the service", name)
    return write(root, render(["service"], {"name": name}))


def new_role(root: Path, name: str, kind: Kind, python: str) -> list[Path]:
    """Add a role to the service in folder `root`: its files, and its entries in the definition and every configuration.

    `python` is the full version that a Windows host installs if it has none.
    """
    _check_name("the role", name)
    known = definition.load(folder.definition_file(root))
    endpoints = [each for role in known.roles for each in modules.endpoints_of(role)]
    taken = [ports for each in endpoints for ports in definition_rules.public_ports(each)]
    port = next(port for port in range(80, 65536) if not any(ports.first <= port <= ports.last for ports in taken))
    values = {"name": name, "kind": kind, "python": python, "port": port}
    entries = {file.path.name: file.content.decode() for file in render(["entries/both", f"entries/{kind}"], values)}
    if not source_rules.is_near(root, folder.role_folder(root, name)):
        wrong = "it is a link to a place that is not in or beside the service"
        raise ServiceError(Fault(shown(folder.role_folder(root, name)), wrong, "Remove it, or choose another name"))
    plan = changes.plan_addition(root, name, entries["definition.xml"], entries["configuration.xml"])
    written = write(folder.role_folder(root, name), render(["support", kind], values))
    changes.write(plan)
    return [*written, *plan.contents]


def _check_name(noun: str, name: str) -> None:
    if not names.is_name(name):
        raise ServiceError(Fault("NAME", f"'{name}' cannot be the name of {noun}", names.RULE))
