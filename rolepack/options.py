"""invoke.yaml: the options of this tool for one service. Other keys in it belong to Invoke and the user's own tasks."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cloudservice import source_rules
from cloudservice.appservice import Hosting
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown

if TYPE_CHECKING:
    from cloudservice.service import Role, Source
    from packager.scaffold import Templates

FILE = "invoke.yaml"
_APP_SERVICE = "app-service"
_MOST_BYTES = 1024 * 1024
"""Far above any real one."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a service.

    `templates` is a folder whose files take the place of templates of rolepack. `requirements` names the file that says
    what a role needs, relative to the role's folder, by the role's name; under the empty name, that of all others.
    Roles whose settings change while they are emulated recycle, or only see it in their role environment. `hosting` has
    the roles that App Service hosts, in the same way.
    """

    templates: Path | None = None
    requirements: Mapping[str, str] = field(default_factory=dict)
    recycles_on_change: bool = True
    hosting: Mapping[str, Hosting] = field(default_factory=dict)

    def hosting_of(self, role: "Role") -> Hosting | None:
        """How App Service hosts a role, if it does; what is said of all counts for web roles."""
        return self.hosting.get(role.name, self.hosting.get("") if role.kind == "web" else None)

    def hosted(self, roles: Iterable["Role"]) -> dict[str, Hosting]:
        """How App Service hosts those of some roles that it does."""
        found = {role.name: self.hosting_of(role) for role in roles}
        return {name: hosting for name, hosting in found.items() if hosting is not None}

    def unknown_roles(self, root: Path, known: Collection[str]) -> list[Fault]:
        """The roles that the file names and that are not there."""
        named = [("requirements", role) for role in self.requirements] + [("hosting", role) for role in self.hosting]
        return [
            Fault(shown(root / FILE), f"{key} names a role '{role}', and there is none", "Correct the name")
            for key, role in named
            if role and role not in known
        ]

    def requirements_of(self, role: "Role", source: "Source") -> str | None:
        """The file that says what a role needs, if it is another than the usual ones; the one of all is for Python."""
        return self.requirements.get(role.name, self.requirements.get("") if source.language == "Python" else None)


def load(root: Path) -> Options:
    """The options of the service in folder `root`; ServiceError if the file says what it cannot."""
    path = root / FILE
    if path.is_file() and path.stat().st_size > _MOST_BYTES:
        raise ServiceError(Fault(shown(path), f"it has more than {_MOST_BYTES:,} bytes", "Shorten it"))
    content = path.read_bytes() if path.is_file() else b""
    try:
        found = yaml.safe_load(content)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise ServiceError(Fault(shown(path), f"it is no YAML: {error.problem}", "Correct it", line)) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ServiceError(Fault(shown(path), "it is no YAML", "Save it as UTF-8 text")) from None
    if found is None:
        return Options()
    if not isinstance(found, dict):
        raise ServiceError(Fault(shown(path), "it has no keys", "Write options as `name: value`"))
    return Options(
        _templates(root, found), _requirements(root, found), _recycles_on_change(root, found), _hosting(root, found)
    )


def _hosting(root: Path, found: dict[str, Any]) -> dict[str, Hosting]:
    """`hosting: app-service` for every web role, or by role; `startup_command` in the same way."""
    written = _by_role(
        root, found, "hosting", f"Write `hosting: {_APP_SERVICE}`, or `role: {_APP_SERVICE}` for each role"
    )
    commands = _by_role(root, found, "startup_command", "Write a command, or `role: command` for each role")
    faults = [
        Fault(shown(root / FILE), f"hosting is '{value}', which is not known", f"Write {_APP_SERVICE}, or leave it out")
        for value in written.values()
        if value != _APP_SERVICE
    ]
    faults += [
        Fault(shown(root / FILE), f"startup_command names '{role}', which is not hosted so", "Add it to hosting")
        for role in commands
        if role and role not in written and "" not in written
    ]
    if faults:
        raise ServiceError(*faults)
    named = {*written, *(role for role in commands if written)}
    return {role: Hosting(commands.get(role, commands.get("", ""))) for role in named}


def _by_role(root: Path, found: dict[str, Any], key: str, remedy: str) -> dict[str, str]:
    """A text for all roles, under the empty name, or texts by role."""
    written = found.get(key)
    if written is None:
        return {}
    by_role = written if isinstance(written, dict) else {"": written}
    if not all(isinstance(word, str) for pair in by_role.items() for word in pair) or "" in by_role.values():
        raise ServiceError(Fault(shown(root / FILE), f"{key} is no text", remedy))
    return by_role


def _recycles_on_change(root: Path, found: dict[str, Any]) -> bool:
    written = found.get("on_change", "recycle")
    if written not in {"recycle", "keep"}:
        remedy = "Write `recycle`, or `keep` if the program reads ROLE_ENVIRONMENT again"
        raise ServiceError(Fault(shown(root / FILE), f"on_change is '{written}'", remedy))
    return bool(written == "recycle")


def templates(root: Path) -> "Templates":
    """The templates of the service in folder `root`, its own among them."""
    from packager.scaffold import Templates

    return Templates(load(root).templates)


def _requirements(root: Path, found: dict[str, Any]) -> dict[str, str]:
    remedy = "Name a file relative to the role's folder, or write `role: file` for each role"
    by_role = _by_role(root, found, "requirements", remedy)
    for path in by_role.values():
        if Path(path).is_absolute() or ".." in Path(path).parts:
            wrong = f"requirements is '{path}', which leads out of the role's folder"
            raise ServiceError(Fault(shown(root / FILE), wrong, remedy))
    return by_role


def _templates(root: Path, found: dict[str, Any]) -> Path | None:
    written = found.get("templates")
    if written is None:
        return None
    wrong, remedy = "templates is no text", "Name a folder; it is relative to this file"
    if not isinstance(written, str):
        raise ServiceError(Fault(shown(root / FILE), wrong, remedy))
    place = root / written
    if not written or not place.is_dir() or place.resolve() == root.resolve():
        wrong = f"templates is '{written}', which is no folder below or beside the service"
    elif not source_rules.is_near(root, place):
        wrong = f"templates is '{written}', which is not in or beside the service"
        remedy = "Put the templates into a folder there"
    else:
        return place
    raise ServiceError(Fault(shown(root / FILE), wrong, remedy))
