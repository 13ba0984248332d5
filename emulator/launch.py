"""From an instance to all that its start needs; nothing is started here."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from cloudservice import commandline, xpath
from cloudservice.commandline import Files, Script
from cloudservice.errors import Fault, ServiceError
from cloudservice.instances import DIAGNOSTIC_STORE, Address, Deployment, Instance, role_environment
from cloudservice.service import Role, Task, Variable
from emulator import children
from emulator.run import Run

SITE_HOST = Path(__file__).parent / "hosts" / "site.py"
_CONFIGURES, _LAUNCHES = "configurecloudservice.ps1", "launchworker.ps1"
_FROM_OUTSIDE = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
"""Variables of whoever started the emulator that would change a role's interpreter."""


@dataclass(frozen=True, slots=True)
class Command:
    """A process to be, and the log that gets its output and errors."""

    argv: tuple[str, ...]
    cwd: Path
    environ: Mapping[str, str]
    log: Path
    sockets: tuple[int, ...] = ()
    """Open files that it inherits."""


@dataclass(frozen=True, slots=True)
class Step:
    """A startup task: its command, or None where this system cannot run it."""

    task: Task
    command: Command | None


@dataclass(frozen=True, slots=True)
class Launch:
    """An instance: its startup tasks, its program, its ROLE_ENVIRONMENT document, and where site and endpoints are.

    Every process of the instance inherits `mark` in the variable children.MARK.
    """

    instance: Instance
    steps: tuple[Step, ...]
    program: Command
    document: Mapping[str, Any]
    document_path: Path
    site: Address | None
    addresses: Mapping[str, Address]
    mark: str


def role_root(run: Run, instance: Instance) -> Path:
    """The folder that the instance knows as RoleRoot."""
    return run.state / "roles" / instance.name


def resource(run: Run, deployment: str, instance: Instance, store: str) -> Path:
    """The folder of a local store of the instance."""
    return run.state / "Resources" / "Directory" / f"{deployment}.{instance.name}.{store}"


class Listening(NamedTuple):
    """A socket that listens for an endpoint of an instance: at its own address, or at a public port."""

    endpoint: str
    number: int


def plan(run: Run, deployment: Deployment, instance: Instance, sockets: Sequence[Listening] = ()) -> Launch:
    """Everything that a start of the instance needs; a site that inherits no sockets opens its own."""
    role = run.service.role(instance.role)
    document = role_environment(run.service, deployment, instance)
    environ = _environ(run, deployment, instance)
    shell = _Shell(run, role, role_root(run, instance) / "approot", logs(run, deployment.id, instance))
    site = _site_address(role, deployment, instance)
    mark = {children.MARK: str(role_root(run, instance))}
    runtime = {**_resolved(role.environment, document), **mark}
    if role.kind == "web":
        answered = {name: deployment.endpoints[instance.name][name] for name in served(role)}
        program = shell.site(answered, sockets, {**environ, **runtime})
    else:
        program = shell.entry_point({**environ, **runtime})
    steps = tuple(
        Step(task, shell.command(task.command_line, {**environ, **_resolved(task.environment, document), **mark}))
        for task in role.tasks
    )
    path = Path(environ["ROLE_ENVIRONMENT"])
    addresses = deployment.endpoints[instance.name]
    return Launch(instance, steps, program, document, path, site, addresses, mark[children.MARK])


def served(role: Role) -> list[str]:
    """The endpoints at which a web role's first site answers: those it is bound to, or else every http endpoint."""
    http = [endpoint.name for endpoint in role.endpoints if endpoint.protocol in {"http", "https"}]
    bound = [name for site in role.sites[:1] for name in site.endpoints if name in http]
    return [] if role.kind != "web" else bound or http


def unable(run: Run) -> dict[str, str]:
    """Why workers of the run cannot be started on this system, by role."""
    return {
        name: f"its entry point `{role.entry_point}` cannot run on this system"
        for name, role in ((name, run.service.role(name)) for name in run.roles)
        if role.kind == "worker"
        and _Shell(run, role, run.sources[name], Path()).command(role.entry_point or "", {}) is None
    }


def logs(run: Run, deployment: str, instance: Instance) -> Path:
    """The folder of the instance's logs."""
    return resource(run, deployment, instance, DIAGNOSTIC_STORE) / "LogFiles"


@dataclass(frozen=True, slots=True)
class _Shell:
    """How this system runs the command lines of a role whose sources are linked at `approot`."""

    run: Run
    role: Role
    approot: Path
    logs: Path

    def site(
        self, addresses: Mapping[str, Address], sockets: Sequence[Listening], environ: Mapping[str, str]
    ) -> Command:
        """The host program of a web role, for the endpoints at which its site answers."""
        runtime = self.run.runtimes[self.role.name]
        if not addresses:
            remedy = "Give it an InputEndpoint with protocol http"
            raise ServiceError(Fault(f"role '{self.role.name}'", "a web role needs an http endpoint", remedy))
        site = next(iter(self.run.sites[self.role.name].values()), self.run.sources[self.role.name])
        options = ("--kit", str(runtime.kit), "--logs", str(self.logs / "W3SVC1"))
        own = {name: f"{at.protocol},{at.address},{at.port}" for name, at in addresses.items()}
        listens = [f"{own[one.endpoint]},{one.number}" for one in sockets] or list(own.values())
        where = [word for text in listens for word in ("--listen", text)]
        argv = (str(runtime.python), "-u", str(SITE_HOST), *where, *options)
        return Command(argv, site, environ, self.logs / "Site.log", tuple(one.number for one in sockets))

    def entry_point(self, environ: Mapping[str, str]) -> Command:
        """The program of a worker role; ServiceError if this system cannot run it."""
        command = self.command(self.role.entry_point or "", environ)
        if command is None:
            wrong = f"its entry point `{self.role.entry_point}` cannot run on this system"
            remedy = "Put a .py file of the same name beside the script, or leave the role out with --role"
            raise ServiceError(Fault(f"role '{self.role.name}'", wrong, remedy))
        return command

    def command(self, command_line: str, environ: Mapping[str, str]) -> Command | None:
        """The command that this system runs for a task or an entry point; None if it has no way."""
        base = "bin" if self.role.kind == "web" else ""
        words = commandline.words(command_line)
        program, *arguments = words or [""]
        if not program:
            return None
        files, name = Files(self.approot), program.replace("\\", "/").rpartition("/")[2]
        script = commandline.ps_script(words, base)
        if script is not None:
            return self._script(files, script, environ)
        if commandline.is_python(program):
            return self._python(self.approot / base, arguments, environ, "LaunchWorker.ps1.log")
        found = files.find(program, base)
        path = str(found) if found and os.access(found, os.X_OK) else shutil.which(program)
        if path is None or (os.name != "nt" and path.lower().endswith((".cmd", ".bat", ".exe"))):
            return None
        return Command((path, *arguments), self.approot / base, environ, self.logs / f"{name}.log")

    def _script(self, files: Files, script: Script, environ: Mapping[str, str]) -> Command | None:
        """`ps.cmd SCRIPT.ps1 …`: the .py twin beside the script, else what the known scripts do.

        A worker that names no program runs the one that its project starts, or the one that a new project has.
        """
        path = PureWindowsPath(script.name)
        log = f"{path.name}.log"
        twin = files.find(str(path.with_suffix(".py")), script.folder) if path.name else None
        if twin:
            return self._python(twin.parent, [str(twin), *script.arguments], environ, log)
        if path.name.lower() == _CONFIGURES:
            done = "print('The emulator has installed the packages.')"
            return self._python(self.approot, ["-c", done], environ, log)
        if path.name.lower() == _LAUNCHES:
            program = self.run.service.sources[self.role.name].startup or "worker.py"
            return self._python(self.approot, script.arguments or (program,), environ, log)
        return None

    def _python(self, cwd: Path, arguments: Sequence[str], environ: Mapping[str, str], log: str) -> Command:
        argv = (str(self.run.runtimes[self.role.name].python), "-u", *arguments)
        return Command(argv, cwd, environ, self.logs / log)


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
    """Where the site of a web role listens: the first of the endpoints at which it answers."""
    addresses = deployment.endpoints[instance.name]
    return next((addresses[name] for name in served(role) if name in addresses), None)
