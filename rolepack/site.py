"""invoke webapp-settings, webapp-deployments, webapp-logs, webapp-shell: what belongs to an app beside its code."""

import contextlib
import getpass
import sys
from pathlib import Path

from invoke import Context, Exit

from rolepack.command import AS_JSON, command, counted, listed, say, say_json, silent, table
from rolepack.webapp import FOLDER, app_folder, app_or_zip

_HIDDEN = "(secret)"


@command(
    positional=["folder"],
    iterable=["set", "secret", "remove"],
    help={
        "folder": FOLDER,
        "set": "NAME=VALUE: a setting in appsettings.json; repeatable.",
        "secret": "Name of a setting whose value is asked for, or read from standard input; repeatable.",
        "remove": "Name of a setting or a secret that is to go; repeatable.",
        "json": AS_JSON,
    },
)
def webapp_settings(
    _context: Context,
    folder: str,
    set: list[str],  # noqa: A002 - the option's name
    secret: list[str],
    remove: list[str],
    json: bool = False,
) -> None:
    """Show the settings of an app, which it sees as environment variables, or change some; secrets are never shown.

    Example: invoke webapp-settings . --set DJANGO_DEBUG=0 --secret SECRET_KEY
    """
    from cloudservice import app_settings
    from cloudservice.errors import Fault, ServiceError

    place = app_folder(folder)
    split = [one.partition("=") for one in set]
    faults = [Fault("--set", f"'{name}' has no value", "Write NAME=VALUE") for name, equals, _ in split if not equals]
    if faults:
        raise ServiceError(*faults)
    if not (set or secret or remove):
        _show_settings(place, json)
        return
    values = {name: value for name, _, value in split}
    app_settings.must_be_possible(place, values, secret, remove)
    app_settings.change(place, values, _asked(secret), remove)
    for what, names in (("Set", [*values, *secret]), ("Removed", remove)):
        if names:
            say(f"{what} {listed(names)}. A running app starts again with that.")


def _show_settings(place: Path, json: bool) -> None:
    from cloudservice import app_settings
    from cloudservice.files import shown

    found = sorted(app_settings.load(place).values())
    if json:
        values = [None if one.is_secret else one.value for one in found]
        told = zip(found, values, strict=True)
        say_json([{"name": one.name, "value": value, "origin": shown(one.origin)} for one, value in told])
        return
    for line in table([(one.name, _HIDDEN if one.is_secret else one.value, shown(one.origin)) for one in found]):
        say(line)
    say(f"{counted(found, 'setting')}.")


def _asked(names: list[str]) -> dict[str, str]:
    """The values of secrets, which are not echoed.

    Elsewhere than on a terminal, standard input has the one of a single name, however long, or a line for each.
    """
    from cloudservice.errors import Fault, ServiceError

    if not names or sys.stdin.isatty():
        return {name: getpass.getpass(f"{name}: ") for name in names}
    text = sys.stdin.read()
    lines = text.splitlines()
    if len(names) == 1:
        return {names[0]: text.removesuffix("\n")}
    if len(lines) != len(names):
        wrong = f"standard input has {counted(lines, 'line')}, and there are {counted(names, 'secret')}"
        raise ServiceError(Fault("--secret", wrong, "Give a line for each"))
    return dict(zip(names, lines, strict=True))


@command(
    positional=["folder"],
    help={
        "folder": f"{FOLDER[:-1]}, or the zip it came in.",
        "show": "Show the log of this one: the beginning of its id.",
        "json": AS_JSON,
    },
)
def webapp_deployments(_context: Context, folder: str, show: str | None = None, json: bool = False) -> None:
    """List the deployments of an app, the latest first, or show the log of one.

    Example: invoke webapp-deployments . --show 3f2a
    """
    from cloudservice import appservice
    from packager.appservice import deployments

    home = appservice.home_of(app_or_zip(folder))
    if show is not None:
        say(deployments.log_of(home, show).read_text(encoding="utf-8").rstrip("\n"))
        return
    active = deployments.active(home)
    found = deployments.load(home)
    if json:
        say_json([{**one._asdict(), "active": one.id == active} for one in found])
        return
    rows = [("ID", "STARTED", "STATUS", "PYTHON", "")]
    for one in found:
        ending = one.status if not one.exit_code else f"{one.status} ({one.exit_code})"
        rows.append((one.id[:10], one.started, ending, one.version or "", "active" if one.id == active else ""))
    for line in table(rows) if found else []:
        say(line)
    say(f"{counted(found, 'deployment')}.")


@command(
    positional=["folder"],
    help={
        "folder": FOLDER,
        "follow": "Go on with what is added, also over the end of the app and its next start.",
        "json": "Print a JSON object a line, for programs.",
    },
)
def webapp_logs(_context: Context, folder: str, follow: bool = False, json: bool = False) -> None:
    """Print the logs of an app in the order of time: what it printed, and what the platform says about it.

    Example: invoke webapp-logs . --follow
    """
    from json import dumps

    from cloudservice import appservice
    from emulator import logs as kept

    with contextlib.suppress(KeyboardInterrupt):  # the way to end following
        for line in kept.of_app(appservice.home_of(app_or_zip(folder)).logs, follow):
            told = {"moment": line.moment, "log": line.log, "text": line.text}
            say(dumps(told) if json else line.text)


@command(
    positional=["folder"],
    help={
        "folder": FOLDER,
        "output": "The zip. Default: NAME.zip in the current folder.",
        "prebuilt": "Put the packages of requirements.txt into it, for Linux x64: nothing is built in the cloud.",
        "runtime": "With --prebuilt: the Python of the platform, such as 'PYTHON|3.12'.",
        "json": AS_JSON,
    },
)
def webapp_package(
    _context: Context,
    folder: str,
    output: str | None = None,
    prebuilt: bool = False,
    runtime: str | None = None,
    json: bool = False,
) -> None:
    """Make the zip of an app that `az webapp deploy` takes, the same bytes from the same files.

    Example: invoke webapp-package . --prebuilt --runtime "PYTHON|3.12"
    """
    from cloudservice.files import sha256_of, shown
    from packager.appservice import parcel
    from rolepack import needs, progress
    from rolepack.webapp import asked_version

    place = app_folder(folder)
    path = Path(output).absolute() if output else Path.cwd() / f"{place.name}.zip"
    with progress.shown() as report:
        planned = parcel.plan(place, path, asked_version(runtime), prebuilt, report)
        if planned.need is not None and planned.house is not None:
            needs.keep({place.name: planned.need}, planned.house, silent if json else say)
        size = parcel.write(path, planned)
    deploy = f"az webapp deploy --resource-group <resource-group> --name <app> --src-path {shown(path)} --type zip"
    if json:
        told = {"path": str(path), "bytes": size, "sha256": sha256_of(path), "files": sorted(planned.files)}
        say_json({**told, "python": planned.version, "packages": planned.packages, "deploy": deploy})
        return
    for remark in planned.remarks:
        say(remark)
    what = f", {planned.packages} packages for Linux x64, CPython {planned.version}" if planned.version else ""
    say(f"Packaged {counted(planned.files, 'file')}{what} into {shown(path)} ({size / 1_000_000:.1f} MB).")
    is_built = "0" if prebuilt else "1"
    setting = "az webapp config appsettings set --resource-group <resource-group> --name <app> --settings"
    say(f"Next: 1. {setting} SCM_DO_BUILD_DURING_DEPLOYMENT={is_built}")
    say(f"      2. {deploy}")


@command(positional=["folder"], help={"folder": FOLDER})
def webapp_shell(_context: Context, folder: str) -> None:
    """Open a shell where an app runs, with its environment; or run what stands behind `--`.

    Example: invoke webapp-shell . -- python manage.py migrate
    """
    from rolepack import linux_app

    place = app_or_zip(folder)
    words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    if not words:
        say(f"A shell as {place.name} sees the world; `exit` leaves it.")
    raise Exit(code=linux_app.shell(place, words))
