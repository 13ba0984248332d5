"""From an instance to all that its start needs; nothing is started here."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cloudservice import checks, xpath
from cloudservice.checks import Check
from cloudservice.instances import DIAGNOSTIC_STORE, Address, Deployment, Instance
from cloudservice.service import Role, Task, Variable
from emulator import children, sites
from emulator.run import Run
from emulator.shell import Command, Listening, Shell

_FROM_OUTSIDE = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
"""Variables of whoever started the emulator that would change a role's interpreter."""


class Step(NamedTuple):
    """A startup task: its command, or None where this system cannot run it."""

    task: Task
    command: Command | None


class Launch(NamedTuple):
    """An instance: its startup tasks, its program, where its document, site and endpoints are, and its probes.

    Every process of the instance inherits `mark` in the variable children.MARK.
    """

    steps: tuple[Step, ...]
    program: Command
    document_path: Path
    site: Address | None
    addresses: Mapping[str, Address]
    checks: tuple[Check, ...]
    mark: str

    @property
    def order(self) -> list[tuple[int, Step]]:
        """The startup tasks, with their numbers, as they are started: first those that nothing waits for."""
        return sorted(enumerate(self.steps), key=lambda each: each[1].task.task_type == "simple")

    @property
    def first(self) -> Command | None:
        """What a start begins with; None if that is a task which this system cannot run."""
        return next((step.command for _, step in self.order), self.program)


def role_root(run: Run, instance: Instance) -> Path:
    """The folder that the instance knows as RoleRoot."""
    return run.state / "roles" / instance.name


def resource(run: Run, deployment: str, instance: Instance, store: str) -> Path:
    """The folder of a local store of the instance."""
    return run.state / "Resources" / "Directory" / f"{deployment}.{instance.name}.{store}"


def plan(
    run: Run,
    deployment: Deployment,
    instance: Instance,
    document: Mapping[str, Any],
    sockets: Sequence[Listening] = (),
) -> Launch:
    """Everything that a start of the instance needs; a site that inherits no sockets opens its own.

    `document` is its ROLE_ENVIRONMENT.
    """
    role = run.service.role(instance.role)
    environ = _environ(run, deployment, instance)
    shell = Shell(run, role, role_root(run, instance) / "approot", logs(run, deployment.id, instance))
    site = _site_address(role, deployment, instance)
    mark = {children.MARK: str(role_root(run, instance))}
    runtime = {**_resolved(role.environment, document), **mark}
    if role.kind == "web":
        answered = {name: deployment.endpoints[instance.name][name] for name in sites.served(role)}
        program = shell.site(answered, sockets, {**environ, **runtime}, instance.number)
    else:
        program = shell.debugged(shell.entry_point({**environ, **runtime}), instance.number)
    steps = tuple(
        Step(task, shell.command(task.command_line, {**environ, **_resolved(task.environment, document), **mark}))
        for task in role.tasks
    )
    path = Path(environ["ROLE_ENVIRONMENT"])
    addresses = deployment.endpoints[instance.name]
    asked = checks.plan(run.service, role, addresses)
    return Launch(steps, program, path, site, addresses, asked, mark[children.MARK])


def unable(run: Run) -> dict[str, str]:
    """Why workers of the run cannot be started on this system, by role."""
    return {
        name: f"its entry point `{role.entry_point}` cannot run on this system"
        for name, role in ((name, run.service.role(name)) for name in run.roles)
        if role.kind == "worker"
        and Shell(run, role, run.sources[name], Path()).command(role.entry_point or "", {}) is None
    }


def logs(run: Run, deployment: str, instance: Instance) -> Path:
    """The folder of the instance's logs."""
    return resource(run, deployment, instance, DIAGNOSTIC_STORE) / "LogFiles"


def _environ(run: Run, deployment: Deployment, instance: Instance) -> dict[str, str]:
    """What every process of the instance sees, before the definition's own variables."""
    root = role_root(run, instance)
    python = run.runtimes[instance.role].python
    temp = str(run.state / "Resources" / "temp" / f"{deployment.id}.{instance.name}")
    inherited = {name: value for name, value in os.environ.items() if name not in _FROM_OUTSIDE}
    return {
        **inherited,
        "PATH": os.pathsep.join([str(python.parent), inherited.get("PATH", "")]),
        "PYTHONDONTWRITEBYTECODE": "1",  # a run writes nothing among the sources
        "EMULATED": "true",
        "PYTHON": str(python),
        "RoleRoot": str(root),
        "RoleName": instance.role,
        "RoleInstanceID": instance.name,
        "RoleInstanceId": instance.name,
        "RoleDeploymentID": deployment.id,
        "RoleDeploymentId": deployment.id,
        "RdRoleId": f"{deployment.id}.{instance.name}",
        DIAGNOSTIC_STORE: str(resource(run, deployment.id, instance, DIAGNOSTIC_STORE)),
        "ROLE_ENVIRONMENT": str(root / "role-environment.json"),
        **dict.fromkeys(("TEMP", "TMP", "TMPDIR"), temp),
    }


def _resolved(variables: tuple[Variable, ...], document: Mapping[str, Any]) -> dict[str, str]:
    return {
        variable.name: variable.value or "" if variable.xpath is None else xpath.evaluate(variable.xpath, document)
        for variable in variables
    }


def _site_address(role: Role, deployment: Deployment, instance: Instance) -> Address | None:
    """Where the sites of a web role listen: the first of the endpoints at which they answer."""
    addresses = deployment.endpoints[instance.name]
    return next((addresses[name] for name in sites.served(role) if name in addresses), None)
