"""invoke webapp-build, webapp-run: one App Service app, without a service around it."""

from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context

from rolepack.command import AS_JSON, PROGRAM, command, say, say_json

if TYPE_CHECKING:
    from packager.appservice.building import Order

FOLDER = "Folder of the app."
_PLATFORM = "The platform that the app is for: linux, or windows, whose apps have a web.config."
_RUNTIME = "The Python of the platform, such as 'PYTHON|3.12'; webapp-runtimes lists them."
_PYTHON = "With --platform windows: a Python version or an interpreter, in the place of that in runtime.txt."
_BEHAVIOUR = "Where the platform and its documentation differ: current, what it does, or documented."
_LAST_PORT = 65535


@command(
    positional=["folder"],
    iterable=["property"],
    help={
        "folder": f"{FOLDER[:-1]}, or a zip of it, which is built if SCM_DO_BUILD_DURING_DEPLOYMENT says so.",
        "output": "Folder for the built app. Default: where webapp-run finds it, .rolepack/home/site/wwwroot.",
        "platform": _PLATFORM,
        "runtime": _RUNTIME,
        "installer": "What installs packages: uv, which is faster, or pip.",
        "property": "NAME=VALUE for the build: virtualenv_name, packagedir or compress_virtualenv; repeatable.",
        "compress": "Put the output into one archive, which a start unpacks.",
        "behaviour": _BEHAVIOUR,
        "python": _PYTHON,
    },
)
def webapp_build(
    _context: Context,
    folder: str,
    property: list[str],  # noqa: A002 - the platform's word
    output: str | None = None,
    platform: str = "linux",
    runtime: str | None = None,
    installer: str = "uv",
    compress: bool = False,
    behaviour: str = "current",
    python: str | None = None,
) -> None:
    """Build an app as App Service does at a deployment, and put it where webapp-run finds it.

    Example: invoke webapp-build . --runtime "PYTHON|3.12"
    """
    if platform == "windows":
        from rolepack import windows_app

        windows_app.build(folder, app_folder(folder, platform), python)
        return
    from packager.appservice import building

    order = building.Order(
        app_or_zip(folder, platform),
        Path(output).absolute() if output else None,
        asked_version(runtime),
        _properties(property),
        _chosen("--installer", installer, building.INSTALLERS),
        compress,
        _chosen("--behaviour", behaviour, ("current", "documented")),
    )
    _build(folder, order)


def _build(folder: str, order: "Order") -> None:
    from cloudservice.files import shown
    from packager.appservice import building
    from rolepack import progress

    with progress.shown() as report:
        built = building.deploy(order, say, report)
    how = f"with Python {built.version}" if built.version else "without a build"
    say(f"Deployed {shown(order.app)} {how} to {shown(built.output)}; the log is {shown(built.log)}.")
    say(f"Next: {PROGRAM} webapp-run {folder if order.output is None else shown(built.output)} --port 8000")


@command(
    positional=["folder"],
    help={
        "folder": f"{FOLDER[:-1]}, or one that webapp-build has written to.",
        "platform": _PLATFORM,
        "port": "Port at which the app answers; 0 takes a free one.",
        "host": "Address at which it does. Default: the loopback address.",
        "startup-command": "The start-up command of the site, or the name of a file of the app that has it.",
        "print-command": "Print what would run and why, and start nothing.",
        "json": f"With --print-command: {AS_JSON.lower()}",
        "runtime": f"{_RUNTIME} An app that was built has its own.",
        "debug-port": "Run the framework's own server under debugpy, which listens at this port.",
        "debug-wait": "With --debug-port: wait for a client there first.",
        "front-end": "Put the platform's front end before the app, which then never meets its clients itself.",
        "https": "The same, with TLS, which ends there; `certificate` tells of its certificate.",
        "logs": "Folder for the logs. Default: .rolepack/home/LogFiles in the app's folder.",
        "python": f"{_PYTHON} An environment that was built has its own.",
        "behaviour": f"{_BEHAVIOUR} Default: current; with --platform windows: documented.",
    },
)
def webapp_run(
    _context: Context,
    folder: str,
    platform: str = "linux",
    port: str = "8000",
    host: str = "127.0.0.1",
    startup_command: str = "",
    print_command: bool = False,
    json: bool = False,
    runtime: str | None = None,
    debug_port: str | None = None,
    debug_wait: bool = False,
    front_end: bool = False,
    https: bool = False,
    logs: str | None = None,
    python: str | None = None,
    behaviour: str = "",
) -> None:
    """Run an app as App Service does, until Ctrl-C or SIGTERM.

    Example: invoke webapp-run . --port 8000 --startup-command "gunicorn --workers=4 hello:myapp"
    """
    place = app_or_zip(folder, platform) if platform == "linux" else app_folder(folder, platform)
    usual = "documented" if platform == "windows" else "current"
    how = _chosen("--behaviour", behaviour or usual, ("current", "documented"))
    if platform == "windows":
        from rolepack import windows_app

        number = _number("--port", port)
        _must_be_free(number, "127.0.0.1")
        windows_app.run(folder, place, number, logs, python, how)
        return
    from rolepack import linux_app

    number, debug = _number("--port", port), _number("--debug-port", debug_port) if debug_port else None
    wanted = linux_app.Wanted(number, host, startup_command, asked_version(runtime), how, debug, debug_wait, logs)
    if front_end or https:
        wanted = wanted._replace(front="https" if https else "http")
    if print_command:
        start = linux_app.start(place, wanted)
        told = {"framework": start.framework, "command": start.command, "module": start.module}
        if json:
            say_json({**told, "messages": start.messages})
        else:
            say("\n".join([*start.messages, start.command]))
        return
    linux_app.run(place, wanted._replace(port=_free(number, host)))


@command(positional=["folder"], help={"folder": FOLDER, "runtime": _RUNTIME})
def webapp_git(_context: Context, folder: str, runtime: str | None = None) -> None:
    """Make a git remote for an app: what is pushed to it is built, and runs if that went well.

    Example: invoke webapp-git . --runtime "PYTHON|3.12", then: git push azure main
    """
    from cloudservice import appservice
    from cloudservice.files import shown
    from packager.appservice import repository, runtimes

    place = app_folder(folder)
    if version := asked_version(runtime):
        runtimes.choose(version)
    remote = repository.make(appservice.home_of(place), place, runtime)
    say(f"The remote of {shown(place)} is {remote}; what is pushed to its branch main or master is deployed.")
    if repository.name_remote(place, remote):
        say(f"Next: git push {repository.NAME} main")
    else:
        say(f"Next: git remote add {repository.NAME} {remote}; git push {repository.NAME} main")


@command(help={"json": AS_JSON})
def webapp_runtimes(_context: Context, json: bool = False) -> None:
    """List the Pythons that an app can have here, by the platform's names.

    Example: invoke webapp-runtimes
    """
    from packager.appservice import runtimes

    found = runtimes.installed()
    if json:
        say_json([{"runtime": one.stack, "version": one.version, "python": str(one.python)} for one in found])
        return
    for one in found:
        say(f"{one.stack}  {one.version}  {one.python}")


def app_folder(folder: str, platform: str = "linux") -> Path:
    """The folder of an app; ServiceError if it is none, or for a platform that is not known."""
    from cloudservice.errors import Fault, ServiceError

    _chosen("--platform", platform, ("linux", "windows"))
    place = Path(folder)
    if not place.is_dir():
        raise ServiceError(Fault(folder, "there is no such folder", "Name the folder of an app, or its zip"))
    return place.resolve()


def app_or_zip(folder: str, platform: str = "linux") -> Path:
    """The folder of an app, or the zip that it comes in."""
    return Path(folder).resolve() if Path(folder).is_file() else app_folder(folder, platform)


def _chosen(option: str, written: str, known: tuple[str, ...]) -> str:
    from cloudservice.errors import Fault, ServiceError

    if written not in known:
        remedy = f"Choose {' or '.join(known)}"
        raise ServiceError(Fault(option, f"'{written}' is unknown", remedy))
    return written


def asked_version(runtime: str | None) -> str | None:
    """The version in `--runtime`."""
    from cloudservice.errors import Fault, ServiceError
    from packager.appservice import runtimes

    if runtime is None:
        return None
    version = runtimes.asked_by_stack(runtime)
    if version is None:
        raise ServiceError(Fault("--runtime", f"'{runtime}' is no Python", "Write it as 'PYTHON|3.12'"))
    return version


def _properties(written: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (one.partition("=") for one in written)}


def _number(option: str, written: str) -> int:
    """A port as it is written; Invoke would answer another text with a traceback."""
    from cloudservice.errors import Fault, ServiceError

    if not (written.isascii() and written.isdigit() and int(written) <= _LAST_PORT):
        raise ServiceError(Fault(option, f"{written} is no port", f"Choose one from 0 to {_LAST_PORT}"))
    return int(written)


def _must_be_free(port: int, host: str) -> None:
    from cloudservice.errors import Fault, ServiceError
    from emulator import ports

    if not ports.is_free(0, host):
        raise ServiceError(Fault("--host", f"'{host}' is no IPv4 address of this machine", "Choose another"))
    if not ports.is_free(port, host):
        raise ServiceError(Fault("--port", f"port {port} is taken", "Choose another, or 0 for a free one"))


def _free(port: int, host: str) -> int:
    """The port, or for 0 one that is free."""
    from emulator import ports

    _must_be_free(port, host)
    return port or ports.some(host)
