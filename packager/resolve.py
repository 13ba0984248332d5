"""From a requirements file to exact files for a target: uv resolves, packaging selects."""

import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uv
from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageVcs,
    PackageWheel,
    Pylock,
    PylockSelectError,
)

from cloudservice.errors import Fault, ServiceError
from packager import requirements
from packager.requirements import Asked
from packager.target import Target
from packager.tools import ToolError, run

_UV = uv.find_uv_bin()
"""Found here and not by each thread that resolves a role: what it asks, sysconfig, is not safe when first asked."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One file that an index offers for a package: a wheel that fits the target, or an sdist to build one from."""

    name: str
    version: str
    filename: str
    url: str
    sha256: str

    @property
    def is_wheel(self) -> bool:
        """True for a wheel, False for an sdist."""
        return self.filename.endswith(".whl")


def resolve(asked: Asked, target: Target, environ: Mapping[str, str]) -> tuple[Pin, ...]:
    """The files that are asked for on the target, by name; every package that cannot be had is a fault."""
    named = requirements.named(asked.path)
    together = Asked(asked.path, tuple(name for name in asked.added if name in named))
    pins = _resolve(together, target, environ)
    apart = tuple(name for name in asked.added if name not in named and name not in {pin.name for pin in pins})
    if apart:
        # It has no dependencies; to find that out, uv would build it each time.
        pins += _resolve(Asked(asked.path, apart, is_apart=True), target, environ, "--no-deps")
    return tuple(sorted(pins, key=lambda pin: pin.name))


def _resolve(asked: Asked, target: Target, environ: Mapping[str, str], *more: str) -> list[Pin]:
    # Without --python uv would look for an interpreter of the target's version.
    options = [*target.uv_options(), "--python", sys.executable, "--format", "pylock.toml", "--no-header", "--quiet"]
    printed = compile_requirements(asked, [*options, *more], environ)
    lock = Pylock.from_dict(tomllib.loads(printed))
    faults: list[Fault] = []
    try:
        selected = list(lock.select(environment=target.environment(), tags=target.tags()))
    except PylockSelectError as error:
        wrong = f"nothing that {target.label} can run: {error}"
        raise ServiceError(requirements.fault(asked.path, None, wrong, "Choose other versions")) from None
    pins = [pin for package, file in selected if (pin := _pin(asked.path, package, file, faults))]
    if faults:
        raise ServiceError(*faults)
    return pins


def compile_requirements(asked: Asked, options: Sequence[str], environ: Mapping[str, str]) -> str:
    """What `uv pip compile` prints for what is asked; its refusal becomes a fault of the requirements file."""
    path = asked.path
    with tempfile.TemporaryDirectory() as folder:
        added = Path(folder) / "added.txt"
        added.write_text("".join(f"{line}\n" for line in asked.added))
        files = [path.name, str(added)] if path.is_file() and not asked.is_apart else [str(added)]
        try:
            # Paths in the file are relative to it, not to where the user stands.
            return run([_UV, "pip", "compile", *files, *options], environ, path.parent)
        except ToolError as error:
            raise ServiceError(requirements.refusal(path, str(error), asked.added)) from None


def pinned(pins: Sequence[Pin]) -> str:
    """The versions alone, as a constraints file."""
    return "".join(f"{pin.name}=={pin.version}\n" for pin in pins)


def resolve_here(path: Path, python: Path, constraints: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The versions by name for the interpreter `python` of this machine, held to `constraints`."""
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "constraints.txt"
        held.write_text(constraints)
        options = ["--python", str(python), "--constraint", str(held), "--no-header", "--no-annotate", "--quiet"]
        printed = compile_requirements(Asked(path), options, environ)
    lines = (line.partition(";")[0].strip().partition("==") for line in printed.splitlines())
    return {name: version for name, equals, version in lines if equals}


def _pin(
    path: Path,
    package: Package,
    file: PackageVcs | PackageDirectory | PackageArchive | PackageWheel | PackageSdist,
    faults: list[Fault],
) -> Pin | None:
    url = getattr(file, "url", None) or getattr(file, "path", None)
    hashes = getattr(file, "hashes", None) or {}
    if isinstance(file, PackageVcs | PackageDirectory) or not url or "sha256" not in hashes:
        wrong = f"{package.name} comes from a folder or a repository, not from a file with a hash"
        faults.append(requirements.fault(path, package.name, wrong, "Name a released version of it"))
        return None
    filename = url.partition("#")[0].rpartition("/")[2] if isinstance(file, PackageArchive) else file.filename
    return Pin(package.name, str(package.version), filename, url, hashes["sha256"])
