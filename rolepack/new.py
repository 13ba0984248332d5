"""invoke new-service, new-role, add-support-files: services and roles that run without an edit."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context

from rolepack.command import PROGRAM, SERVICE, command, counted, listed, say, service_folder

if TYPE_CHECKING:
    from packager.blueprint import NewRole


@command(
    positional=["name"],
    iterable=["web", "worker"],
    help={
        "name": "Name of the service.",
        "web": "Name of a web role to begin with, a Flask application; repeatable.",
        "worker": "Name of a worker role to begin with; repeatable.",
        "service": "Folder to make it in (default: ./NAME).",
    },
)
def new_service(
    _context: Context,
    name: str,
    service: str | None = None,
    web: Sequence[str] | None = None,
    worker: Sequence[str] | None = None,
) -> None:
    """Make the folder of a new service: definition, configurations, roles, tasks.py, examples for CI.

    Example: rolepack new-service shop --web site --worker orders --worker mail
    """
    from cloudservice.files import shown
    from packager import blueprint
    from packager.blueprint import NewRole
    from packager.scaffold import Templates

    root = Path(service or name)
    roles = [*(NewRole(one, "web", "flask") for one in web or ()), *(NewRole(one, "worker") for one in worker or ())]
    made = blueprint.plan_service(root, name, roles, Templates())
    blueprint.write(made)
    there = f" with {listed([role.name for role in roles])}" if roles else ""
    say(f"Made service '{name}'{there} in {shown(root)}/ ({counted(made.paths, 'file')}).")
    then = f"{PROGRAM} emulate" if roles else f"{PROGRAM} new-role web --kind web"
    say(f"Next: cd {shlex.quote(shown(root))}; {then}")


@command(
    positional=["name"],
    help={
        "name": "Name of the role.",
        "kind": "web or worker.",
        "framework": "Of a web role: flask, django, bottle or wsgi (none). Default: flask.",
        "instances": "How many instances it has. Default: 1.",
        "port": "Public port of a web role. Default: the first free one from 80 on.",
        "vmsize": "Size of its machines in Azure. Default: Small.",
        "service": SERVICE,
    },
)
def new_role(
    _context: Context,
    name: str,
    service: str | None = None,  # the first, so that -s means it as in every command
    kind: str = "",
    framework: str = "",
    instances: str = "1",
    port: str | None = None,
    vmsize: str = "Small",
) -> None:
    """Add a role to the service: program, test, support files, definition and every configuration.

    Example: invoke new-role site --kind web --framework django --port 8080
    """
    from cloudservice import folder, project
    from cloudservice.files import shown
    from packager import blueprint, ignored
    from rolepack import options

    root = service_folder(service)
    role = _wanted(name, kind.lower(), framework.lower(), instances, port, vmsize)
    made = blueprint.plan_role(root, role, options.templates(root))
    blueprint.write(made)
    for path in made.paths:
        say(f"  {shown(path)}")
    place = shown(folder.role_folder(root, name))
    say(f"Made {role.kind} role '{name}' in {place}/{f', for port {made.port}' if made.port else ''}.")
    cloud_project = project.find(root)
    if cloud_project is not None:
        say(f"Visual Studio will not know it: {shown(cloud_project)} and the solution do not refer to it.")
    for line in ignored.advice(root, made.paths):
        say(f"Note: {line}.")
    for number, line in enumerate(_next_steps(role, place), 1):
        say(f"{'Next:' if number == 1 else '     '} {number}. {line}")


@command(
    positional=["role"],
    help={"role": "Name of the role.", "service": SERVICE},
)
def add_support_files(_context: Context, role: str, service: str | None = None) -> None:
    """Give a role that is there its support files, startup task and entry point; what it has stays as it is.

    Example: invoke add-support-files orders
    """
    from cloudservice.files import shown
    from packager import blueprint, support
    from rolepack import options

    root = service_folder(service)
    planned = support.plan(root, role, options.templates(root))
    blueprint.write(planned.blueprint)
    for line in planned.left:
        say(f"  {line}")
    for path in planned.blueprint.paths:
        say(f"  wrote {shown(path)}")
    for line in planned.remarks:
        say(f"Note: {line}.")
    if planned.blueprint.paths:
        say(f"Role '{role}' has its support files. Next: {PROGRAM} check")
    else:
        say(f"Nothing was written: role '{role}' has its support files already.")


def _wanted(name: str, kind: str, framework: str, instances: str, port: str | None, vmsize: str) -> "NewRole":
    """The role that the options describe; everything that is wrong with them is told at once."""
    from cloudservice.errors import Fault, ServiceError
    from packager import blueprint
    from packager.blueprint import FRAMEWORKS, NewRole

    faults = []
    if kind not in {"web", "worker"}:
        wrong = f"'{kind}' is no kind of role" if kind else "the kind of the role is missing"
        faults.append(Fault("--kind", wrong, "Write web or worker"))
    if kind == "worker" and framework:
        faults.append(Fault("--framework", "a worker role has none", "Leave it out, or write --kind web"))
    elif framework and framework not in FRAMEWORKS:
        wrong, remedy = f"'{framework}' is not known", f"Choose from {', '.join(FRAMEWORKS)}"
        faults.append(Fault("--framework", wrong, remedy))
    if not _is_between(instances, 1, 1000):
        wrong = f"'{instances}' is no whole number from 1 to 1000"
        faults.append(Fault("--instances", wrong, "Write such a number"))
    if port is not None and kind == "worker":
        faults.append(Fault("--port", "a worker role has no public port", "Leave it out, or write --kind web"))
    elif port is not None and not _is_between(port, 1, 65535):
        faults.append(Fault("--port", f"'{port}' is no port", "Write a whole number from 1 to 65535"))
    faults += blueprint.faults_of(NewRole(name, "worker", vmsize=vmsize), "NAME")
    if faults:
        raise ServiceError(*faults)
    count, number = int(instances), None if port is None else int(port)
    if kind == "worker":
        return NewRole(name, "worker", "", count, None, vmsize)
    return NewRole(name, "web", framework or "flask", count, number, vmsize)


def _is_between(written: str, least: int, most: int) -> bool:
    from cloudservice.element import is_number

    return is_number(written) and least <= int(written) <= most


def _next_steps(role: "NewRole", place: str) -> tuple[str, ...]:
    """What to do with a new role: write it, run it, package it."""
    package = f"{PROGRAM} package"
    if role.made_with.settings:
        settings = "--setting SECRET_KEY=… --setting ALLOWED_HOSTS=…"
        package = f"{PROGRAM} set {role.name} {settings} --configuration Cloud; {package}"
    return (
        f"put your code into {place}/{role.made_with.begin}; its tests run there with python {role.made_with.tests}",
        f"{PROGRAM} emulate",
        package,
    )
