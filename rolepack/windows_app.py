"""webapp-build and webapp-run for an app of App Service on Windows."""

import json as plain
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolepack.command import PROGRAM, say

if TYPE_CHECKING:
    from packager.appservice.windows import Runtime

_FROM_OUTSIDE = ("PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


def build(folder: str, place: Path, python: str | None) -> None:
    """Build an app in its folder, which the user named `folder`."""
    from cloudservice.files import shown
    from packager.appservice import windows
    from rolepack import progress

    with progress.shown() as report:
        built = windows.build(place, windows.runtime(place, python), report)
    if built.config is not None:
        say(f"Took {built.config.name} as web.config.")
    environment = shown(place / windows.ENVIRONMENT)
    if built.packages:
        how = "new" if built.is_made else "kept"
        what = f"with {built.packages} packages in {environment} ({how})"
    else:
        what = f"without an environment, since it has no {windows.REQUIREMENTS}"
    say(f"Built {shown(place)} for Windows, Python {built.runtime.version} here, {what}.")
    say(f"Next: {PROGRAM} webapp-run {folder} --platform windows --port 8000")


def run(folder: str, place: Path, port: int, logs: str | None, python: str | None, behaviour: str) -> None:
    """Go on as the host of an app, which the user named `folder`."""
    from cloudservice.errors import Fault, ServiceError
    from packager.appservice import windows

    interpreter = windows.environment_python(place)
    if not interpreter.exists():
        if (place / windows.REQUIREMENTS).is_file():
            wrong = f"it has a {windows.REQUIREMENTS}, and no environment"
            remedy = f"Build it first: {PROGRAM} webapp-build {folder} --platform windows"
            raise ServiceError(Fault(folder, wrong, remedy))
        interpreter = windows.runtime(place, python).python
    place_of_logs = Path(logs).absolute() if logs else place / ".rolepack" / "LogFiles"
    told = _told(place, place_of_logs, port, behaviour)
    told.update(_kits(place, interpreter))
    told["configs"] = _configs(place, python)
    _become(interpreter, told, port)


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
    from packager.appservice import windows

    try:
        chosen: Runtime | None = windows.runtime(place, python)
    except ServiceError:  # of an app that is built, with --python; which runtime it asks for is known all the same
        chosen = None
    config = None if chosen is None else windows.config_for(place, chosen)
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
