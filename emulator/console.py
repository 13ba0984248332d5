"""What the emulator says: each state change and each line of output, with the instance's name before it."""

import json
import queue
import sys
import threading
from typing import TextIO

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_WAITING = 20_000
"""Lines kept for a slow reader; beyond them lines are counted instead, since a role must never wait for a console."""


class Console:
    """Prints for people, from a thread of its own."""

    def __init__(self, stream: TextIO, width: int) -> None:
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

    def output(self, name: str, line: str) -> None:
        """A line that an instance printed."""
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
        while (line := self._lines.get()) is not None:
            try:
                print(line, file=self._stream, flush=self._lines.empty())
            except OSError:  # the reader has gone; the logs go on
                return


def report(**message: object) -> None:
    """Tell the program that started a detached emulator how it goes: one JSON object a line on standard output."""
    try:
        print(json.dumps(message), flush=True)
    except OSError:
        sys.stdout = sys.stderr


def refuse(reason: str, detached: bool) -> None:
    """Say why the emulator ends with a failure."""
    if detached:
        report(event="failed", reason=reason)
    else:
        print(reason, file=sys.stderr)
