"""What a new service or a new role is made of: files to be, and edits of the files that describe the service."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from cloudservice import changes, definition, definition_rules, folder, location, modules, names, source_rules, spelling
from cloudservice.changes import Addition, Plan, Texts
from cloudservice.definition import Definition
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.service import Kind
from packager import scaffold
from packager.scaffold import Templates
from packager.target import LAST_BINARY_RELEASES

PYTHON = LAST_BINARY_RELEASES["3.12"]
"""What a Windows host without a Python installs for a role whose bundle does not say."""
_OPTIONS = {"same-port": "--port"}
"""The options that a rule of the definition, once it is broken by a new role, is about."""


@dataclass(frozen=True, slots=True)
class Framework:
    """What a role is made with: its WSGI handler and settings of Django, where to begin, and how its tests run."""

    handler: str = "app.wsgi_app"
    settings: str = ""
    begin: str = "app.py"
    tests: str = "-m unittest"


DJANGO = Framework("config.wsgi.application", "config.settings", "home/views.py", "manage.py test")
FRAMEWORKS = {"flask": Framework(), "django": DJANGO, "bottle": Framework(), "wsgi": Framework()}
"""Those of web roles."""
_NONE = Framework(begin="worker.py")


@dataclass(frozen=True, slots=True)
class NewRole:
    """A role that is wanted; `framework` is one of FRAMEWORKS for a web role. Without a `port` it gets a free one."""

    name: str
    kind: Kind
    framework: str = ""
    instances: int = 1
    port: int | None = None
    vmsize: str = "Small"

    @property
    def made_with(self) -> Framework:
        """Its framework, or what stands for one in a worker role."""
        return FRAMEWORKS.get(self.framework, _NONE)


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
    faults = [] if names.is_name(name) else [_not_a_name("NAME", "the service", name)]
    faults += [fault for role in roles for fault in faults_of(role, f"--{role.kind}")]
    if location.definition_file(root).is_file():
        wrong = "there is a service in it already"
        faults.append(Fault(shown(root), wrong, "Choose another folder, or add roles to it with new-role"))
    if faults:
        raise ServiceError(*faults)
    files = {root / file.path: file.content for file in templates.render(["service"], {"name": name, "roles": roles})}
    named = {folder.configuration_name(path.name): path for path in files}
    configurations = {each: path for each, path in named.items() if each is not None}
    path = root / location.DEFINITION
    texts = Texts(path, configurations, {one: files[one] for one in (path, *configurations.values())})
    for role in roles:
        made = _plan_role(root, role, texts, templates)
        texts = texts.after(made.plan)
        files |= made.folders[folder.role_folder(root, role.name)]
    return Blueprint({root: {**files, **texts.contents}}, Plan({}, {}))


def plan_role(root: Path, role: NewRole, templates: Templates) -> Blueprint:
    """A new role of the service in folder `root`. ServiceError, with all faults, if that cannot be."""
    faults = faults_of(role, "NAME")
    if faults:
        raise ServiceError(*faults)
    return _plan_role(root, role, changes.read(root), templates)


def faults_of(role: NewRole, where: str) -> list[Fault]:
    """What is wrong with a wanted role, whatever the service; `where` gave its name."""
    faults = [] if names.is_name(role.name) else [_not_a_name(where, "the role", role.name)]
    if not definition_rules.is_size(role.vmsize):
        faults.append(Fault("--vmsize", f"'{role.vmsize}' is no size that is known", definition_rules.SIZES))
    return faults


def values(name: str, kind: Kind, framework: str = "", **known: Any) -> dict[str, Any]:
    """What the templates of a role may ask for; what is not known of it has a usual value."""
    made_with = FRAMEWORKS.get(framework, _NONE)
    return {
        "name": name,
        "kind": kind,
        "framework": framework,
        "handler": made_with.handler,
        "django_settings": made_with.settings,
        "program": _NONE.begin,
        "probe": f"{name}-health",
        "port": 80,
        "vmsize": "Small",
        "instances": 1,
        "is_local": False,
        "secret": "",
        "python": PYTHON,
        **known,
    }


def write(blueprint: Blueprint) -> None:
    """Write what is new, then what changes; if a new file exists already, nothing is written."""
    for place, files in blueprint.folders.items():
        scaffold.write_new(place, files)
    changes.write(blueprint.plan)


def _plan_role(root: Path, role: NewRole, texts: Texts, templates: Templates) -> Blueprint:
    place = folder.role_folder(root, role.name)
    known = definition.parse(texts.definition, texts.contents[texts.definition])
    port = role.port or _free_port(known) if role.kind == "web" else None
    numbers = {"port": port, "vmsize": role.vmsize, "instances": role.instances}
    own = {"secret": secrets.token_urlsafe(50), "probe": _free_probe(role.name, known)}
    asked = values(role.name, role.kind, role.framework, **numbers, **own)
    local = folder.usual_of(texts.configurations, "Local").lower()
    entries = Addition(
        role.name,
        templates.element(f"entries/{role.kind}.xml.j2", asked),
        {
            name: templates.element("entries/configuration.xml.j2", {**asked, "is_local": name.lower() == local})
            for name in texts.configurations
        },
        templates.element("entries/probe.xml.j2", asked) if role.kind == "web" else "",
    )
    try:
        plan = changes.plan_addition(texts, entries)
    except ServiceError as error:
        raise ServiceError(*map(_by_option, error.faults)) from None
    _check_place(root, place)
    kinds = ["support/both", f"support/{role.kind}", "roles/both", f"roles/{role.kind}"]
    kinds += [f"roles/{role.framework}"] if role.framework else []
    files = {place / file.path: file.content for file in templates.render(kinds, asked)}
    return Blueprint({place: files}, plan, port)


def _by_option(fault: Fault) -> Fault:
    """A fault at the option that brought it, since no file has the line yet."""
    option = _OPTIONS.get(fault.rule)
    return fault if option is None else fault._replace(where=option, line=None)


def _free_port(known: Definition) -> int:
    """The first port from 80 on at which nothing of the service answers."""
    endpoints = [each for role in known.roles for each in modules.endpoints_of(role)]
    taken = [ports for each in endpoints for ports in definition_rules.public_ports(each)]
    free = (port for port in range(80, 65536) if not any(ports.first <= port <= ports.last for ports in taken))
    found = next(free, None)
    if found is None:
        raise ServiceError(Fault("--port", "every public port is taken", "Narrow a range of ports in the definition"))
    return found


def _free_probe(role: str, known: Definition) -> str:
    """A name for a role's probe that no other one has."""
    taken = {probe.name for probe in known.probes}
    usual = f"{role}-health"
    return next(name for name in chain([usual], (f"{usual}-{number}" for number in count(2))) if name not in taken)


def _not_a_name(where: str, noun: str, name: str) -> Fault:
    return Fault(where, f"'{name}' cannot be the name of {noun}", names.RULE)


def _check_place(root: Path, place: Path) -> None:
    """The folder of a new role is in the service, and on Windows it is no other's."""
    if not source_rules.is_near(root, place):
        wrong = "it is a link to a place that is not in or beside the service"
        raise ServiceError(Fault(shown(place), wrong, "Remove it, or choose another name"))
    there = spelling.find(place.parent, place.name)
    if there.name != place.name:
        wrong = f"on Windows it is the same folder as {shown(there)}"
        raise ServiceError(Fault(shown(place), wrong, "Choose another name"))
