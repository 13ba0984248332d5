"""The script of a start: the environment step by step, then the command; run by sh in the app's folder.

Source: the script that the platform generates. Where it makes a folder of the build's container again, to which the
scripts of a virtual environment point, that lies in a temporary folder here.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cloudservice import appservice
from emulator.appservice.startup import Asked, Start, appended, quoted

_PACKAGES = "__oryx_packages__"
_UNZIP = Path(__file__).parents[1] / "hosts" / "unzip.py"


class Surroundings(NamedTuple):
    """What a script finds around the app.

    `image` is the environment with what the platform's image has. `built_at` is the folder that the app was built in,
    if that may be made again; `bin`, if any, is a folder for the front of the path.
    """

    image: Path
    built_at: Path | None
    bin: Path | None
    is_unpacked: bool
    environment: Path | None = None
    """The app's virtual environment, where that lies elsewhere."""


def render(asked: Asked, start: Start, around: Surroundings) -> str:
    """The text of the script."""
    lines = ["#!/bin/sh", *_pre_run(asked), *_surroundings(asked, around)]
    if around.bin is not None:
        lines.append(f'export PATH="{quoted(around.bin)}:$PATH"')
    if start.fallback:
        failed = "The startup command failed with exit code $?; looking for a Django or Flask app."
        lines.append(f'({start.command}\n) || {{ echo "{failed}" >&2; {start.fallback}; }}')
    else:
        lines.append(start.command)
    return "\n".join([*lines, *appended(asked.app), ""])


def render_shell(asked: Asked, around: Surroundings, command: str) -> str:
    """The text of a script that runs another command where the app runs, and says nothing itself."""
    return "\n".join(["#!/bin/sh", "{", *_surroundings(asked, around), "} >/dev/null", f"exec {command}", ""])


def _surroundings(asked: Asked, around: Surroundings) -> list[str]:
    """The folder and the environment of the app, its packages first on the path, what the image has behind them."""
    return [
        f"cd {shlex.quote(str(asked.app))}",
        f"export APP_PATH={shlex.quote(str(asked.app))}",
        f'if [ -z "$HOST" ]; then export HOST={asked.host}; fi',
        f"export PORT={asked.port}",
        f'export PATH="{quoted(around.image)}/bin:$PATH"',
        *_packages(asked, around),
        _python_path(quoted(_site_packages(around.image))),
    ]


def _pre_run(asked: Asked) -> list[str]:
    """PRE_RUN_COMMAND, of the environment or of build.env, before all else; it may fail."""
    command = asked.environ.get("PRE_RUN_COMMAND") or appservice.load_build_env(asked.app).get("PRE_RUN_COMMAND")
    if not command:
        return []
    said = "echo 'Running the provided pre-run command...'"
    return [said, f"cd {shlex.quote(str(asked.app))}", f'PATH="$PATH:{quoted(asked.app)}"', command]


def _packages(asked: Asked, around: Surroundings) -> list[str]:
    """What makes the app's packages importable: a virtual environment, a package folder, or what lies there."""
    if around.environment is not None:
        own = quoted(around.environment)
        packages = quoted(_site_packages(around.environment))
        return [f'export VIRTUAL_ENV="{own}" PATH="{own}/bin:$PATH"', _python_path(packages)]
    manifest: Mapping[str, str] = asked.manifest or {}
    place = asked.app / asked.environment
    if folder := manifest.get("packagedir"):
        return _package_folder(asked.app / folder)
    if archive := manifest.get("compressedVirtualEnvFile"):
        return _archived_environment(asked, around, asked.app / archive)
    return _environment(asked, around, place) if place.is_dir() else _no_environment(asked.app, place)


def _environment(asked: Asked, around: Surroundings, place: Path) -> list[str]:
    """A virtual environment: on the path of modules always, activated only if a manifest says how it was built.

    Its scripts name the folder it was built in, in which it is to be found then.
    """
    lines = _used(place, asked.environment, _site_packages(place))
    if asked.manifest is None:
        return lines
    if around.built_at is None or around.is_unpacked:
        return [*lines, _activate(place)]
    link = around.built_at / asked.environment
    return [*lines, f"ln -sfn {shlex.quote(str(place))} {shlex.quote(str(link))}", _activate(link)]


def _archived_environment(asked: Asked, around: Surroundings, archive: Path) -> list[str]:
    """An environment in an archive, which is unpacked at each start."""
    place = (around.built_at or asked.app) / asked.environment
    packages = place / "lib" / f"python{'.'.join(asked.version.split('.')[:2])}" / "site-packages"
    there, source = shlex.quote(str(place)), shlex.quote(str(archive))
    unpack = f"tar -xzf {source} -C {there}"
    if archive.suffix == ".zip":
        unpack = f"python -I {shlex.quote(str(_UNZIP))} {source} {there}"
    make = f"rm -rf {there} && mkdir -p {there}"
    return [make, unpack, *_used(place, asked.environment, packages), _activate(place)]


def _no_environment(app: Path, place: Path) -> list[str]:
    packages = app / _PACKAGES
    missing = _echo(f"WARNING: Could not find virtual environment directory '{place}'.")
    return [missing, *_package_folder(packages)]


def _activate(place: Path) -> str:
    return f". {shlex.quote(str(place))}/bin/activate"


def _used(place: Path, name: str, packages: Path) -> list[str]:
    return [
        _echo(f"Using packages from virtual environment '{name}' located at '{place}'."),
        _python_path(quoted(packages)),
        "echo \"Updated PYTHONPATH to '$PYTHONPATH'\"",
    ]


def _package_folder(place: Path) -> list[str]:
    if not place.is_dir():
        return [_echo(f"WARNING: Could not find package directory '{place}'.")]
    return [
        _echo(f"Using package directory '{place}'"),
        f'export PATH="{quoted(place)}/bin:$PATH"',
        _python_path(quoted(place)),
    ]


def _site_packages(environment: Path) -> Path:
    return next(iter(sorted(environment.glob("lib/python3.*/site-packages"))), environment / "lib")


def _python_path(place: str) -> str:
    return f'export PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{place}"'


def _echo(text: str) -> str:
    return f"echo {shlex.quote(text)}"
