"""A log file: whole lines, rotated by size at the end of a line, with marks that say when its lines came.

Beside `LaunchWorker.ps1.log` lies `.LaunchWorker.ps1.log.times`: pairs of a moment and the size that the log had then.
A full log becomes `LaunchWorker.ps1.log.1`, what had that name `.2` and so on; the marks go with it.
"""

import contextlib
import os
import struct
import time
from pathlib import Path

LIMIT = 20 * 1024 * 1024
"""Bytes of one file; only a line that is longer than that is cut, at twice as much."""
KEPT = 5
"""Rotated files that stay beside the one that is written."""
MARK = struct.Struct("<qq")
"""Nanoseconds since 1970 (UTC), and bytes."""
_NEWLINE = ord("\n")
_CLOSED = -1
"""In place of a file that is not open: its number may be another's by now."""
_BETWEEN_MARKS = 0.1
"""Seconds: how exactly the time of a line is known."""


class Journal:
    """The log of one script or program of an instance, whichever processes write to it."""

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        """Open the log, which may be there already; OSError if that is impossible."""
        self._path = path
        self._limit = limit
        self._next_mark = 0.0
        self._unfinished: object | None = None
        self._file = self._marks = _CLOSED
        self._size = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._open()
        if self._size and not _ends_a_line(path):
            self._unfinished = self

    def append(self, data: memoryview, writer: object) -> None:
        """Write what `writer` has printed. A line that another writer has left open is ended first."""
        if self._unfinished is not None and self._unfinished is not writer:
            self._write(memoryview(b"\n"))
        while data:
            data = self._write(data)
        self._unfinished = None if self._at_line_end else writer

    def close(self) -> None:
        """Write no more, unless something comes yet."""
        for one in (self._file, self._marks):
            if one != _CLOSED:
                os.close(one)
        self._file = self._marks = _CLOSED

    def _write(self, data: memoryview) -> memoryview:
        """Write as much as belongs into this file; returns the rest, for which there is a new file then."""
        if self._file == _CLOSED:
            self._open()
        end = len(data)
        if self._size + end > self._limit:
            end = self._end(bytes(data))
        if end:
            self._mark()
            written = data[:end]
            while written:
                written = written[os.write(self._file, written) :]
            self._size += end
            self._at_line_end = data[end - 1] == _NEWLINE
        if end < len(data):
            self._rotate()
        return data[end:]

    def _end(self, data: bytes) -> int:
        """How much of data that are too many still belongs into this file."""
        room = self._limit - self._size
        last = data.rfind(b"\n", 0, max(0, room)) + 1
        if last or (self._size and self._at_line_end):
            return last
        return data.find(b"\n") + 1 or max(0, min(len(data), room + self._limit))

    def _mark(self) -> None:
        now = time.monotonic()
        if now >= self._next_mark:
            os.write(self._marks, MARK.pack(time.time_ns(), self._size))
            self._next_mark = now + _BETWEEN_MARKS

    def _rotate(self) -> None:
        """Begin a new file. A kill in between leaves a gap in the numbers, and every line in some file."""
        self.close()
        for number in range(KEPT, 0, -1):
            older = rotated(self._path, number - 1)
            for old, new in ((older, rotated(self._path, number)), (times(older), times(rotated(self._path, number)))):
                with contextlib.suppress(FileNotFoundError):
                    old.replace(new)
        self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._file = os.open(self._path, flags, 0o644)
        try:
            self._marks = os.open(times(self._path), flags, 0o644)
        except BaseException:
            os.close(self._file)
            self._file = _CLOSED
            raise
        self._size = os.fstat(self._file).st_size
        self._at_line_end = True
        self._next_mark = 0.0


def rotated(path: Path, number: int) -> Path:
    """The file that was rotated so many times since; 0 is the one that is written."""
    return path.with_name(f"{path.name}.{number}") if number else path


def times(path: Path) -> Path:
    """The file with the marks of a log."""
    return path.with_name(f".{path.name}.times")


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
