"""A virtual environment of this machine for each role, holding the versions that the target gets."""

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs
import uv

from cloudservice import lock
from cloudservice.errors import ServiceError
from cloudservice.files import shared_folder
from cloudservice.tells import Report
from packager import index, locks, policy, requirements
from packager.here import ask
from packager.policy import Need, Policy
from packager.target import minor_of, nearest_here
from packager.tools import ToolError, run

_SERVERS = ("granian>=2.8,<3",)
"""For applications of ASGI: those of WSGI are served by emulator/hosts alone."""
_DEBUGGERS = ("debugpy>=1.8,<2",)
_INSTALL = ("pip", "install", "--quiet", "--compile-bytecode")
_DEVIATIONS = "deviations.txt"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Environment:
    """The interpreter of a role's environment and what differs there from the target, in words."""

    python: Path
    deviations: tuple[str, ...]


def prepare(
    place: Path, need: Need, report: Report, offline: bool = False, there: Mapping[str, str] | None = None
) -> Environment:
    """The environment below `place` for what a role needs on its target; `there` are the versions there, if known.

    It is made again only when that, a lock, or this tool's interpreter changes. A half-made one never has the final
    name.
    """
    final = place / _key(need)
    if not _python(final).exists():
        with lock.wait(place / _LOCK, "making this environment"):
            _renew(final, _Order(need, there, Policy(offline=offline), report))
    deviations = (final / _DEVIATIONS).read_text().splitlines()
    return Environment(_python(final), tuple(deviations))


def prune(place: Path, python: Path) -> None:
    """Remove the environments below `place` but for that of an interpreter; nothing may be running in the others."""
    for old in place.iterdir():
        if old.is_dir() and not python.is_relative_to(old):
            shutil.rmtree(old, ignore_errors=True)


def runtime_kit(python: Path, report: Report, offline: bool = False) -> Path:
    """A folder with a server for ASGI for the interpreter, to stand behind the role's own packages on its path."""
    return _kit("server for ASGI", _SERVERS, python, report, offline)


def debug_kit(python: Path, report: Report, offline: bool = False) -> Path:
    """A folder with debugpy for the interpreter."""
    return _kit("debugger", _DEBUGGERS, python, report, offline)


def _kit(what: str, choices: Sequence[str], python: Path, report: Report, offline: bool) -> Path:
    """A folder with the first of some packages that there is for the interpreter."""
    final = platformdirs.user_cache_path("rolepack") / "kits" / _digest([_version(python), sys.platform, *choices])
    if not final.is_dir():
        report(f"Installing the {what}", 0, 0)
        environ = index.uv_environ(offline)
        with shared_folder(final) as part:
            words: list[str | Path] = [*_INSTALL, "--python", python, "--target", part, "--only-binary", ":all:"]
            for choice in choices:
                try:
                    _uv([*words, choice], what, environ)
                    break
                except ServiceError:
                    if choice == choices[-1]:
                        raise
    return final


def _key(need: Need) -> str:
    """Changes with all that an environment is made of, but for the interpreters of this machine."""
    words = [need.fingerprint, *(path.read_text("utf-8", "replace") for path in locks.beside(need.asked))]
    for place in need.asked.local:
        if place.is_dir():
            from packager import projects

            words.append(projects.digest(place))
    return _digest([*words, sys.version, sys.base_prefix])


@dataclass(frozen=True, slots=True)
class _Order:
    """What an environment is made of, and how."""

    need: Need
    there: Mapping[str, str] | None
    policy: Policy
    report: Report


def _renew(final: Path, order: _Order) -> None:
    """Make the environment, unless another process has just done so."""
    if _python(final).exists():
        return
    shutil.rmtree(final, ignore_errors=True)  # its interpreter has gone
    order.report(f"Preparing the environment of {final.parent.name}", 0, 0)
    with shared_folder(final) as part:
        _make(part, final.parent.name, order)


def _make(place: Path, role: str, order: _Order) -> None:
    """An environment of the nearest Python that this machine has, with the versions of the target where they exist."""
    from packager import wheelhouse

    need = order.need
    here = nearest_here(need.target.python)
    deviations = []
    if here.minor != need.target.minor:
        deviations.append(f"Python {here.minor} here, {need.target.minor} on the target")
    there = _versions_there(role, order) if order.there is None else order.there
    own = Need(replace(need.asked, added=()), here, there)
    house = wheelhouse.prepare({role: own}, order.report, order.policy)
    deviations += policy.deviations(there, house.roles[role].versions)
    if order.there is not None:
        own_wheels = {wheel.name for wheel in need.asked.shelf}
        deviations += [
            f"{entry.pin.name} {entry.pin.version} is not the bundle's wheel, which is for {need.target.label}"
            for entry in house.roles[role].entries
            if entry.wheel not in own_wheels and entry.pin.name in there
        ]
    environ = index.uv_environ(offline=True)
    python = str(here.interpreter.path) if here.interpreter else sys.executable
    _uv(["venv", "--relocatable", "--quiet", "--python", python, place], role, environ)
    wheels = [wheel.path for wheel in house.wheels_of(role)]
    if wheels:
        _uv([*_INSTALL, "--python", _python(place), "--no-index", "--no-deps", *wheels], role, environ)
    (place / _DEVIATIONS).write_text("".join(f"{line}\n" for line in deviations))


def _versions_there(role: str, order: _Order) -> dict[str, str]:
    """The versions that the role gets on its target; ServiceError if the target could not have them."""
    from packager import wheelhouse

    need = order.need
    kept = locks.load(need.asked, need.target)
    if kept is not None and kept.asked == need.fingerprint:
        return kept.versions
    # The bridge to IIS has no part in a run here.
    without = replace(need, asked=replace(need.asked, added=()))
    only_builds = replace(order.policy, wheels=False)
    return wheelhouse.prepare({role: without}, order.report, only_builds).roles[role].versions


def _uv(words: Sequence[str | Path], what: str, environ: Mapping[str, str]) -> None:
    """Run uv; what it says when it fails becomes a fault of what it was to install."""
    from packager import refusal

    try:
        run([uv.find_uv_bin(), *words], environ)
    except ToolError as error:
        raise ServiceError(refusal.of_uv(requirements.Asked(Path(what)), str(error))) from None


def _digest(words: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def _python(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _version(python: Path) -> str:
    """The version of an interpreter up to the minor number; that of an environment stands in its configuration file."""
    config = python.parent.parent / "pyvenv.cfg"
    for line in config.read_text().splitlines() if config.is_file() else ():
        key, _, value = line.partition("=")
        if key.strip() in {"version", "version_info"}:
            return minor_of(value.strip())
    return minor_of(ask(python).version)
