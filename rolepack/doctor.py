"""invoke webapp-doctor: what would keep an app from running, and what to do."""

import json as plain
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context, Exit

from rolepack.command import AS_JSON, PROGRAM, command, say, say_json
from rolepack.webapp import FOLDER, app_folder

if TYPE_CHECKING:
    from cloudservice.errors import Fault
    from packager.appservice.diagnosis import Start

_FIND = (
    "import importlib.util, json, sys; print(json.dumps([n for n in sys.argv[1:] if not importlib.util.find_spec(n)]))"
)
_ADVICE = re.compile(r"^\?: \((security\.W\d+)\) (.+)$", re.MULTILINE)
_PATIENCE = 60.0


@command(
    positional=["folder"],
    help={
        "folder": FOLDER,
        "startup-command": "The start-up command of the site, if it has one.",
        "json": AS_JSON,
    },
)
def webapp_doctor(_context: Context, folder: str, startup_command: str = "", json: bool = False) -> None:
    """Find what would keep an app from running in App Service on Linux, and say what to do.

    Example: invoke webapp-doctor .
    """
    from cloudservice import app_settings, appservice
    from packager.appservice import diagnosis
    from rolepack import linux_app

    place = app_folder(folder)
    wanted = linux_app.USUAL._replace(command=startup_command)
    start = linux_app.start_of(place, place, wanted)
    is_deployed = appservice.home_of(place).wwwroot.is_dir()
    found = diagnosis.Start(start.framework, start.module, startup_command, _elsewhere(startup_command))
    faults = diagnosis.diagnose(place, found, app_settings.environment(place))
    if is_deployed:
        faults += _of_deployed(place, found)
    errors = sum(fault.level == "error" for fault in faults)
    if json:
        say_json([fault._asdict() for fault in faults])
    else:
        for fault in faults:
            say(f"warning: {fault}" if fault.level == "warning" else str(fault))
        if not is_deployed:
            say(f"It was not built here, so that nothing of it was loaded: {PROGRAM} webapp-build {folder}")
        elif _has_changed(place):
            say(f"Its sources have changed since it was built. Build it again: {PROGRAM} webapp-build {folder}")
        warnings = len(faults) - errors
        say(
            f"{errors} {'error' if errors == 1 else 'errors'}, {warnings} {'warning' if warnings == 1 else 'warnings'}."
        )
    if errors:
        raise Exit(code=1)


def _elsewhere(command: str) -> tuple[str, ...]:
    """The addresses in a command of gunicorn at which the platform would not find the app."""
    from emulator.hosts.listening import bound, is_the_container_s

    words = command.split()
    if words[:1] != ["gunicorn"]:
        return ()
    return tuple(address for address in bound(words) if not is_the_container_s(address, "$PORT"))


def _of_gunicorn(start: "Start") -> list[str]:
    """The arguments with which gunicorn would load the app, if it is gunicorn that does."""
    words = start.command.split()
    if words:
        return words[1:] if words[0] == "gunicorn" else []
    return [start.module] if start.module and start.framework != "default" else []


def _has_changed(place: Path) -> bool:
    """Whether a source is younger than what was deployed."""
    from cloudservice import appservice
    from packager.appservice import code

    deployed = appservice.home_of(place).active.stat().st_mtime
    files = [*code.files(place), *place.glob("*.txt"), *place.glob("*.toml")]
    return any(path.stat().st_mtime > deployed for path in files)


def _of_deployed(place: Path, start: "Start") -> "Iterator[Fault]":
    """What the app's own environment says: modules that are missing, whether it loads, Django's own checks."""
    from cloudservice.errors import Fault
    from packager.appservice import code, diagnosis
    from rolepack import linux_app

    names = sorted(code.imported(place))
    done, printed = linux_app.output(place, ["python", "-c", _FIND, *names], _PATIENCE)
    missing = plain.loads(printed.splitlines()[-1]) if done == 0 and printed.strip() else []
    yield from diagnosis.of_missing(place, missing)
    arguments = _of_gunicorn(start)
    if arguments and not missing:
        done, printed = linux_app.output(place, ["gunicorn", "--check-config", *arguments], _PATIENCE)
        if done:
            yield diagnosis.of_failed_load(place, arguments[-1], printed)
    if start.framework == "Django" and (place / "manage.py").is_file() and not missing:
        done, printed = linux_app.output(place, ["python", "manage.py", "check", "--deploy"], _PATIENCE)
        for name, text in _ADVICE.findall(printed):
            yield Fault(
                "check --deploy", f"{name}: {text.rstrip('.')}", "See Django's deployment checklist", level="warning"
            )
