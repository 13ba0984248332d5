"""What the start of a container would run, and why: from an app, its manifest and its settings to one shell command.

Source: the script that the platform generates for each start, as it was observed.
"""

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cloudservice.appservice import ENVIRONMENT, MANIFEST
from cloudservice.build_manifest import Manifest
from cloudservice.errors import Fault, ServiceError
from emulator.appservice.detection import DEFAULT_MODULE, Detected, detect

PORT = 8000
"""Where the app in a container listens."""
DEBUG_PORT = 5678
DEFAULT_SITE = Path(__file__).with_name("defaultsite")
_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}
_PANIC = 2
_APPSVC = "appsvc.yaml"
_WWWROOT = "/home/site/wwwroot"
"""The app's folder in a container, which commands may name."""
_LOGS = "--timeout 600 --access-logfile '-' --error-logfile '-'"


class StartError(ServiceError):
    """What keeps an app from starting, with the exit code of the platform's start."""

    exit_code = _PANIC


class Debugging(NamedTuple):
    """Where debugpy listens, and whether the app waits for a client there."""

    port: int
    waits: bool


class Asked(NamedTuple):
    """All that a start goes by.

    The app lies in `app`, below which `manifest` says how it was built; `environ` is what its process will see.
    `command` is the start-up command or file, empty if there is none; `version` the full version of its Python. Of the
    default site `default` is the folder.
    """

    app: Path
    manifest: Manifest | None
    environ: Mapping[str, str]
    version: str
    default: Path
    port: int = PORT
    host: str = "0.0.0.0"  # noqa: S104 - what the platform says; who runs it here decides what it is
    command: str = ""
    debugging: Debugging | None = None
    behaviour: str = "current"

    @property
    def command_here(self) -> str:
        """The start-up command with the app's own folder in the place of the container's."""
        return self.command.strip().replace(_WWWROOT, str(self.app))

    @property
    def environment(self) -> str:
        """The name of the virtual environment, by the manifest or else as the platform asks for it."""
        return (self.manifest or {}).get("virtualEnvName") or ENVIRONMENT


class Start(NamedTuple):
    """What would run: the framework, the command, the module that gunicorn gets, and what the platform says about it.

    The framework is `custom`, which has no module, `Django`, `FastAPI`, `Flask` or `default`. `fallback` is what runs
    when the command has failed, where that is documented.
    """

    framework: str
    command: str
    module: str | None
    messages: tuple[str, ...]
    fallback: str = ""


def plan(asked: Asked) -> Start:
    """What would run; StartError for settings that end the platform's start, ServiceError for a file elsewhere."""
    said = [*_about_manifest(asked), *(f"User provided run command: {line}" for line in appended(asked.app))]
    if not asked.command:
        said.append("App Command Line not configured, will attempt auto-detect")
        return _detected(asked, said)
    said.append(f"Site's appCommandLine: {asked.command}")
    custom = f'PATH="$PATH:{quoted(asked.app)}" {_custom(asked)}'
    if asked.behaviour == "current":
        return Start("custom", custom, None, tuple(said))
    found = _detected(asked, [])
    return Start("custom", custom, None, tuple(said), fallback=found.command)


def _about_manifest(asked: Asked) -> list[str]:
    where = f"'{asked.app / MANIFEST}'"
    if asked.manifest is None:
        return [f"Could not find build manifest file at {where}"]
    said = [f"Found build manifest file at {where}. Deserializing it..."]
    return [*said, f"Build Operation ID: {asked.manifest.get('OperationId', '')}"]


def _custom(asked: Asked) -> str:
    """The command that a start-up command or file means.

    One word that is a file: a script is run, and of any other file the first line is the command. The documentation
    knows files of several commands, whatever their names.
    """
    text = asked.command_here
    path = Path(os.path.normpath(asked.app / text))
    if len(text.split()) != 1 or not _is_file(path):
        return text
    if not path.resolve().is_relative_to(asked.app.resolve()):
        remedy = "Name a file relative to the app's root"
        raise ServiceError(Fault("--startup-command", f"'{text}' leads out of the app's folder", remedy))
    if path.suffix == ".sh" or asked.behaviour == "documented":
        return text
    lines = path.read_text("utf-8-sig", "replace").splitlines()
    return lines[0].strip() if lines else ""


def script_of(asked: Asked) -> Path | None:
    """The file of the app that the start-up command runs, which has to be executable then."""
    text = asked.command_here
    path = asked.app / text
    return path if text and _is_file(path) and _custom(asked) == text else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # what is too long for a path is none
        return False


def _detected(asked: Asked, said: list[str]) -> Start:
    has_fastapi = asked.environ.get("DISABLE_FASTAPI_DETECTION", "").lower() != "true"
    found = detect(asked.app, asked.version, asked.environment, has_fastapi, asked.behaviour)
    if found is None:
        said.append(f"No framework detected; using default app from {asked.default}")
        found = Detected("default", DEFAULT_MODULE)
    else:
        said.append(f"Detected an app based on {found.framework}")
    if asked.debugging:
        return Start(found.framework, _debugged(asked, asked.debugging, found), found.module, tuple(said))
    said.append(f"Generating `gunicorn` command for '{found.module}'")
    return Start(found.framework, _gunicorn(asked, found), found.module, tuple(said))


def _gunicorn(asked: Asked, found: Detected) -> str:
    """The command of the platform. gunicorn takes what stands in GUNICORN_CMD_ARGS before its own arguments."""
    folder = asked.default if found.framework == "default" else asked.app
    if asked.behaviour == "documented":
        where = f" --chdir={shlex.quote(str(folder))}" if found.framework == "default" else ""
        return f"gunicorn --bind=0.0.0.0 --timeout 600{where} {found.module}"
    words = [_LOGS]
    if config := asked.environ.get("PYTHON_USE_GUNICORN_CONFIG_FROM_PATH"):
        words.append(f"-c {config}")
    if _is_true(asked.environ, "PYTHON_ENABLE_GUNICORN_MULTIWORKERS"):
        workers = asked.environ.get("PYTHON_GUNICORN_CUSTOM_WORKER_NUM") or 2 * _processors() + 1
        words.append(f"--workers={workers}")
        if threads := asked.environ.get("PYTHON_GUNICORN_CUSTOM_THREAD_NUM"):
            words.append(f"--threads={threads}")
    words += [f"--bind=0.0.0.0:{asked.port}", f"--chdir={quoted(shlex.quote(str(folder)))}"]
    worker = f"-k {found.worker} " if found.worker else ""
    return f'GUNICORN_CMD_ARGS="{" ".join(words)}" gunicorn {worker}{found.module}'


def _debugged(asked: Asked, debugging: Debugging, found: Detected) -> str:
    """The framework's own server under debugpy."""
    waits = " --wait-for-client" if debugging.waits else ""
    folder = asked.default if found.framework == "default" else asked.app
    module = found.module.partition(":")[0]
    server = {
        "Django": "-m manage runserver --noreload --nothreading $HOST:$PORT",
        "FastAPI": f"-m uvicorn {found.module} --host $HOST --port $PORT",
        "Flask": "-m flask run --host $HOST --port $PORT",
    }.get(found.framework, "application.py")
    before = f"export FLASK_APP={module}.py && " if found.framework == "Flask" else ""
    listens = f"--listen {asked.host}:{debugging.port}{waits}"
    return f"{before}cd {shlex.quote(str(folder))} && python -m debugpy {listens} {server}"


def appended(app: Path) -> list[str]:
    """`run:` of appsvc.yaml, read by lines and not as YAML, as the platform does; it comes behind the command."""
    path = app / _APPSVC
    lines = path.read_text("utf-8-sig", "replace").splitlines() if path.is_file() else []
    starts = [number for number, line in enumerate(lines) if line.startswith("run:")]
    if not starts:
        return []
    first, *rest = lines[starts[0] :]
    commands = [first.removeprefix("run:"), *rest]
    return [line.strip() for line in commands if line.strip()]


def quoted(text: object) -> str:
    """A text as it has to be written between the double quotes of a shell."""
    return re.sub(r'([$`"\\])', r"\\\1", str(text))


def _is_true(environ: Mapping[str, str], name: str) -> bool:
    """A boolean as Go reads it; another word ends the start."""
    written = environ.get(name, "")
    if written and written not in _TRUE | _FALSE:
        remedy = "Write true or false"
        raise StartError(Fault(name, f"'{written}' is no boolean", remedy))
    return written in _TRUE


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
