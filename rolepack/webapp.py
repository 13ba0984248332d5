"""invoke webapp-build, webapp-run: one App Service app, without a service around it."""

import json as plain
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Context

from rolepack.command import PROGRAM, command, say

if TYPE_CHECKING:
    from packager.webapp import Runtime

_PLATFORM = "The platform that the app is for: windows."
_PYTHON = "A Python version or an interpreter, in the place of the one that runtime.txt names."
_FROM_OUTSIDE = ("PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
_LAST_PORT = 65535


@command(
    positional=["folder"],
    help={"folder": "Folder of the app: a repository with web.config.", "platform": _PLATFORM, "python": _PYTHON},
)
def webapp_build(_context: Context, folder: str, platform: str = "", python: str | None = None) -> None:
    """Build an app as App Service does: web.X.Y.config by runtime.txt, the environment `env`, pip install.

    Example: invoke webapp-build . --platform windows
    """
    from cloudservice.files import shown
    from packager import webapp
    from rolepack import progress

    place = _app(folder, platform)
    with progress.shown() as report:
        built = webapp.build(place, webapp.runtime(place, python), report)
    if built.config is not None:
        say(f"Took {built.config.name} as web.config.")
    environment = shown(place / webapp.ENVIRONMENT)
    if built.packages:
        how = "new" if built.is_made else "kept"
        what = f"with {built.packages} packages in {environment} ({how})"
    else:
        what = f"without an environment, since it has no {webapp.REQUIREMENTS}"
    say(f"Built {shown(place)} for Windows, Python {built.runtime.version} here, {what}.")
    say(f"Next: {PROGRAM} webapp-run {folder} --platform windows --port 8000")


@command(
    positional=["folder"],
    help={
        "folder": "Folder of the app.",
        "platform": _PLATFORM,
        "port": "Port on the loopback address; 0 takes a free one.",
        "logs": "Folder for the logs. Default: .rolepack/LogFiles in the app's folder.",
        "python": f"{_PYTHON} An environment that was built has its own.",
        "behaviour": "documented: the static rules of the documentation do what it says; current: what IIS does.",
    },
)
def webapp_run(
    _context: Context,
    folder: str,
    platform: str = "",
    port: int = 8000,
    logs: str | None = None,
    python: str | None = None,
    behaviour: str = "documented",
) -> None:
    """Serve an app as IIS does by its web.config, until Ctrl-C or SIGTERM.

    Example: invoke webapp-run . --platform windows --port 8000 --logs logs
    """
    from cloudservice.errors import Fault, ServiceError
    from emulator import ports
    from packager import webapp

    place = _app(folder, platform)
    faults = []
    if behaviour not in {"documented", "current"}:
        faults.append(Fault("--behaviour", f"'{behaviour}' is unknown", "Choose documented or current"))
    if not 0 <= port <= _LAST_PORT:
        faults.append(Fault("--port", f"{port} is no port", f"Choose one from 0 to {_LAST_PORT}"))
    elif not ports.is_free(port):
        faults.append(Fault("--port", f"port {port} is taken", "Choose another, or 0 for a free one"))
    if faults:
        raise ServiceError(*faults)
    interpreter = webapp.environment_python(place)
    if not interpreter.exists():
        if (place / webapp.REQUIREMENTS).is_file():
            wrong = f"it has a {webapp.REQUIREMENTS}, and no environment"
            remedy = f"Build it first: {PROGRAM} webapp-build {folder} --platform windows"
            raise ServiceError(Fault(folder, wrong, remedy))
        interpreter = webapp.runtime(place, python).python
    place_of_logs = Path(logs).absolute() if logs else place / ".rolepack" / "LogFiles"
    told = _told(place, place_of_logs, port, behaviour)
    told.update(_kits(place, interpreter))
    told["configs"] = _configs(place, python)
    _become(interpreter, told, port)


def _app(folder: str, platform: str) -> Path:
    """The folder of an app; ServiceError if it is none, or for a platform that is not known."""
    from cloudservice.errors import Fault, ServiceError

    place = Path(folder)
    if platform != "windows":
        wrong = f"'{platform}' is not known yet" if platform else "it is not said"
        raise ServiceError(Fault("--platform", wrong, "Add --platform windows"))
    if not place.is_dir():
        raise ServiceError(Fault(folder, "there is no such folder", "Name the folder of an app"))
    return place.resolve()


def _told(place: Path, logs: Path, port: int, behaviour: str) -> dict[str, Any]:
    from emulator import ports, sites

    scratch = logs / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    return {
        "name": place.name,
        "listens": [["http", ports.LOOPBACK, port, None]],
        "certificate": [],
        "sites": [{"bindings": [], "places": [["", str(place), True]]}],
        "logs": str(logs / "W3SVC1"),
        "output": str(logs / "Site.log"),
        "scratch": str(scratch),
        "loads_first": False,
        "restarts": True,
        "max_instances": sites.PROCESSES,
        "debugger": None,
        "behaviour": behaviour,
        "app_service": [str(place), str(logs)],
    }


def _configs(place: Path, python: str | None) -> list[str]:
    """The names of web.config: what the build would have taken for one, where it has not been built."""
    from cloudservice.errors import ServiceError
    from packager import webapp

    try:
        chosen: Runtime | None = webapp.runtime(place, python)
    except ServiceError:  # of an app that is built, with --python; which runtime it asks for is known all the same
        chosen = None
    config = None if chosen is None else webapp.config_for(place, chosen)
    return ["web.config", *([config.name.lower()] if config else [])]


def _kits(place: Path, interpreter: Path) -> dict[str, str]:
    """The folders with the server for ASGI and, if the app wants it, with the debugger."""
    from cloudservice.errors import ServiceError
    from emulator.hosts import elements, webconfig
    from packager import environment
    from rolepack import progress

    kits = {"kit": "", "debug_kit": ""}
    path = webconfig.find(place)
    try:
        settings = webconfig.app_settings(webconfig.load(path, "")) if path else {}
    except elements.MalformedError:
        settings = {}  # which every request is told
    with progress.shown() as report:
        try:
            kits["kit"] = str(environment.runtime_kit(interpreter, report))
        except ServiceError as error:
            say(f"An application of ASGI could not be served: {error}")
        if settings.get("WSGI_PTVSD_SECRET"):
            kits["debug_kit"] = str(environment.debug_kit(interpreter, report))
    return kits


def _become(interpreter: Path, told: dict[str, Any], port: int) -> None:
    """Go on as the host of the site."""
    from emulator import client, sites

    environ = {name: value for name, value in os.environ.items() if name not in _FROM_OUTSIDE}
    environ["PATH"] = os.pathsep.join([str(interpreter.parent), environ.get("PATH", "")])
    environ["WEBSITE_SITE_NAME"] = told["name"]
    environ["WEBSITE_HOSTNAME"] = f"127.0.0.1:{port}"
    sys.stdout.flush()
    client.become([str(interpreter), "-u", str(sites.SITE_HOST), plain.dumps(told)], environ)
