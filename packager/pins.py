"""One version of a package and the file of it that fits a target, out of all that a pylock offers."""

import os
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageVcs,
    PackageWheel,
    Pylock,
    PylockSelectError,
    PylockValidationError,
)
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import sha256_of, shown
from packager.requirements import Asked
from packager.target import Target

_File = PackageVcs | PackageDirectory | PackageArchive | PackageWheel | PackageSdist


@dataclass(frozen=True, slots=True)
class Pin:
    """One version of a package and where it comes from.

    `file`: a wheel or an sdist with its SHA-256; its `url` may be a path, or empty when only the lock is known.
    `folder`: a project in the folder `url`. `git`: the `commit` of the repository `url`, and a `subdirectory` of it.
    """

    name: str
    version: str
    kind: Literal["file", "folder", "git"]
    url: str = ""
    filename: str = ""
    sha256: str = ""
    commit: str = ""
    subdirectory: str = ""

    @property
    def is_wheel(self) -> bool:
        """True for a wheel, False for what a wheel has to be built from."""
        return self.filename.endswith(".whl")


def select(asked: Asked, text: str, folder: Path, target: Target, files: Mapping[str, str]) -> list[Pin]:
    """Of every package in a pylock that the target needs, the file that fits best.

    Relative paths in it count from `folder`. `files` has the SHA-256 of the file to take of a package before any other.
    ServiceError if a package has none, or one that must not be taken.
    """
    try:
        read = tomllib.loads(text)
        Pylock.from_dict(read)  # says what is wrong before anything is looked up in it
        lock = Pylock.from_dict(_with_hashes_asked(asked, read, files))
        selected = list(lock.select(environment=target.environment(), tags=target.tags()))
    except (tomllib.TOMLDecodeError, PylockValidationError) as error:
        raise ServiceError(Fault(shown(asked.path), f"it is no pylock: {error}", "Make it again")) from None
    except PylockSelectError as error:
        wrong = f"nothing that {target.label} can run: {error}"
        raise ServiceError(asked.fault(None, wrong, "Choose other versions")) from None
    shelved = _shelved(asked, target)
    found = (_pin(package, file, folder) for package, file in selected)
    pins = [shelved.get((pin.name, pin.version), pin) for pin in found]
    faults = [fault for pin in pins for fault in _faults(asked, pin, target)]
    if faults:
        raise ServiceError(*faults)
    return pins


def fits(filename: str, target: Target) -> bool:
    """Whether a wheel of that name runs on the target."""
    try:
        return not parse_wheel_filename(filename)[3].isdisjoint(target.tags())
    except InvalidWheelFilename:
        return False


def exclusion(target: Target) -> str:
    """The marker that keeps a package off the target."""
    return f'; sys_platform != "{target.environment()["sys_platform"]}"'


def is_allowed(asked: Asked, pin: Pin) -> bool:
    """Whether no line wants another hash."""
    allowed = _allowed(asked, pin.name)
    return not allowed or pin.kind != "file" or f"sha256:{pin.sha256}" in allowed


def _with_hashes_asked(asked: Asked, pylock: dict[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """A pylock without the files whose hash is not among those that the lines ask for; uv does not look at these."""
    for package in pylock.get("packages", ()):
        name = package["name"]
        allowed = _allowed(asked, name)
        if name in files and (not allowed or f"sha256:{files[name]}" in allowed):
            allowed = frozenset((f"sha256:{files[name]}",))
        if not allowed:
            continue
        wheels = [wheel for wheel in package.get("wheels", ()) if _has(wheel, allowed)]
        if wheels:
            package["wheels"] = wheels
            continue
        if "sdist" in package and _has(package["sdist"], allowed):
            package.pop("wheels", None)
    return pylock


def _has(file: Mapping[str, Any], allowed: Collection[str]) -> bool:
    return any(f"{name}:{value}" in allowed for name, value in file.get("hashes", {}).items())


def _allowed(asked: Asked, name: str) -> frozenset[str]:
    """The SHA-256 hashes of which a line, or a constraint, wants one; none if any will do."""
    lines = (*asked.lines, *asked.constraints)
    found = (one for line in lines if line.hashes and line.name == name for one in line.hashes)
    return frozenset(one for one in found if one.startswith("sha256:"))


def _faults(asked: Asked, pin: Pin, target: Target) -> list[Fault]:
    """Why a pin must not be taken: another hash than asked for, or a wheel for another machine."""
    allowed = _allowed(asked, pin.name)
    if not is_allowed(asked, pin):
        wrong = f"{pin.filename} has the SHA-256 {pin.sha256}, and the line allows {', '.join(sorted(allowed))}"
        return [asked.fault(pin.name, wrong, "Do not use it before you know why; then correct the hash")]
    if not allowed and asked.values("require-hashes") and pin.name not in asked.added:
        wrong = f"{pin.name} {pin.version} has no hash, and --require-hashes asks for one"
        return [asked.fault(pin.name, wrong, f"Write {pin.name}=={pin.version} --hash=sha256:… for it")]
    if pin.is_wheel and not fits(pin.filename, target):
        wrong = f"{pin.filename} does not run on {target.label}"
        return [asked.fault(pin.name, wrong, f"Name one that does, or mark it {exclusion(target)}")]
    return []


def _shelved(asked: Asked, target: Target) -> dict[tuple[str, str], Pin]:
    """The user's own wheels that run on the target and may be taken, the best of each version, by name and version."""
    rank = {tag: number for number, tag in enumerate(target.tags())}
    found: dict[tuple[str, str], tuple[int, Pin]] = {}
    for wheel in asked.shelf:
        name, version, _, tags = parse_wheel_filename(wheel.name)
        best = min((rank[tag] for tag in tags if tag in rank), default=None)
        pin = Pin(str(name), str(version), "file", str(wheel.absolute()), wheel.name, sha256_of(wheel))
        key = (pin.name, pin.version)
        if best is not None and is_allowed(asked, pin) and best < found.get(key, (len(rank), None))[0]:
            found[key] = (best, pin)
    return {key: pin for key, (_, pin) in found.items()}


def _pin(package: Package, file: _File, folder: Path) -> Pin:
    version = str(package.version or "")
    if isinstance(file, PackageVcs):
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", file.commit_id):
            wrong = f"{package.name} is at the commit '{file.commit_id}', which is no full hash"
            raise ServiceError(Fault(package.name, wrong, "Lock it again, so that it cannot move"))
        url = file.url or _absolute(folder, file.path)
        return Pin(package.name, version, "git", url, commit=file.commit_id, subdirectory=file.subdirectory or "")
    if isinstance(file, PackageDirectory):
        return Pin(package.name, version, "folder", _absolute(folder, file.path), subdirectory=file.subdirectory or "")
    url = file.url or _absolute(folder, file.path)
    filename = unquote(urlsplit(url).path if "://" in url else url).replace("\\", "/").rpartition("/")[2]
    if isinstance(file, PackageWheel | PackageSdist):
        filename = file.filename
    return Pin(package.name, version, "file", url, filename, dict(file.hashes).get("sha256", ""))


def _absolute(folder: Path, path: str | None) -> str:
    return os.path.normpath(folder / (path or ""))
