"""What the emulator says: each state change and each line of output, with the instance's name before it."""

import io
import json
import queue
import sys
import threading
from collections.abc import Iterable
from typing import TextIO

from cloudservice.errors import Fault

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_WAITING = 20_000
"""Lines kept for a slow reader; beyond them lines are counted instead, since a role must never wait for a console."""


class Console:
    """Prints for people, from a thread of its own."""

    def __init__(self, stream: TextIO, width: int) -> None:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a role may print what the console cannot show
        self._stream = stream
        self._width = width
        self._coloured = stream.isatty()
        self._colours: dict[str, int] = {}
        self._lines: queue.Queue[str | None] = queue.Queue(_WAITING)
        self._lost = 0
        self._thread = threading.Thread(target=self._print, name="console", daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """A line of the emulator's own."""
        self._put(text)

    def output(self, name: str, lines: Iterable[str], left_out: int) -> None:
        """Lines that an instance printed, and how many before them are left out."""
        self._lost += left_out
        for line in lines:
            self._put(f"{self._named(name)} | {line}")

    def state(self, name: str, state: str, why: str = "") -> None:
        """An instance's new state, and why where that says something."""
        self._put(f"{self._named(name)} > {state}{f': {why}' if why else ''}")

    def close(self) -> None:
        """Print what is waiting, for at most a second, and end."""
        try:
            self._lines.put(None, timeout=1)
            self._thread.join(1)
        except queue.Full:
            pass

    def _named(self, name: str) -> str:
        padded = name.ljust(self._width)
        if not self._coloured:
            return padded
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        return f"\x1b[{colour}m{padded}\x1b[0m"

    def _put(self, line: str) -> None:
        try:
            if self._lost:
                self._lines.put_nowait(f"({self._lost} lines not shown here; the logs have them)")
                self._lost = 0
            self._lines.put_nowait(line)
        except queue.Full:
            self._lost += 1

    def _print(self) -> None:
        try:
            while (line := self._lines.get()) is not None:
                print(line, file=self._stream, flush=self._lines.empty())
            self._stream.flush()
        except OSError:
            pass  # the reader has gone; the logs go on


def report(**message: object) -> None:
    """Tell the program that started a detached emulator how it goes: one JSON object a line on standard output."""
    try:
        print(json.dumps(message), flush=True)
    except OSError:
        sys.stdout = sys.stderr


def refuse(faults: Iterable[Fault], detached: bool) -> None:
    """Say why the emulator ends with a failure."""
    if detached:
        report(event="failed", faults=[[fault.where, fault.wrong, fault.remedy] for fault in faults])
    else:
        for fault in faults:
            print(fault, file=sys.stderr)
