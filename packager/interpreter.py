"""A Python for hosts that can fetch none: a NuGet package or another zip that holds a whole one for Windows."""

import re
import struct
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path, PureWindowsPath

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from packager.target import Target

_MACHINES = {0x8664: "win_amd64", 0xAA64: "win_arm64", 0x014C: "win32"}
"""The machine of an executable, by its field in the header. Source: the PE format's specification."""
_FOLDERS = ("tools/", "")
"""Where ConfigureCloudService.ps1 looks for python.exe: as in the NuGet package, or at the top."""
_NEEDED = ("Lib/venv/__init__.py", "Lib/ensurepip/__init__.py")


class _UnfitError(Exception):
    """Why a file is not what it should be."""


def is_package_name(name: str) -> bool:
    """Whether ConfigureCloudService.ps1 takes a file of that name in bin for a Python package."""
    return re.fullmatch(r"(?i)python.*\.(nupkg|zip)", name) is not None


def check(path: Path, target: Target) -> None:
    """ServiceError if the file is no Python package that a host of the target can install packages with."""
    if not target.is_windows:
        wrong = f"it is for Windows hosts, and the wheels are for {target.label}"
        raise ServiceError(Fault("--with-python", wrong, "Leave it out"))
    try:
        if path.suffix.lower() not in {".nupkg", ".zip"}:
            raise _UnfitError("it is neither a .nupkg nor a .zip")
        with zipfile.ZipFile(path) as archive:
            _check(archive, target)
    except FileNotFoundError:
        raise _refusal(path, "there is no such file", target) from None
    except (zipfile.BadZipFile, zlib.error, struct.error, OSError, RuntimeError, ValueError) as error:
        raise _refusal(path, f"it is no whole package: {error}", target) from None
    except _UnfitError as error:
        raise _refusal(path, str(error), target) from None


def _check(archive: zipfile.ZipFile, target: Target) -> None:
    names = {name.lower(): name for name in archive.namelist()}
    if any(".." in path.parts or path.anchor for path in map(PureWindowsPath, names)):
        raise _UnfitError("an entry of it leads out of the folder it is unpacked to")
    folder = next((folder for folder in _FOLDERS if f"{folder}python.exe" in names), None)
    if folder is None:
        raise _UnfitError("it holds no python.exe, neither in tools nor at its top")
    missing = [name for name in _NEEDED if f"{folder}{name}".lower() not in names]
    if missing:
        raise _UnfitError(f"it is not a whole Python: {missing[0]} is not in it (an embeddable package has none)")
    version = _version(names, folder)
    if version != target.minor:
        held = version or "of an unknown version"
        raise _UnfitError(f"it holds Python {held}, and the wheels are for {target.minor}")
    with archive.open(names[f"{folder}python.exe"]) as program:
        machine = _machine(program.read(4096))
    if machine != target.platform:
        raise _UnfitError(f"its Python is for {machine}, and the wheels are for {target.platform}")


def _version(names: Collection[str], folder: str) -> str:
    """The version up to the minor number, as the name of the interpreter's library has it."""
    found = (re.fullmatch(rf"{folder}python(3)(\d+)\.dll", name) for name in names)
    return next((f"{match[1]}.{match[2]}" for match in found if match), "")


def _machine(head: bytes) -> str:
    """The platform that a program is for, by the beginning of its file."""
    (start,) = struct.unpack_from("<I", head, 0x3C)
    signature, machine = struct.unpack_from("<4sH", head, start)
    return _MACHINES.get(machine, "an unknown machine") if signature == b"PE\0\0" else "no Windows"


def _refusal(path: Path, wrong: str, target: Target) -> ServiceError:
    name = "pythonarm64" if target.platform == "win_arm64" else "python"
    remedy = f"Give the NuGet package {name} {target.python}, as NuGet has it"
    return ServiceError(Fault(shown(path), f"{wrong}, so it cannot go into the bundle", remedy))
