"""requirements.txt: which line asked for a package, so that a refusal can name it."""

import re
from pathlib import Path

from packaging.utils import canonicalize_name

from cloudservice.errors import Fault
from cloudservice.files import shown

FILE = "requirements.txt"
_INCLUDED = re.compile(r"(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)")
_UNREACHABLE = re.compile(r"Failed to fetch|error sending request|dns error|network was disabled|client error", re.I)
_NOT_FOUND = re.compile(r"Because (\S+) was not found in the (?:package registry|cache)")
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


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
        for line in current.read_text("utf-8", "replace").splitlines():
            if match := _INCLUDED.match(line.strip()):
                waiting.append(current.parent / match[1])
    return found


def refusal(path: Path, message: str) -> Fault:
    """Turn uv's words into a fault: the network first, then a name nobody knows, then its own explanation."""
    missing = _NOT_FOUND.search(message)
    if _UNREACHABLE.search(message):
        wrong = "the package index cannot be reached, and the local store lacks what is asked for"
        return fault(path, None, wrong, "Connect to the network once, or check pip's index settings")
    if missing:
        wrong = f"no index has a package '{missing[1]}'"
        return fault(path, missing[1], wrong, "Correct the name, or add the index that has it")
    reason = " ".join(message.split()).removeprefix("error: ").rstrip(".")
    return fault(path, None, f"it cannot be installed: {reason}", "Change what conflicts")


def _line_of(path: Path, package: str) -> int | None:
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        match = _NAME.match(line.lstrip("\ufeff"))
        if match and canonicalize_name(match[1]) == canonicalize_name(package):
            return number
    return None
