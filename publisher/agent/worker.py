"""The life of a worker's program on a host: started, started again when it ends, ended when that is asked.

A scheduled task runs this for each instance, as the service account or, for elevated programs, as LocalSystem.
"""

import contextlib
import json
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from cloudservice.files import write_whole
from cloudservice.life import Life
from publisher.agent import programs, states
from publisher.agent.place import Place
from publisher.agent.programs import Marks, Started
from publisher.agent.values import Command, Instance, Setup

_LOOKS = 0.05
"""Seconds between two looks at whether it has ended, or is to end."""


class Told(NamedTuple):
    """What a worker says of itself."""

    state: str = "Stopped"
    pid: int | None = None
    restarts: int = 0
    exit_code: int | None = None
    reason: str | None = None
    has_failed: bool = False


def told(place: Place, letter: str, name: str) -> Told:
    """What the worker of an instance last said."""
    path = place.life(letter, name) / "life.json"
    try:
        return Told(**json.loads(states.patiently(lambda: path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError):  # it is not there, or not ours: the worker's account may write there
        return Told()


def ask_to_end(place: Place, letter: str, name: str) -> None:
    """Let the worker of an instance end, if it runs, and not begin if it does not."""
    folder = place.life(letter, name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stop").touch()


def let_begin(place: Place, letter: str, name: str) -> None:
    """Let the worker of an instance run again; nothing of its past life is told any more."""
    for file in ("stop", "life.json"):
        path = place.life(letter, name) / file
        states.patiently(lambda path=path: path.unlink(missing_ok=True))  # type: ignore[misc]


class Worker:
    """One instance, whose program is this command."""

    def __init__(self, place: Place, letter: str, setup: Setup, instance: Instance, command: Command) -> None:
        self._setup, self._instance, self._command = setup, instance, command
        self._folder = place.life(letter, instance.name)
        self._life = Life()
        self._marks = Marks(Path(instance.logs))

    def live(self) -> None:
        """Keep the program running until somebody asks for its end."""
        while not self._is_asked_to_end:
            self._life.starting()
            until = time.monotonic() + self._live_once()
            while not self._is_asked_to_end and time.monotonic() < until:
                time.sleep(_LOOKS)
        self._life.stopped()
        self._tell()

    def _live_once(self) -> float:
        """Run the program to its end; the seconds to wait before the next start."""
        try:
            started = programs.start(self._instance, self._command)
        except OSError as error:
            return self._has_ended(127, f"its program cannot be started: {error.strerror}")
        began = time.monotonic()
        self._life.started(started.process.pid)
        self._tell()
        try:
            while started.process.poll() is None and not self._is_asked_to_end:
                time.sleep(_LOOKS)
                self._settle(began)
                self._marks.look()
            if self._is_asked_to_end:
                self._end(started)
        finally:
            started.kill()
        code = started.process.wait()
        return self._has_ended(code, f"its program has ended with code {code} after {time.monotonic() - began:.1f} s")

    def _settle(self, began: float) -> None:
        """It is Ready when it has lived for a while."""
        now = time.monotonic()
        if self._life.state == "Busy" and now - began >= self._setup.steady:
            self._life.ready(now)
            self._life.settled()
            self._tell()

    def _end(self, started: Started) -> None:
        """Ask the program to end, and give it its time."""
        self._life.stopping()
        self._tell()
        started.group.ask()
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.process.wait(self._setup.grace)

    def _has_ended(self, code: int, why: str) -> float:
        if self._life.state == "Stopping":
            return 0.0
        delay = self._life.exited(time.monotonic(), code, why)
        self._tell()
        return delay

    @property
    def _is_asked_to_end(self) -> bool:
        return (self._folder / "stop").exists()

    def _tell(self) -> None:
        life = self._life
        said = Told(life.state, life.pid, life.restarts, life.exit_code, life.reason, life.failed)
        content = json.dumps(said._asdict())
        with contextlib.suppress(OSError):  # a full disk is no reason to end the program
            states.patiently(lambda: write_whole(self._folder / "life.json", content, durable=False))
