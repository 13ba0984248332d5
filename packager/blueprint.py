"""What a new service or a new role is made of: files to be, and edits of the files that describe the service."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloudservice import changes, definition, definition_rules, folder, modules, names, source_rules, spelling
from cloudservice.changes import Addition, Plan, Texts
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.service import Kind
from packager import scaffold
from packager.scaffold import Templates
from packager.target import LAST_BINARY_RELEASES

PYTHON = LAST_BINARY_RELEASES["3.12"]
"""What a Windows host without a Python installs for a role whose bundle does not say."""
FRAMEWORKS = ("flask", "django", "bottle", "wsgi")
_OPTIONS = {"same-port": "--port"}
"""The options that a rule of the definition, once it is broken by a new role, is about."""


@dataclass(frozen=True, slots=True)
class NewRole:
    """A role that is wanted; `framework` is one of FRAMEWORKS for a web role. Without a `port` it gets a free one."""

    name: str
    kind: Kind
    framework: str = ""
    instances: int = 1
    port: int | None = None
    vmsize: str = "Small"


@dataclass(frozen=True, slots=True)
class Blueprint:
    """New files by their place, in folders that are made whole where they are not there; and a plan of edits.

    `port` is the public one of a new web role.
    """

    folders: Mapping[Path, Mapping[Path, bytes]]
    plan: Plan
    port: int | None = None

    @property
    def paths(self) -> list[Path]:
        """Every file that is written."""
        return [*sorted(path for files in self.folders.values() for path in files), *self.plan.contents]


def plan_service(root: Path, name: str, roles: Sequence[NewRole], templates: Templates) -> Blueprint:
    """A new service in folder `root`, with some roles. ServiceError, with all faults, if that cannot be."""
    _check_name("the service", name)
    files = {root / file.path: file.content for file in templates.render(["service"], {"name": name, "roles": roles})}
    named = {folder.configuration_name(path.name): path for path in files}
    configurations = {each: path for each, path in named.items() if each is not None}
    path = root / folder.DEFINITION
    texts = Texts(path, configurations, {one: files[one] for one in (path, *configurations.values())})
    for role in roles:
        made = _plan_role(root, role, texts, templates)
        texts = texts.after(made.plan)
        files |= made.folders[folder.role_folder(root, role.name)]
    return Blueprint({root: {**files, **texts.contents}}, Plan({}, {}))


def plan_role(root: Path, role: NewRole, templates: Templates) -> Blueprint:
    """A new role of the service in folder `root`. ServiceError, with all faults, if that cannot be."""
    return _plan_role(root, role, changes.read(root), templates)


def write(blueprint: Blueprint) -> None:
    """Write what is new, then what changes; if a new file exists already, nothing is written."""
    for place, files in blueprint.folders.items():
        scaffold.write_new(place, files)
    changes.write(blueprint.plan)


def _plan_role(root: Path, role: NewRole, texts: Texts, templates: Templates) -> Blueprint:
    _check_name("the role", role.name)
    if not definition_rules.is_size(role.vmsize):
        raise ServiceError(Fault("--vmsize", f"'{role.vmsize}' is no size that is known", definition_rules.SIZES))
    place = folder.role_folder(root, role.name)
    values = _values(role, texts)
    entries = Addition(
        role.name,
        templates.text(f"entries/{role.kind}.xml.j2", values),
        {
            name: templates.text("entries/configuration.xml.j2", {**values, "configuration": name})
            for name in texts.configurations
        },
        templates.text("entries/probe.xml.j2", values) if role.kind == "web" else "",
    )
    try:
        plan = changes.plan_addition(texts, entries)
    except ServiceError as error:
        raise ServiceError(*map(_by_option, error.faults)) from None
    _check_place(root, place)
    kinds = ["support/both", f"support/{role.kind}", "roles/both", f"roles/{role.kind}"]
    kinds += [f"roles/{role.framework}"] if role.framework else []
    files = {place / file.path: file.content for file in templates.render(kinds, values)}
    return Blueprint({place: files}, plan, values["port"])


def _values(role: NewRole, texts: Texts) -> dict[str, Any]:
    """What the templates of a role may ask for."""
    return {
        "name": role.name,
        "kind": role.kind,
        "framework": role.framework,
        "instances": role.instances,
        "vmsize": role.vmsize,
        "port": role.port or (_free_port(texts) if role.kind == "web" else None),
        "probe": f"{role.name}-health",
        "program": "worker.py",
        "handler": "config.wsgi.application" if role.framework == "django" else "app.wsgi_app",
        "django_settings": "config.settings" if role.framework == "django" else "",
        "secret": secrets.token_urlsafe(50),
        "python": PYTHON,
    }


def _by_option(fault: Fault) -> Fault:
    """A fault at the option that brought it, since no file has the line yet."""
    option = _OPTIONS.get(fault.rule)
    return fault if option is None else replace(fault, where=option, line=None)


def _free_port(texts: Texts) -> int:
    """The first port from 80 on at which nothing of the service answers."""
    known = definition.parse(texts.definition, texts.contents[texts.definition])
    endpoints = [each for role in known.roles for each in modules.endpoints_of(role)]
    taken = [ports for each in endpoints for ports in definition_rules.public_ports(each)]
    return next(port for port in range(80, 65536) if not any(ports.first <= port <= ports.last for ports in taken))


def _check_name(noun: str, name: str) -> None:
    if not names.is_name(name):
        raise ServiceError(Fault("NAME", f"'{name}' cannot be the name of {noun}", names.RULE))


def _check_place(root: Path, place: Path) -> None:
    """The folder of a new role is in the service, and on Windows it is no other's."""
    if not source_rules.is_near(root, place):
        wrong = "it is a link to a place that is not in or beside the service"
        raise ServiceError(Fault(shown(place), wrong, "Remove it, or choose another name"))
    there = spelling.find(root, place.relative_to(root).as_posix())
    if there != place:
        wrong = f"on Windows it is the same folder as {shown(there)}"
        raise ServiceError(Fault(shown(place), wrong, "Choose another name"))
