"""requirements.txt: which line asked for a package, so that a refusal can name it."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from cloudservice.errors import Fault
from cloudservice.files import shown
from cloudservice.service import Role, Source
from packager.target import Target

FILE = "requirements.txt"
_BRIDGE = "wfastcgi"
"""What lies between IIS and a WSGI application; ConfigureCloudService looks for it among the role's packages."""
_INCLUDED = re.compile(r"(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)")
_UNREACHABLE = re.compile(r"Failed to fetch|error sending request|dns error|network was disabled|client error", re.I)
_NOT_FOUND = re.compile(r"Because (\S+) was not found in the (?:package registry|cache)")
_UNAUTHORISED = re.compile(r"\b(401|403)\b (?:Unauthorized|Forbidden)")
_UNREADABLE = re.compile(r"Couldn't parse requirement in `[^`]*` at position (\d+)\s*(?:cause: |: )?(.*)")
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a role needs: the lines of its requirements file, which need not exist, and packages that are added.

    With `is_apart` only these count, and the file is no more than who is told what is wrong.
    """

    path: Path
    added: tuple[str, ...] = ()
    is_apart: bool = False


def of(role: Role, source: Source, target: Target) -> Asked | None:
    """What a role needs on the target, which may be nothing but a Python; None for a role in another language."""
    path = source.folder / FILE
    if source.language != "Python":
        return Asked(path) if path.is_file() else None
    return Asked(path, (_BRIDGE,) if role.kind == "web" and target.is_windows else ())


def named(path: Path) -> set[str]:
    """The packages that the lines of a file, and of those it includes, name."""
    return {str(canonicalize_name(name)) for file in files(path) for name in _names(file)}


def fault(path: Path, package: str | None, wrong: str, remedy: str) -> Fault:
    """A fault at the line of `path` that names the package, or at the file when another package needs it."""
    line = None if package is None else _line_of(path, package)
    return Fault(f"{shown(path)}:{line}" if line else shown(path), wrong, remedy)


def files(path: Path) -> list[Path]:
    """The file and all that it includes, each once; a file that is not there is left out."""
    found: list[Path] = []
    waiting = [path]
    while waiting:
        current = waiting.pop(0)
        if current in found or not current.is_file():
            continue
        found.append(current)
        for line in _text(current).splitlines():
            if match := _INCLUDED.match(line.strip()):
                waiting.append(current.parent / match[1])
    return found


def refusal(path: Path, message: str, added: Collection[str] = ()) -> Fault:
    """Turn uv's words into a fault: the network, a name nobody knows, a line it cannot read, else its explanation."""
    if _UNREACHABLE.search(message):
        wrong = "the package index cannot be reached, and the local store lacks what is asked for"
        return fault(path, None, wrong, "Connect to the network once, or check pip's index settings")
    if refused := _UNAUTHORISED.search(message):
        wrong = f"the package index refuses access ({refused[1]})"
        return fault(path, None, wrong, "Check the credentials in pip's configuration")
    if (missing := _NOT_FOUND.search(message)) and missing[1] in added:
        wrong = f"no index has a package '{missing[1]}', which a web role needs under IIS"
        return Fault(shown(path.parent), wrong, "Add the index that has it, or put it on yours")
    if missing := _NOT_FOUND.search(message):
        wrong = f"no index has a package '{missing[1]}'"
        return fault(path, missing[1], wrong, "Correct the name, or add the index that has it")
    if unreadable := _UNREADABLE.search(message):
        line = _text(path).count("\n", 0, int(unreadable[1])) + 1
        return Fault(f"{shown(path)}:{line}", f"it is no requirement: {unreadable[2]}", "Write it as name==1.0")
    reason = re.sub(r"\s*\n\s*cause:", ":", message.strip().removeprefix("error: "))
    mentioned = next((name for name in _names(path) if re.search(rf"\b{re.escape(name)}\b", reason)), None)
    remedy = "Change the versions that it names"
    return fault(path, mentioned, f"it cannot be installed: {' '.join(reason.split()).rstrip('.')}", remedy)


def _text(path: Path) -> str:
    """What the file says, for finding lines; empty where it is not there."""
    return path.read_text("utf-8", "replace") if path.is_file() else ""


def _names(path: Path) -> list[str]:
    """The packages that the lines of a file name, as written."""
    lines = _text(path).splitlines()
    return [match[1] for line in lines if (match := _NAME.match(line.lstrip("\ufeff")))]


def _line_of(path: Path, package: str) -> int | None:
    for number, line in enumerate(_text(path).splitlines(), 1):
        match = _NAME.match(line.lstrip("\ufeff"))
        if match and canonicalize_name(match[1]) == canonicalize_name(package):
            return number
    return None
