"""Startup tasks on a host: elevated ones as LocalSystem, which runs this; limited ones as the service account."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import write_whole
from publisher.agent import programs, system
from publisher.agent.place import Place
from publisher.agent.system import Task
from publisher.agent.values import AGAIN, Command, Instance

if TYPE_CHECKING:
    from publisher.agent.bring import Program

_LONGEST = 3600.0
"""Seconds that a startup task may take."""


class Call(NamedTuple):
    """An instance that starts, and how these programs are called for it."""

    place: Place
    program: "Program"
    letter: str
    setup: str
    slot: str
    instance: Instance

    def words(self, verb: str, *more: str) -> str:
        """The arguments for one of these programs that is about this instance."""
        about = (self.place.service, self.letter, self.setup, self.slot, self.instance.name)
        return self.program.arguments(verb, *about, *more)

    def run(self, number: int, command: Command, is_over: Callable[[], bool]) -> None:
        """Run a startup task, and wait for it if it is a simple one; ServiceError if it fails, or is wanted no more."""
        if command.kind == "simple" and command.is_elevated:
            code = finish(self.instance, command, is_over)
            tell(self.place, self.letter, self.instance, number, code)
        else:
            self._schedule(number, command)
            code = 0 if command.kind != "simple" else self._wait(number, is_over)
        if code:
            wrong = f"its startup task `{command.line}` has ended with code {code}"
            raise ServiceError(Fault(self.instance.name, wrong, AGAIN))

    def _schedule(self, number: int, command: Command) -> None:
        """Let a scheduled task run it, as its account."""
        self._result(number).unlink(missing_ok=True)
        account = system.SYSTEM if command.is_elevated else system.SERVICE
        task = Task(_name(self.place, self.letter, self.instance, number), self.program.python, "", account)
        # What is not waited for is there again when Windows starts again; the simple ones have had their effect.
        words = self.words("step", str(number))
        task = task._replace(arguments=words, at_boot=command.kind != "simple", is_watched=False)
        system.create_task(task, self.place.folder)
        system.start_task(task.name)

    def _wait(self, number: int, is_over: Callable[[], bool]) -> int:
        """The exit code of a scheduled startup task."""
        end = time.monotonic() + _LONGEST
        while not self._result(number).exists():
            _must_go_on(self.instance, self.instance.tasks[number], end, is_over)
            time.sleep(0.05)
        return int(json.loads(self._result(number).read_text(encoding="utf-8")))

    def _result(self, number: int) -> Path:
        return result(self.place, self.letter, self.instance, number)


def finish(instance: Instance, command: Command, is_over: Callable[[], bool] = lambda: False) -> int:
    """Run a command to its end; its exit code. ServiceError if it takes too long, or `is_over` says so."""
    started = programs.start(instance, command)
    marks = programs.Marks(Path(instance.logs))
    end = time.monotonic() + _LONGEST
    try:
        while started.process.poll() is None:
            _must_go_on(instance, command, end, is_over)
            time.sleep(0.02)
            marks.look()
    except ServiceError:
        started.kill()
        raise
    started.printing.join(1)  # what it has left running may hold its output
    return int(started.process.returncode)


def _must_go_on(instance: Instance, command: Command, end: float, is_over: Callable[[], bool]) -> None:
    """ServiceError if a startup task need not, or may not, be waited for any longer."""
    if is_over():
        wrong = f"its startup task `{command.line}` was not done when something else was wanted"
        raise ServiceError(Fault(instance.name, wrong, "Publish again when it is quicker"))
    if time.monotonic() > end:
        wrong = f"its startup task `{command.line}` has not ended in {_LONGEST:g} s"
        raise ServiceError(Fault(instance.name, wrong, "Make it a background task, or mend it"))


def tell(place: Place, letter: str, instance: Instance, number: int, code: int) -> None:
    """Say how a startup task has ended."""
    path = result(place, letter, instance, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(code))


def result(place: Place, letter: str, instance: Instance, number: int) -> Path:
    """Where that is said."""
    return place.life(letter, instance.name) / f"step-{number}.json"


def forget(place: Place, letter: str, instance: Instance) -> None:
    """End and forget the startup tasks that were scheduled."""
    for number, command in enumerate(instance.tasks):
        if command.kind != "simple" or not command.is_elevated:
            name = _name(place, letter, instance, number)
            system.end_task(name)
            system.delete_task(name)


def _name(place: Place, letter: str, instance: Instance, number: int) -> str:
    return f"{place.task(letter, instance.name)} step {number}"
