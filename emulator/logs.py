"""The logs of a service's instances, line by line and in the order of time, while the emulator runs and after."""

import contextlib
import heapq
import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import IO, NamedTuple

from cloudservice import journal
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.instances import DIAGNOSTIC_STORE, role_of
from emulator import deployment
from emulator.run import state_folder

_PAUSE = 0.1
"""Seconds between two looks at logs that are followed."""
_REQUEST = re.compile(rb"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) ")
"""How a line of a W3C extended log begins."""
_HEADERS = (b"#Software: ", b"#Version: ", b"#Fields: ")
"""What stands above them, and is no event."""


class Line(NamedTuple):
    """A line of a log: when it came (seconds since 1970), whose it is, and its text."""

    moment: float
    deployment: str
    role: str
    instance: str
    log: str
    text: str


class Wanted(NamedTuple):
    """Which lines are wanted: of these instances and roles (none means all), since a moment, with a match."""

    instances: Collection[str] = ()
    roles: Collection[str] = ()
    since: float | None = None
    pattern: re.Pattern[str] | None = None

    def has(self, instance: str) -> bool:
        """Whether the logs of an instance are wanted."""
        if not self.instances and not self.roles:
            return True
        return instance in self.instances or role_of(instance) in self.roles


def lines(folder: Path, wanted: Wanted, follow: bool) -> Iterator[Line]:
    """The lines that are there, then, when following, those that are added; ServiceError if nobody has such logs.

    Without a moment to begin at, those of the latest deployment. A line that has no end yet is given only when not
    following; following ends when the caller stops asking, and goes on over the end of the emulator and its next start.
    """
    _must_be_there(folder, wanted)
    yield from _lines(lambda: _find(folder, wanted.since, newest_only=wanted.since is None), wanted, follow)


def of_app(folder: Path, follow: bool) -> Iterator[Line]:
    """The lines in the logs of an app, which lie in a folder; else as `lines`."""

    def find() -> Iterator[tuple[Path, str, str]]:
        yield from ((path, "", "") for path in sorted(folder.rglob("*.log")))

    if not any(find()):
        raise ServiceError(Fault(shown(folder), "there are no logs", "Start the app with webapp-run"))
    yield from _lines(find, Wanted(), follow)


def _lines(find: Callable[[], Iterator[tuple[Path, str, str]]], wanted: Wanted, follow: bool) -> Iterator[Line]:
    open_logs: dict[Path, _Log] = {}
    while True:
        for path, one, instance in find():
            if path not in open_logs and wanted.has(instance):
                open_logs[path] = _Log(path, one, instance)
        found = heapq.merge(*(log.new_lines(whole=follow) for log in open_logs.values()), key=attrgetter("moment"))
        for line in found:
            if (wanted.since is None or line.moment >= wanted.since) and _matches(wanted, line):
                yield line
        if not follow:
            return
        time.sleep(_PAUSE)


def _matches(wanted: Wanted, line: Line) -> bool:
    return wanted.pattern is None or wanted.pattern.search(line.text) is not None


def _must_be_there(folder: Path, wanted: Wanted) -> None:
    there = sorted({instance for _, _, instance in _find(folder, None, newest_only=wanted.since is None)})
    if not there:
        raise ServiceError(Fault(shown(folder), "there are no logs", "Start the service with `invoke emulate`"))
    roles = sorted(set(map(role_of, there)))
    faults = [
        Fault(option, f"there is no {noun} '{name}'", f"Choose from {', '.join(known)}")
        for option, noun, names, known in (
            ("--instance", "instance", wanted.instances, there),
            ("--role", "role", wanted.roles, roles),
        )
        for name in names
        if name not in known
    ]
    if faults:
        raise ServiceError(*faults)


def _find(folder: Path, since: float | None, newest_only: bool) -> Iterator[tuple[Path, str, str]]:
    """The logs that may have lines since a moment, and whose they are: a deployment's and an instance's."""
    resources = state_folder(folder) / "Resources" / "Directory"
    ids = deployment.deployment_ids(resources)
    for one in ids[-1:] if newest_only else ids:
        for store in sorted(resources.glob(f"{one}.*.{DIAGNOSTIC_STORE}")):
            instance = store.name.removeprefix(f"{one}.").removesuffix(f".{DIAGNOSTIC_STORE}")
            for path in sorted((store / "LogFiles").rglob("*.log")):
                if since is None or path.stat().st_mtime >= since:
                    yield path, one, instance


class _Part:
    """One file of a log, and the marks that say when its lines came."""

    def __init__(self, path: Path) -> None:
        """FileNotFoundError if it was rotated this very moment."""
        self.file = path.open("rb")
        self._moment = path.stat().st_mtime  # of what has no marks: a log that the role writes itself
        try:
            self._marks: IO[bytes] | None = journal.times(path).open("rb")
        except FileNotFoundError:
            self._marks = None
        self._next = self._read_mark()

    @property
    def inode(self) -> int:
        """What the file is known by, whatever its name."""
        return os.fstat(self.file.fileno()).st_ino

    def moment(self, offset: int, line: bytes) -> float:
        """When the line at an offset came; the offsets only go forward."""
        self._next = self._next or self._read_mark()
        while self._next and self._next[1] <= offset:
            self._moment = self._next[0] / 1e9
            self._next = self._read_mark()
        request = None if self._marks else _REQUEST.match(line)
        if request:
            return datetime.strptime(f"{request[1].decode()} +0000", "%Y-%m-%d %H:%M:%S %z").timestamp()
        return self._moment

    def close(self) -> None:
        """Read no more."""
        self.file.close()
        if self._marks:
            self._marks.close()

    def _read_mark(self) -> tuple[int, int] | None:
        if self._marks is None:
            return None
        place = self._marks.tell()
        content = self._marks.read(journal.MARK.size)
        if len(content) < journal.MARK.size:
            self._marks.seek(place)
            return None
        nanoseconds, size = journal.MARK.unpack(content)
        return nanoseconds, size


class _Log:
    """A log that is read to its end, again and again, through the files that it is rotated into."""

    def __init__(self, path: Path, deployment: str, instance: str) -> None:
        self._path = path
        self._whose = deployment, role_of(instance), instance
        self._part: _Part | None = None

    def new_lines(self, whole: bool) -> Iterator[Line]:
        """What was added since the last time; of an unfinished line nothing if only whole ones are wanted."""
        if self._part is None:
            self._open(max(self._numbers().values(), default=0))
        while self._part:
            newer = self._newer(self._part)  # looked up first: what is rotated meanwhile is read to its end
            yield from self._rest(self._part, whole and newer is None)
            if newer is None:
                return
            self._open(newer)

    def _open(self, number: int) -> None:
        if self._part:
            self._part.close()
        try:
            self._part = _Part(journal.rotated(self._path, number))
        except FileNotFoundError:
            self._part = None

    def _numbers(self) -> dict[int, int]:
        """How often each file of the log was rotated, by inode."""
        numbers = {}
        for number in range(journal.KEPT + 1):
            with contextlib.suppress(FileNotFoundError):
                numbers[journal.rotated(self._path, number).stat().st_ino] = number
        return numbers

    def _newer(self, part: _Part) -> int | None:
        """The number of the file that follows a part; None if that is the one which is written."""
        numbers = self._numbers()
        mine = numbers.get(part.inode, max(numbers.values(), default=-1) + 1)  # one that is gone was the oldest
        return mine - 1 if mine > 0 else None

    def _rest(self, part: _Part, whole: bool) -> Iterator[Line]:
        offset = part.file.tell()
        for content in part.file:
            if whole and not content.endswith(b"\n"):
                part.file.seek(offset)
                return
            moment = part.moment(offset, content)
            offset += len(content)
            if content.startswith(_HEADERS):
                continue
            yield Line(moment, *self._whose, self._path.name, content.decode("utf-8", "replace").rstrip("\r\n"))


def moment(text: str) -> float:
    """The moment that `90s`, `10m`, `2h`, `3d` (ago) or a date and time (ISO 8601, local unless it says) mean."""
    ago = re.fullmatch(r"(\d+)([smhd])", text.strip())
    if ago:
        return time.time() - int(ago[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[ago[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except ValueError:
        remedy = "Write 90s, 10m, 2h or 3d, or a date and time as 2026-11-22T10:30"
        raise ServiceError(Fault("--since", f"'{text}' is no time", remedy)) from None
