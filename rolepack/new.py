"""invoke new-service, invoke new-role: services and roles that run without an edit."""

import shlex
from pathlib import Path

from invoke import Context

from rolepack.command import SERVICE, command, say, service_folder


@command(
    positional=["name"],
    help={"name": "Name of the service.", "service": "Folder to make it in (default: ./NAME)."},
)
def new_service(_context: Context, name: str, service: str | None = None) -> None:
    """Make the folder of a new service: definition, Local and Cloud configuration, tasks.py.

    Example: rolepack new-service shop
    """
    from cloudservice.files import shown
    from packager import scaffold

    root = Path(service or name)
    scaffold.new_service(root, name)
    say(f"Made service '{name}' in {shown(root)}/. Next: cd {shlex.quote(shown(root))}; invoke new-role web --kind web")


@command(
    positional=["name"],
    help={"name": "Name of the role.", "kind": "web or worker.", "service": SERVICE},
)
def new_role(_context: Context, name: str, kind: str = "", service: str | None = None) -> None:
    """Add a role to the service: starting program, support files, definition and every configuration.

    Example: invoke new-role orders --kind worker
    """
    from cloudservice import definition, folder, project
    from cloudservice.errors import Fault, ServiceError
    from cloudservice.files import shown
    from packager import ignored, scaffold
    from packager.target import LAST_BINARY_RELEASES

    if kind not in {"web", "worker"}:
        raise ServiceError(
            Fault(
                "--kind",
                f"'{kind}' is no kind of role" if kind else "the kind of the role is missing",
                "Write web or worker",
            )
        )
    root = service_folder(service)
    written = scaffold.new_role(root, name, "web" if kind == "web" else "worker", LAST_BINARY_RELEASES["3.12"])
    for path in written:
        say(f"  {shown(path)}")
    role = definition.load(folder.definition_file(root)).roles[-1]
    ports = [f"port {endpoint.port}" for endpoint in role.endpoints if endpoint.kind == "input"]
    answers = f", for {' and '.join(ports)}" if ports else ""
    say(f"Made {kind} role '{name}' in {shown(folder.role_folder(root, name))}/{answers}. Next: invoke emulate")
    cloud_project = project.find(root)
    if cloud_project is not None:
        say(f"Visual Studio will not know it: {shown(cloud_project)} and the solution do not refer to it.")
    for line in ignored.advice(root, written):
        say(f"Note: {line}.")
