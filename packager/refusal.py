"""What uv says when it refuses, as a fault that names the line and the way out."""

import re
from pathlib import Path

from cloudservice.errors import Fault
from cloudservice.files import shown
from packager.requirements import Asked

_UNREACHABLE = re.compile(r"Failed to fetch|error sending request|dns error|network was disabled|client error", re.I)
_GIT = re.compile(r"Failed to (?:download and build|build|download) `([\w.-]+)[^`]*`\s+cause: Git operation failed")
_NOT_A_PROJECT = re.compile(r"`([^`]+)` does not appear to be a Python project")
_NOT_FOUND = re.compile(r"Because (\S+) was not found in the (?:package registry|cache|provided package locations)")
_UNAUTHORISED = re.compile(r"\b(401|403)\b (?:Unauthorized|Forbidden)")
_UNREADABLE = re.compile(r"Couldn't parse requirement in `-` at position (\d+)\s*(?:cause: |: )?(.*)")
_NO_PLACE = re.compile(r"Distribution not found at: (\S+)")
_STALE = re.compile(r"lockfile .*needs to be updated")


def of_uv(asked: Asked, message: str) -> Fault:
    """The fault: an address, the network, a name nobody knows, a line it cannot read, else its explanation."""
    missing = _NOT_FOUND.search(message)
    if missing and not is_of_network(message) and not _UNAUTHORISED.search(message):
        return _not_found(asked, missing[1])
    if _STALE.search(message):
        return asked.fault(None, "it does not fit the pyproject.toml beside it any more", "Run `uv lock` there")
    return (
        _of_address(asked, message)
        or _of_network(asked, message)
        or _of_line(asked, message)
        or _explained(asked, message)
    )


def _of_address(asked: Asked, message: str) -> Fault | None:
    """A fault of a line that says where a package lies."""
    addresses = [line for line in asked.lines if line.is_address]
    if found := _GIT.search(message):
        where = next((line.where for line in addresses if line.name in {found[1], ""}), shown(asked.path))
        reason = " ".join(message.partition("--- stderr")[2].split()) or "it gives no reason"
        return Fault(where, f"git cannot have {found[1]}: {reason}", "Correct the address, or see that git may read it")
    if odd := _NOT_A_PROJECT.search(message):
        wrong = "it is no project: it has neither pyproject.toml nor setup.py"
        return Fault(shown(Path(odd[1])), wrong, "Correct the path")
    line = next((line for line in addresses if line.given(asked.path.parent, {}) in message), None)
    if line is not None and is_of_network(message):
        return Fault(line.where, "what lies at its address cannot be fetched", "Correct it, or try again later")
    return None


def _of_network(asked: Asked, message: str) -> Fault | None:
    """That nothing could be fetched, or may be."""
    if "network was disabled" in message:
        wrong = "the local store lacks what is asked for, and no network is to be used"
        return asked.fault(None, wrong, "Run once without --offline")
    if refused := _UNAUTHORISED.search(message):
        wrong = f"the package index refuses access ({refused[1]})"
        return asked.fault(None, wrong, "Check the credentials in pip's configuration")
    if is_of_network(message):
        wrong = "the package index cannot be reached, and the local store lacks what is asked for"
        return asked.fault(None, wrong, "Connect to the network once, or check pip's index settings")
    return None


def _of_line(asked: Asked, message: str) -> Fault | None:
    """A fault of one line that uv points at."""
    if unreadable := _UNREADABLE.search(message):
        line = asked.lines[_at(asked, int(unreadable[1]))]
        return Fault(line.where, f"it is no requirement: {unreadable[2]}", "Write it as name==1.0")
    if missing := _NO_PLACE.search(message):
        there = (line for line in asked.lines if line.requirement.strip("./") in missing[1])
        where = next((line.where for line in there), shown(asked.path))
        return Fault(where, "there is nothing at that path", "Correct it; it is relative to the role's folder")
    return None


def is_of_network(message: str) -> bool:
    """Whether it is only that nothing could be fetched."""
    return _UNREACHABLE.search(message) is not None


def _not_found(asked: Asked, name: str) -> Fault:
    if name in asked.added:
        wrong = f"no index has a package '{name}', which a web role needs under IIS"
        return Fault(shown(asked.path.parent), wrong, "Add the index that has it, or put it on yours")
    wrong = f"no index has a package '{name}'"
    return asked.fault(name, wrong, "Correct the name, or add the index that has it")


def _explained(asked: Asked, message: str) -> Fault:
    """Uv's own words, at the first line whose package they name."""
    said = message.partition("\nhint:")[0].strip().removeprefix("error: ")
    reason = " ".join(re.sub(r"\s*\n\s*cause:", ":", said).split()).rstrip(".")
    names = (line.name for line in asked.lines if line.name)
    mentioned = next((name for name in names if re.search(rf"\b{re.escape(name)}\b", reason)), None)
    remedy = "Change the versions that it names"
    if "Python>" in reason or "Python version" in reason:
        remedy += ", or the Python with --python"
    return asked.fault(mentioned, f"it cannot be installed: {reason}", remedy)


def _at(asked: Asked, position: int) -> int:
    """Which of the lines has the character at that position, when they stand one below the other."""
    end = 0
    for number, line in enumerate(asked.lines):
        end += len(line.given(asked.path.parent, {})) + 1
        if position < end:
            return number
    return len(asked.lines) - 1
