"""What the emulator says: each state change and each line of output, with the instance's name before it."""

import io
import json
import queue
import sys
import threading
from collections.abc import Iterable
from typing import TextIO

from cloudservice.errors import Fault
from cloudservice.plain import to_plain

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_WAITING = 1000
"""Pieces of output kept for a slow reader; then lines are only counted, since a role must never wait for a console."""
_SHOWN = 1 << 14
"""Bytes of one piece that are shown: who prints faster than anyone reads must not keep the emulator busy."""
_CR = "\r"


class Console:
    """Prints for people, from a thread of its own."""

    def __init__(self, stream: TextIO, width: int, shows_output: bool = True) -> None:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a role may print what the console cannot show
        self._stream = stream
        self._width = width
        self._coloured = stream.isatty()
        self._colours: dict[str, int] = {}
        self._shows_output = shows_output
        self._lines: queue.Queue[tuple[str, bytes] | None] = queue.Queue(_WAITING)
        self._lost = 0
        self._thread = threading.Thread(target=self._print, name="console", daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """A line of the emulator's own."""
        self._put("", text.encode())

    def output(self, name: str, data: memoryview) -> None:
        """Whole lines that an instance printed, or an app that needs no name; of very many the last ones are shown."""
        if not self._shows_output:
            return
        output = bytes(data[-_SHOWN:])
        if len(data) > _SHOWN:
            _, _, output = output.partition(b"\n")
            self._lost += bytes(data).count(b"\n") - output.count(b"\n")
        self._put(f"{self._named(name)} | " if name else "", output)

    def state(self, name: str, state: str, why: str = "") -> None:
        """An instance's new state, and why where that says something."""
        self._put(f"{self._named(name)} > ", f"{state}{f': {why}' if why else ''}".encode())

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

    def _put(self, prefix: str, lines: bytes) -> None:
        try:
            if self._lost:
                self._lines.put_nowait(("", f"({self._lost} lines not shown here; the logs have them)".encode()))
                self._lost = 0
            self._lines.put_nowait((prefix, lines))
        except queue.Full:
            self._lost += max(1, lines.count(b"\n"))

    def _print(self) -> None:
        try:
            while (item := self._lines.get()) is not None:
                prefix, lines = item
                text = lines.removesuffix(b"\n").decode("utf-8", "replace")
                if prefix:
                    text = "\n".join(f"{prefix}{line.rstrip(_CR)}" for line in text.split("\n"))
                print(text, file=self._stream)
                if self._lines.empty():
                    self._stream.flush()
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
        report(event="failed", faults=[to_plain(fault) for fault in faults])
    else:
        for fault in faults:
            print(fault, file=sys.stderr)
