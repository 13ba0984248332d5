"""How this system runs the command lines of a role, which are written for Windows."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from cloudservice import commandline
from cloudservice.commandline import Files, Script
from cloudservice.errors import Fault, ServiceError
from cloudservice.instances import Address
from cloudservice.service import Role
from emulator import ports, sites
from emulator.run import Run

_CONFIGURES, _LAUNCHES = "configurecloudservice.ps1", "launchworker.ps1"
_BATCH = (".cmd", ".bat")


class Command(NamedTuple):
    """A process to be, and the log that gets its output and errors."""

    argv: tuple[str, ...]
    cwd: Path
    environ: Mapping[str, str]
    log: Path
    sockets: tuple[int, ...] = ()
    """Open files that it inherits."""


class Listening(NamedTuple):
    """A socket that listens for an endpoint of an instance: at its own address, or at a public port."""

    endpoint: str
    number: int


class Shell(NamedTuple):
    """Runs for a role whose sources are linked at `approot`."""

    run: Run
    role: Role
    approot: Path
    logs: Path

    @property
    def _base(self) -> str:
        """The folder below the role's in which its command lines start."""
        return "bin" if self.role.kind == "web" else ""

    def site(
        self,
        addresses: Mapping[str, Address],
        sockets: Sequence[Listening],
        environ: Mapping[str, str],
        number: int,
    ) -> Command:
        """The host program of a web role's instance of that number, for the endpoints at which its sites answer."""
        runtime = self.run.runtimes[self.role.name]
        if not addresses:
            remedy = "Give it an InputEndpoint with protocol http"
            raise ServiceError(Fault(f"role '{self.role.name}'", "a web role needs an http endpoint", remedy))
        first = next(iter(self.run.sites[self.role.name].values()), self.run.sources[self.role.name])
        numbers = tuple(one.number for one in sockets)
        if runtime.image is not None:
            from emulator.appservice import hosted

            app = hosted.App(self.run, self.role, first, addresses, numbers, environ, number)
            return Command(hosted.argv(app, runtime.image), first, app.seen, self.logs / hosted.LOG, numbers)
        listens: list[tuple[object, ...]] = [(*addresses[one.endpoint], one.number) for one in sockets]
        told = {
            "listens": listens or [(*address, None) for address in addresses.values()],
            "certificate": [str(path) for path in self.run.certificate],
            "sites": sites.told(self.run, self.role, addresses),
            "kit": str(runtime.kit or ""),
            "logs": str(self.logs / "W3SVC1"),
            "scratch": environ["TMP"],
            "loads_first": True,
            "max_instances": sites.PROCESSES,
            "debugger": self._debugger(number),
            "behaviour": "documented",
            "configs": sites.CONFIGS,
            "restarts": False,  # sources are edited in place, and an upgrade that fails has to leave what runs as it is
        }
        argv = (str(runtime.python), "-u", str(sites.SITE_HOST), json.dumps(told))
        return Command(argv, first, environ, self.logs / "Site.log", numbers)

    def _debugger(self, number: int) -> tuple[str, int, bool] | None:
        """The folder with debugpy, the port of the role's instance of that number, and whether it waits there."""
        runtime = self.run.runtimes[self.role.name]
        if runtime.debugger is None or runtime.debug_port is None:
            return None
        return str(runtime.debugger), runtime.debug_port + number, self.run.waits_for_debugger

    def entry_point(self, environ: Mapping[str, str]) -> Command:
        """The program of a worker role; ServiceError if this system cannot run it."""
        command = self.command(self.role.entry_point or "", environ)
        if command is None:
            wrong = f"its entry point `{self.role.entry_point}` cannot run on this system"
            remedy = "Put a .py file of the same name beside the script, or leave the role out with --role"
            raise ServiceError(Fault(f"role '{self.role.name}'", wrong, remedy))
        return command

    def debugged(self, program: Command, number: int) -> Command:
        """The same program under debugpy, listening for a client at the port of the role's instance of that number."""
        debugger = self._debugger(number)
        if debugger is None:
            return program
        folder, port, is_waited_for = debugger
        python, *rest = program.argv
        if python != str(self.run.runtimes[self.role.name].python):
            wrong = f"its program `{self.role.entry_point}` is not Python"
            raise ServiceError(Fault(f"role '{self.role.name}'", wrong, "Leave it out of --debug"))
        listens = ("--listen", f"{ports.LOOPBACK}:{port}", *(("--wait-for-client",) if is_waited_for else ()))
        # Frozen modules and file checks of pydevd would only make it warn.
        argv = (python, "-X", "frozen_modules=off", "-u", str(Path(folder) / "debugpy"), *listens, *rest[1:])
        return program._replace(argv=argv, environ={**program.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"})

    def command(self, command_line: str, environ: Mapping[str, str]) -> Command | None:
        """The command that this system runs for a task or an entry point; None if it has no way."""
        words = commandline.words(command_line)
        program, *arguments = (words[:1] + [commandline.expanded(word, environ) for word in words[1:]]) or [""]
        if not program:
            return None
        if commandline.is_python(program):
            return self._python(self.approot / self._base, arguments, environ, "LaunchWorker.ps1.log")
        files = Files(self.approot)
        script = commandline.powershell_script([program, *arguments], self._base)
        if script is not None:
            return self._powershell(files, script, environ)
        return self._program(files, program, arguments, environ)

    def _program(
        self, files: Files, program: str, arguments: Sequence[str], environ: Mapping[str, str]
    ) -> Command | None:
        """A file of the role, or its twin where this is not Windows and the file is for that, or one of the system."""
        log = program.replace("\\", "/").rpartition("/")[2] + ".log"
        found = files.find(program, self._base)
        name = program if found is None else found.name
        if os.name != "nt" and name.lower().endswith((*_BATCH, ".ps1")):
            twin = self._twin(files, program, self._base)
            return None if twin is None else self._run(twin, arguments, self.approot / self._base, environ, log)
        if found is not None and (os.name == "nt" or found.suffix.lower() != ".exe"):
            return self._run(found, arguments, self.approot / self._base, environ, log)
        path = shutil.which(program)
        if path is None or (os.name != "nt" and path.lower().endswith(".exe")):
            return None
        return Command((path, *arguments), self.approot / self._base, environ, self.logs / log)

    def _powershell(self, files: Files, script: Script, environ: Mapping[str, str]) -> Command | None:
        """`ps.cmd SCRIPT.ps1 …`: the .py twin beside the script, what the known scripts do, or the script itself.

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
        shell = shutil.which("pwsh") or (shutil.which("powershell") if os.name == "nt" else None)
        there = files.find(script.name, script.folder)
        if shell and there:
            argv = (shell, "-NoProfile", "-NonInteractive", "-File", str(there), *script.arguments)
            return Command(argv, there.parent, environ, self.logs / log)
        other = self._twin(files, script.name, script.folder)
        return None if other is None else self._run(other, script.arguments, other.parent, environ, log)

    def _twin(self, files: Files, program: str, base: str) -> Path | None:
        """The script for other systems beside one for Windows."""
        path = PureWindowsPath(program)
        if not path.name:
            return None
        twins = (files.find(str(path.with_suffix(ending)), base) for ending in (".sh", ".py"))
        return next((twin for twin in twins if twin), None)

    def _run(
        self, path: Path, arguments: Sequence[str], cwd: Path, environ: Mapping[str, str], log: str
    ) -> Command | None:
        """The command that runs a file of the role; None if it is not executable."""
        ending = path.suffix.lower()
        if ending == ".py":
            return self._python(cwd, [str(path), *arguments], environ, log)
        if os.name == "nt" and ending in _BATCH:
            argv: tuple[str, ...] = (os.environ.get("COMSPEC", "cmd.exe"), "/d", "/c", str(path), *arguments)
        elif os.access(path, os.X_OK):
            argv = (str(path), *arguments)
        elif ending == ".sh" and os.name != "nt":
            argv = ("/bin/sh", str(path), *arguments)
        else:
            return None
        return Command(argv, cwd, environ, self.logs / log)

    def _python(self, cwd: Path, arguments: Sequence[str], environ: Mapping[str, str], log: str) -> Command:
        argv = (str(self.run.runtimes[self.role.name].python), "-u", *arguments)
        return Command(argv, cwd, environ, self.logs / log)
