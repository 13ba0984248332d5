"""The command lines of a definition, run by cmd.exe as an instance sees the world."""

import contextlib
import os
import subprocess
import threading
import time
from pathlib import Path, PureWindowsPath
from typing import IO, NamedTuple, cast

from cloudservice import journal
from cloudservice.group import Group
from cloudservice.journal import Journal
from publisher.agent.values import Command, Instance

_MOST_AT_ONCE = 1 << 16
_LAST_LINES, _LAST_BYTES = 10, 16 * 1024
_BETWEEN_MARKS = 0.2
_own: set[Path] = set()
"""The logs that this process writes, with their marks."""


class Started(NamedTuple):
    """A process with what it has started, and the thread that writes down what it prints."""

    process: "subprocess.Popen[bytes]"
    group: Group
    printing: threading.Thread

    def kill(self) -> None:
        """End it, and all that it has started."""
        with contextlib.suppress(OSError):  # all have ended
            self.group.kill()


def start(instance: Instance, command: Command) -> Started:
    """Run a command line in the instance's folder; OSError if that is impossible.

    Output and errors go to a log in its DiagnosticStore that is named after the program.
    """
    # /d: nothing that the machine has set for every cmd.exe; /s: only the quotes around the line are taken off.
    shell = os.environ.get("COMSPEC", r"C:\Windows\System32\cmd.exe")
    process = subprocess.Popen(
        f'"{shell}" /d /s /c "{command.line}"',
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=instance.base,
        env=environ(instance, command),
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    printed = cast(IO[bytes], process.stdout)
    thread = threading.Thread(target=_write_down, args=(printed, log_of(instance, command)), daemon=True)
    thread.start()
    return Started(process, Group(process.pid), thread)


def environ(instance: Instance, command: Command) -> dict[str, str]:
    """What a command sees: the machine's variables, the instance's, its own."""
    found = {name: value for name, value in os.environ.items() if not name.upper().startswith("PYTHON")}
    for name, value in (*instance.environ.items(), *command.environ.items()):
        for same in [one for one in found if one.upper() == name.upper()]:  # Windows knows no difference
            del found[same]
        found[name] = value
    return found


def log_of(instance: Instance, command: Command) -> Path:
    """The log of a command that keeps none itself."""
    program = command.line.split(maxsplit=1)[0].strip('"') if command.line.strip() else "program"
    return Path(instance.logs) / f"{PureWindowsPath(program).name}.log"


def last_lines(instance: Instance) -> list[str]:
    """The last lines of the log of an instance that was written to last."""
    logs = sorted(Path(instance.logs).rglob("*.log"), key=lambda path: path.stat().st_mtime)
    if not logs:
        return []
    with logs[-1].open("rb") as file:
        file.seek(max(0, logs[-1].stat().st_size - _LAST_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return [f"{logs[-1].name}: {line}" for line in lines[-_LAST_LINES:]]


class Marks:
    """Notes when the logs of an instance grow, as `journal` does for those that it writes itself."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._sizes: dict[Path, int] = {}
        self._next = 0.0
        for path in logs.rglob("*.log"):
            with contextlib.suppress(OSError):
                self._sizes[path] = path.stat().st_size

    def look(self) -> None:
        """Note what has grown, but not too often."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _BETWEEN_MARKS
        for path in self._logs.rglob("*.log"):
            with contextlib.suppress(OSError):  # it was moved away, or the disk is full: no reason to end anything
                self._note(path)

    def _note(self, path: Path) -> None:
        before, size = self._sizes.get(path, 0), path.stat().st_size
        if size > before and path not in _own:
            with journal.times(path).open("ab") as marks:
                marks.write(journal.MARK.pack(time.time_ns(), before))
        self._sizes[path] = size


def _write_down(printed: IO[bytes], path: Path) -> None:
    """Write what a process prints to a log, which appears with the first of it."""
    log: Journal | None = None
    with printed:
        while data := os.read(printed.fileno(), _MOST_AT_ONCE):
            if log is None:
                _own.add(path)
                log = Journal(path)
            log.append(memoryview(data), printed)
    if log:
        log.close()
