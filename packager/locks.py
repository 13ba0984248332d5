"""The lock of a role for one target: which file each package is, kept beside what asks for it, until it is renewed.

No host, no user and no path of a machine is in it: an index may move, and the lock is for all who share the sources.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, write_whole
from cloudservice.names import is_file_name
from packager.pins import Pin
from packager.requirements import Asked
from packager.target import PLATFORMS, Target

NAME = re.compile(r".+\.[a-z]\w*-cp3\d+\.lock")
"""The files that this module writes."""
_HEADER = re.compile(r"# asked ([0-9a-f]{32}) answered ([0-9a-f]{32})")
_PYTHON = re.compile(r"^# python (3\.\d+\.\d+\w*) (\w+)$", re.MULTILINE)
_HASH = r"sha256:([0-9a-f]{64})"
_ENTRY = re.compile(
    rf"(?P<name>[\w.-]+)==(?P<version>[\w.!+-]+)(?: --hash={_HASH})?  # (?P<wheel>[\w.!+-]+\.whl)"
    r"(?:, built from (?P<source>.+?)(?: with (?P<using>[\w.-]+==[\w.!+]+))?)?"
)
_SDIST = re.compile(rf"(?P<filename>[^/\\\s]+) {_HASH}")
_COMMIT = re.compile(r"commit (?P<commit>[0-9a-f]{40,64})(?: in (?P<subdirectory>.+))?")


@dataclass(frozen=True, slots=True)
class Entry:
    """One package: the wheel that is shipped and its SHA-256, where it comes from, and what built it, if it was.

    `without_compiler` is known when it has just been built: the wheel lacks a compiled part.
    """

    pin: Pin
    wheel: str
    sha256: str
    using: str = ""
    without_compiler: bool = False

    @property
    def requirement(self) -> str:
        """`name==version --hash=…`, for pip."""
        return f"{self.pin.name}=={self.pin.version} --hash=sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class Lock:
    """What a role gets on the target, by name; `asked` is the fingerprint of what was asked for."""

    target: Target
    asked: str
    entries: tuple[Entry, ...]

    @property
    def versions(self) -> dict[str, str]:
        """The version of each package."""
        return {entry.pin.name: entry.pin.version for entry in self.entries}


def path_of(asked: Asked, target: Target) -> Path:
    """Where the lock lies: beside the file that asks, `requirements.win_amd64-cp312.lock`."""
    return asked.path.with_name(f"{asked.path.stem}.{target.platform}-{target.abi}.lock")


def beside(asked: Asked) -> list[Path]:
    """The locks of a role that are there, for whatever targets."""
    kept = sorted(asked.path.parent.glob(f"{asked.path.stem}.*.lock"))
    return [path for path in kept if NAME.fullmatch(path.name)]


def load(asked: Asked, target: Target) -> Lock | None:
    """The lock that is kept; None if there is none. ServiceError if it says what rolepack does not write."""
    path = path_of(asked, target)
    return _read(path, asked, target) if path.is_file() else None


def _read(path: Path, asked: Asked, target: Target) -> Lock:
    text = path.read_text("utf-8", "replace")
    header = _HEADER.search(text)
    faults, entries = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("<<<<<<< "):
            wrong = "it has the marks of a merge"
            remedy = "Take either side whole, then run `invoke lock`"
            raise ServiceError(Fault(shown(path), wrong, remedy, number))
        if not line or line.startswith("#"):
            continue
        match = _ENTRY.fullmatch(line)
        entry = _entry(match, asked) if match else None
        if entry is not None:
            entries.append(entry)
        else:
            wrong = "the line is none that rolepack writes"
            faults.append(Fault(shown(path), wrong, "Restore the file, or delete it and let it be made anew", number))
    if faults:
        raise ServiceError(*faults)
    lines = "".join(f"{line}\n" for line in text.splitlines() if not line.startswith("#"))
    # What was edited, or merged, is taken for a wish at best.
    is_whole = header is not None and header[2] == _digest(lines)
    return Lock(target, header[1] if header and is_whole else "", tuple(entries))


def elsewhere(asked: Asked, target: Target) -> dict[str, str]:
    """The versions on the target that the role is for, if a lock for one is kept; `target` itself is this machine.

    Of several, one for the same Python counts first.
    """
    kept = beside(asked)
    for platform in PLATFORMS:
        of_platform = (path for path in kept if path.name.startswith(f"{asked.path.stem}.{platform}-"))
        for path in sorted(of_platform, key=lambda path: (not path.name.endswith(f"-{target.abi}.lock"), path.name)):
            return _read(path, asked, target).versions
    return {}


def write(asked: Asked, lock: Lock, role: str) -> Path | None:
    """Keep the lock beside what asks for it; returns its path, or None if it is there already, or says nothing."""
    path = path_of(asked, lock.target)
    if asked.is_nothing and not path.exists():
        return None
    lines = "".join(f"{_line(entry, path.parent)}\n" for entry in lock.entries)
    header = (
        f"# What role '{role}' gets on {lock.target.label}. rolepack keeps to it until `invoke lock --upgrade`.\n"
        f"# python {lock.target.python} {lock.target.platform}\n"
        f"# asked {lock.asked} answered {_digest(lines)}\n"
    )
    text = header + lines
    if path.is_file() and path.read_text("utf-8", "replace") == text:
        return None
    write_whole(path, text)
    return path


def shipped(lock: Lock, role: str) -> str:
    """The lock as a bundle has it, for pip with --require-hashes."""
    header = f"# The wheels of role '{role}' for {lock.target.label}, made by rolepack.\n"
    # ConfigureCloudService reads this line: which Python to install, and whether the one there is right.
    header += f"# python {lock.target.python} {lock.target.platform}\n"
    return header + "".join(f"{entry.requirement}\n" for entry in lock.entries)


def shipped_for(text: str) -> tuple[str, str]:
    """The platform and the full Python version that a lock in a bundle is for; empty if it is none of ours."""
    found = _PYTHON.search(text)
    return (found[2], found[1]) if found else ("", "")


def changes(old: Lock, new: Lock) -> Iterator[str]:
    """What is other than before, in words."""
    before, after = ({entry.pin.name: entry.pin for entry in lock.entries} for lock in (old, new))
    for name, pin in after.items():
        if name not in before:
            yield f"{name} {pin.version} is new"
        elif before[name].version != pin.version:
            yield f"{name} {before[name].version} -> {pin.version}"
        elif before[name].commit != pin.commit:
            yield f"{name} {before[name].commit[:12]} -> {pin.commit[:12]}"
    yield from (f"{name} {pin.version} is gone" for name, pin in before.items() if name not in after)


def _digest(lines: str) -> str:
    return hashlib.sha256(lines.encode()).hexdigest()[:32]


def _line(entry: Entry, folder: Path) -> str:
    pin = entry.pin
    if pin.kind == "folder":  # its wheel is another with every edit
        there = PurePosixPath(Path(os.path.relpath(pin.url, folder)))
        return f"{pin.name}=={pin.version}  # {entry.wheel}, built from folder {there}"
    line = f"{entry.requirement}  # {entry.wheel}"
    if pin.is_wheel:
        return line
    inside = f" in {pin.subdirectory}" if pin.subdirectory else ""
    source = f"commit {pin.commit}{inside}" if pin.kind == "git" else f"{quote(pin.filename)} sha256:{pin.sha256}"
    return f"{line}, built from {source}{f' with {entry.using}' if entry.using else ''}"


def _entry(match: re.Match[str], asked: Asked) -> Entry | None:
    """What a line says; None if that is nothing that a line can say."""
    name, version, sha256 = match["name"], match["version"], match[3] or ""
    source = match["source"]
    if source is None:
        pin = Pin(name, version, "file", filename=match["wheel"], sha256=sha256)
    elif source.startswith("folder "):
        folder = os.path.normpath(asked.path.parent / source.removeprefix("folder "))
        pin = Pin(name, version, "folder", folder)
    elif commit := _COMMIT.fullmatch(source):
        pin = Pin(name, version, "git", commit=commit["commit"], subdirectory=commit["subdirectory"] or "")
    elif (sdist := _SDIST.fullmatch(source)) and is_file_name(unquote(sdist["filename"])):
        pin = Pin(name, version, "file", filename=unquote(sdist["filename"]), sha256=sdist[2])
    else:
        return None
    return Entry(pin, match["wheel"], sha256, match["using"] or "")
