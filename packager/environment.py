"""A virtual environment of this machine for each role, holding the versions that the target gets."""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import uv

from cloudservice import lock
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, whole_folder
from packager import index, requirements
from packager.progress import Report
from packager.requirements import Asked
from packager.resolve import pinned, resolve, resolve_here
from packager.target import Target
from packager.tools import ToolError, run

_SERVERS = ("granian>=2.5,<3", "waitress>=3,<4")
"""For web roles, best first: granian is the fastest; waitress is pure Python and runs on any interpreter."""
_INSTALL = ("pip", "install", "--quiet", "--compile-bytecode")
_DEVIATIONS = "deviations.txt"
_LOCK = ".lock"
_PATIENCE = 600.0
"""Seconds that another process may take to make the same environment."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The interpreter of a role's environment and what differs there from the target, in words."""

    python: Path
    deviations: tuple[str, ...]


def prepare(place: Path, asked_by: Path, target: Target, report: Report) -> Environment:
    """The environment below `place` for the requirements file `asked_by` (which need not exist).

    It is made again only when the requirements, the target or this tool's interpreter change. A half-made one never
    has the final name.
    """
    key = _fingerprint(requirements.files(asked_by), [target.platform, target.python, sys.version, sys.base_prefix])
    final = place / key
    if not _python(final).exists():
        held = lock.take(place / _LOCK, _PATIENCE)
        if held is None:
            wrong = "another process has been making this environment for too long"
            raise ServiceError(Fault(shown(place), wrong, "End that process"))
        with held:
            _renew(final, asked_by, target, report)
    deviations = (final / _DEVIATIONS).read_text().splitlines()
    return Environment(_python(final), tuple(deviations))


def _renew(final: Path, asked_by: Path, target: Target, report: Report) -> None:
    """Make the environment, unless another process has just done so, and remove what it replaces."""
    if _python(final).exists():
        return
    for old in final.parent.iterdir():
        if old.name != _LOCK:
            shutil.rmtree(old, ignore_errors=True)
    _make(final, asked_by, target, report)


def runtime_kit(python: Path, report: Report) -> Path:
    """A folder with a web server for the interpreter, to stand behind the role's own packages on its path."""
    key = _fingerprint([], [_version(python), sys.platform, *_SERVERS])
    final = platformdirs.user_cache_path("rolepack") / "kits" / key
    if not final.is_dir():
        report("Installing the web server", 0, 0)
        environ = index.uv_environ()
        with _part_folder(final) as part:
            words: list[str | Path] = [*_INSTALL, "--python", python, "--target", part, "--only-binary", ":all:"]
            try:
                _uv([*words, _SERVERS[0]], Path("web server"), environ)
            except ServiceError:
                _uv([*words, _SERVERS[1]], Path("web server"), environ)
    return final


def _make(final: Path, asked_by: Path, target: Target, report: Report) -> None:
    environ = index.uv_environ()
    report(f"Preparing the environment of {final.parent.name}", 0, 0)
    interpreter = _interpreter(target.minor, environ)
    with _part_folder(final) as part:
        _uv(["venv", "--relocatable", "--quiet", "--python", interpreter, part], asked_by, environ)
        here = _version(_python(part))
        deviations = [] if here == target.minor else [f"Python {here} here, {target.minor} on the target"]
        if asked_by.is_file():
            deviations += _install(part, asked_by, target, environ)
        (part / _DEVIATIONS).write_text("".join(f"{line}\n" for line in deviations))


def _install(place: Path, asked_by: Path, target: Target, environ: Mapping[str, str]) -> list[str]:
    """Install what the target would get, and tell which versions had to differ."""
    pins = resolve(Asked(asked_by), target, environ)
    try:
        here = resolve_here(asked_by, _python(place), pinned(pins), environ)
    except ServiceError:  # a version of the target may not exist for this machine
        here = resolve_here(asked_by, _python(place), "", environ)
    held = place / "constraints.txt"
    held.write_text("".join(f"{name}=={version}\n" for name, version in here.items()))
    _uv([*_INSTALL, "--python", _python(place), "--constraint", held, "-r", asked_by], asked_by, environ)
    there = {pin.name: pin.version for pin in pins}
    return [
        f"{name} {version} here, {there[name]} on the target"
        for name, version in here.items()
        if there.get(name, version) != version
    ]


def _uv(words: Sequence[str | Path], asked_by: Path, environ: Mapping[str, str]) -> None:
    """Run uv; what it says when it fails becomes a fault of `asked_by`."""
    try:
        run([uv.find_uv_bin(), *words], environ, asked_by.parent)
    except ToolError as error:
        raise ServiceError(requirements.refusal(asked_by, str(error))) from None


@contextmanager
def _part_folder(final: Path) -> Iterator[Path]:
    """A folder that appears whole; one that another process has made by then is as good."""
    try:
        with whole_folder(final) as part:
            yield part
    except OSError:
        if not final.is_dir():
            raise


def _fingerprint(files: Sequence[Path], words: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for content in [*(file.read_bytes() for file in files), *map(str.encode, words)]:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def _interpreter(minor: str, environ: Mapping[str, str]) -> str:
    """The interpreter of that version if this machine has it, else the one that runs this program."""
    try:
        found = run([uv.find_uv_bin(), "python", "find", "--system", minor], environ)
    except ToolError:
        return sys.executable
    return found.strip()


def _python(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _version(python: Path) -> str:
    """The version of an environment's interpreter up to the minor number, as its configuration file has it."""
    for line in (python.parent.parent / "pyvenv.cfg").read_text().splitlines():
        key, _, value = line.partition("=")
        if key.strip() in {"version", "version_info"}:
            return ".".join(value.strip().split(".")[:2])
    raise ServiceError(Fault(str(python), "it is not in a virtual environment", "Remove .rolepack and try again"))
