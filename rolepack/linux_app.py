"""webapp-run for an app of App Service on Linux: what its container would be told, and going on as it."""

import json as plain
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from emulator.appservice.container import Front, Run
    from emulator.appservice.startup import Start
    from packager.appservice.runtimes import Runtime

_ALL_ADDRESSES = ("0.0.0.0", "::")  # noqa: S104 - to know them
_PORT = 8000
_STARTING = 60.0
"""Seconds that a run may take until it holds its folder."""


class Wanted(NamedTuple):
    """How the user wants an app to run; `version` is that of a runtime, where one is asked for."""

    port: int
    host: str
    command: str
    version: str | None
    behaviour: str
    debug_port: int | None
    debug_waits: bool
    logs: str | None
    front: str | None = None
    """The scheme of a front end, if there is to be one."""


USUAL = Wanted(_PORT, "127.0.0.1", "", None, "current", None, False, None)
"""For what is only to look as if it ran."""


def deployed(app: Path) -> Path:
    """What runs of an app: what was deployed of it, or its folder as it is; ServiceError for a zip that was not."""
    from cloudservice import appservice
    from cloudservice.errors import Fault, ServiceError
    from cloudservice.files import shown
    from rolepack.command import PROGRAM

    wwwroot = appservice.home_of(app).wwwroot
    if not wwwroot.is_dir() and app.is_file():
        raise ServiceError(
            Fault(shown(app), "it was not deployed", f"Deploy it first: {PROGRAM} webapp-build {shown(app)}")
        )
    return wwwroot if wwwroot.is_dir() else app


def environment(app: Path, host: str, port: int) -> dict[str, str]:
    """All that the process of an app sees: our own environment, what the platform sets, and the app's settings."""
    from cloudservice import app_settings, appservice

    name = appservice.name_of(app)
    seen = "127.0.0.1" if host in _ALL_ADDRESSES else host
    platform = {"HOST": host, "PORT": str(port), "WEBSITE_SITE_NAME": name, "WEBSITE_HOSTNAME": seen}
    own = app_settings.environment(appservice.settings_folder(app))
    return {**appservice.inherited(), **platform, "WEBSITE_ROLE_INSTANCE_ID": "0", **own}


def start(app: Path, wanted: Wanted) -> "Start":
    """What would run of an app, and why."""
    return start_of(app, deployed(app), wanted)


def start_of(app: Path, folder: Path, wanted: Wanted) -> "Start":
    """The same, if what lies in a folder were deployed."""
    from emulator.appservice import places, startup

    run = _run(app, wanted, _Image(_runtime(deployed(app), wanted).version, Path("image")), Path("scratch"))
    with places.laid_out(folder) as place:
        return startup.plan(run.asked(place))


def run(app: Path, wanted: Wanted) -> int:
    """Go on as the container of an app."""
    from cloudservice import appservice, lock
    from cloudservice.files import write_whole
    from cloudservice.plain import to_plain
    from emulator import client

    _must_be_able(app)
    appservice.home_of(app).make()
    image = _image(app, wanted)
    for old in appservice.home_of(app).folder.glob("run-*"):
        if time.time() - old.stat().st_mtime > _STARTING and not lock.is_held_folder(old):  # of a run that was killed
            shutil.rmtree(old, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=appservice.home_of(app).folder))
    told = _run(app, wanted, image, scratch)
    path = scratch / "run.json"
    write_whole(path, plain.dumps(to_plain(told)), durable=False)
    path.chmod(0o600)
    return client.become_guarded([sys.executable, "-P", "-m", "emulator.appservice", str(path)])


def shell(app: Path, words: Sequence[str]) -> int:
    """Run a command, or a shell, in the folder and the environment of an app; its exit code."""
    from emulator import client

    with _inside(app, words) as (argv, environ):
        return client.call(argv, environ)


def output(app: Path, words: Sequence[str], patience: float) -> tuple[int, str]:
    """The exit code of a command in the folder and the environment of an app, and what it printed.

    One that takes more than some seconds is ended, and has failed.
    """
    from emulator import client

    with _inside(app, words) as (argv, environ):
        return client.output(argv, environ, patience)


@contextmanager
def _inside(app: Path, words: Sequence[str]) -> Iterator[tuple[list[str], Mapping[str, str]]]:
    """The command line and the variables for a command where an app runs; without words, for a shell."""
    from cloudservice import appservice
    from emulator.appservice import places, script
    from emulator.appservice.script import Surroundings

    _must_be_able(app)
    home = appservice.home_of(app)
    home.make()
    image = _image(app, USUAL)
    with tempfile.TemporaryDirectory(dir=home.folder) as scratch:
        told = _run(app, USUAL, image, Path(scratch))
        with places.laid_out(told.folder, joins=True) as place:
            around = Surroundings(image.place, place.built_at, None, place.is_unpacked)
            command = shlex.join(words) if words else os.environ.get("SHELL", "/bin/sh")
            path = Path(scratch) / "shell.sh"
            path.write_text(script.render_shell(told.asked(place), around, command), encoding="utf-8")
            yield ["/bin/sh", str(path)], told.environ


def as_it_is_now(app: Path, wanted: Wanted) -> "Run":
    """What a running app would be if it were started now; where it listens and its own folders mean nothing."""
    return _run(app, wanted._replace(front=None), _image(app, wanted), Path())


class _Image(NamedTuple):
    """The full version of an app's Python, and the environment with what the platform's image has beside it."""

    version: str
    place: Path


def _image(app: Path, wanted: Wanted) -> _Image:
    """The image of an app, made if it is not there."""
    from packager.appservice import environments
    from rolepack import progress

    runtime = _runtime(deployed(app), wanted)
    with progress.shown() as report:
        return _Image(runtime.version, environments.image(runtime, report))


def _run(app: Path, wanted: Wanted, image: _Image, scratch: Path) -> "Run":
    from cloudservice import app_settings, appservice
    from emulator import ports
    from emulator.appservice.container import START_LIMIT, STOP_LIMIT, Run

    home = appservice.home_of(app)
    front = _front(wanted)
    host, port = (ports.LOOPBACK, ports.some(ports.LOOPBACK)) if front else (wanted.host, wanted.port)
    environ = environment(app, host, port)
    folder = deployed(app)
    debug_port, waits = _debugging(wanted, environ)
    return Run(
        appservice.name_of(app),
        folder,
        environ,
        image.version,
        image.place,
        Path(wanted.logs).absolute() if wanted.logs else home.logs,
        scratch,
        host,
        port,
        wanted.command,
        wanted.behaviour,
        debug_port,
        waits,
        (home.active, folder / appservice.MANIFEST, *app_settings.files(appservice.settings_folder(app))),
        _seconds(environ, "WEBSITES_CONTAINER_START_TIME_LIMIT", START_LIMIT),
        _seconds(environ, "WEBSITES_CONTAINER_STOP_TIME_LIMIT", STOP_LIMIT),
        front,
        (sys.executable, "-P", "-m", "rolepack.again", str(app), plain.dumps(wanted)),
    )


def _front(wanted: Wanted) -> "Front | None":
    """The front end, if one is wanted; for https with the certificate of this machine."""
    from emulator.appservice.container import Front

    if wanted.front is None:
        return None
    if wanted.front == "http":
        return Front("http", wanted.host, wanted.port)
    from packager import certificate

    made = certificate.prepare()
    tls = certificate.as_told_to_apps(made)
    return Front("https", wanted.host, wanted.port, (made.path, made.key), tls)


def _must_be_able(app: Path) -> None:
    """ServiceError on a system that has no gunicorn."""
    from cloudservice.errors import Fault, ServiceError
    from cloudservice.files import shown

    if os.name == "nt":
        remedy = "Run it on Linux, macOS or WSL, or with --platform windows"
        raise ServiceError(Fault(shown(app), "apps for Linux run under gunicorn, which Windows has not", remedy))


def _runtime(folder: Path, wanted: Wanted) -> "Runtime":
    """The Python of an app: the one it was built with, else the one that is asked for, else our own.

    Packages that came with it tell their version by their folder.
    """
    from cloudservice import appservice, build_manifest
    from packager.appservice import runtimes
    from packager.target import minor_of

    built = (build_manifest.load(folder) or {}).get("PythonVersion")
    packed = sorted(folder.glob(f"{appservice.ENVIRONMENT}/lib/python3.*"))
    asked = minor_of(built) if built else wanted.version or (packed[0].name.removeprefix("python") if packed else None)
    return runtimes.choose(asked) if asked else runtimes.own()


def _debugging(wanted: Wanted, environ: Mapping[str, str]) -> tuple[int | None, bool]:
    """The port of the debugger and whether it waits, by options or by the platform's own settings."""
    if wanted.debug_port is not None:
        return wanted.debug_port, wanted.debug_waits
    if environ.get("APPSVC_REMOTE_DEBUGGING") != "TRUE":
        return None, False
    from emulator.appservice.startup import DEBUG_PORT

    written = environ.get("APPSVC_TUNNEL_PORT", "")
    port = int(written) if written.isascii() and written.isdigit() else DEBUG_PORT
    return port, environ.get("APPSVC_REMOTE_DEBUGGING_BREAK") == "TRUE"


def _seconds(environ: Mapping[str, str], name: str, usual: float) -> float:
    from cloudservice.errors import Fault, ServiceError

    written = environ.get(name, "")
    if not written:
        return usual
    if not (written.isascii() and written.isdigit()):
        raise ServiceError(Fault(name, f"'{written}' is no number of seconds", "Write a whole number"))
    return float(written)
