"""The life of one instance: its startup tasks, its program, its ends and its starts."""

import asyncio
import functools
import time
from pathlib import Path
from typing import NamedTuple, Protocol

from cloudservice.checks import Check
from cloudservice.errors import ServiceError
from cloudservice.instances import Instance
from cloudservice.journal import Journal
from cloudservice.life import Life
from emulator import children, probes, process, readiness
from emulator.launch import Launch, Step
from emulator.process import Process
from emulator.run import Run
from emulator.shell import Command
from emulator.spawn import Popen

_CANNOT_START = 127
"""The exit code that a shell gives for a program that cannot be started."""
_QUIET = 0.05
"""Seconds between the moment from which an instance gets no new connections and the request to end."""


class Surroundings(Protocol):
    """What an instance needs of the fabric."""

    def prepare(self, member: "Member") -> Launch:
        """Make its folders and files ready for a start; OSError or ServiceError if that is impossible."""

    def spawn(self, member: "Member", command: Command) -> Popen:
        """Start a process of it; OSError if its program or folder cannot be used."""

    def show(self, name: str, data: memoryview) -> None:
        """Show output."""

    def changed(self, member: "Member", why: str = "") -> None:
        """Tell its new state."""

    def note(self, member: "Member", text: str) -> None:
        """Tell something about it that is no change of its state."""

    def redirect(self) -> None:
        """Send connections where they belong by now."""

    def settled(self) -> None:
        """Take note that a start of it has succeeded."""


class TaskRun(NamedTuple):
    """A startup task of this life: its process, why it has none, or None where this system cannot run it."""

    command_line: str
    process: Process | str | None

    @property
    def state(self) -> str:
        """`Not run`, `Running`, `Done` or `Failed`."""
        if self.process is None:
            return "Not run"
        if isinstance(self.process, Process) and self.process.is_running:
            return "Running"
        return "Failed" if self.exit_code else "Done"

    @property
    def exit_code(self) -> int | None:
        """The exit code, once there is one."""
        if isinstance(self.process, Process):
            return self.process.exit_code
        return None if self.process is None else _CANNOT_START


class Member:
    """An instance: how it starts, how it fares, and the processes it has now."""

    def __init__(self, instance: Instance, run: Run, surroundings: Surroundings) -> None:
        self.instance = instance
        self.run = run
        """What its next start is planned from."""
        self.is_leaving = False
        """Whether it is no part of the deployment any more: it runs until it is ended, but does not start again."""
        self.life = Life()
        self.launch: Launch | None = None
        self.probed: dict[str, bool] = {}
        """What its probes found, by endpoint."""
        self._tasks: dict[int, TaskRun] = {}
        self._surroundings = surroundings
        self._processes: list[Process] = []
        self._held_by: dict[Process, str] = {}
        self._journals: dict[Path, Journal] = {}
        self._again = asyncio.Event()
        self._why_again = ""
        self._has_lived = False
        self._is_ending = False
        self._timers: list[asyncio.TimerHandle] = []
        self._waiting: list[asyncio.Future[str | None]] = []

    @property
    def name(self) -> str:
        """The instance's name."""
        return self.instance.name

    @property
    def is_running(self) -> bool:
        """Whether it has any process."""
        return any(one.is_running for one in self._processes)

    @property
    def tasks(self) -> list["TaskRun"]:
        """The startup tasks of this life that have been begun, in the order of the definition."""
        return [run for _, run in sorted(self._tasks.items())]

    @property
    def is_in(self) -> bool:
        """Whether every probe of it is content."""
        return self.launch is not None and all(self.probed.get(check.endpoint) for check in self.launch.checks)

    @property
    def _stays(self) -> bool:
        return not self._is_ending and not self.is_leaving

    async def live(self) -> None:
        """Start, wait for the end, wait a little, start again: until told to end."""
        while self._stays:
            self._again.clear()
            exit_code, reason = await self._one_life()
            await self._clear()
            if not self._stays:
                break
            if self._again.is_set():
                self.life.recycled(exit_code, self._why_again)
                self._surroundings.changed(self, self._why_again)
                continue
            delay = self.life.exited(time.monotonic(), exit_code, reason)
            if self.life.failed:
                self._answer(reason)
            self._surroundings.changed(self, self._remark(exit_code, reason, delay))
            await _unless(self._again, delay)
        self.life.stopped()
        self._surroundings.changed(self)
        self._answer("it was stopped")

    def recycle(self, why: str) -> None:
        """Let it end, and start again as `run` says then."""
        self._why_again = why
        self.life.forgive()
        self._ask_to_end()

    def end(self) -> None:
        """Let it end for good."""
        self._is_ending = True
        self._ask_to_end()

    def kill(self) -> None:
        """End all its processes now."""
        for one in self._processes:
            one.kill()

    async def come_up(self) -> str | None:
        """Wait until a start has succeeded; returns why not, once two have failed."""
        if self.life.is_settled and not self._again.is_set():
            return None
        waiting: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        return await waiting

    def _answer(self, why: str | None) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(why)

    def _ask_to_end(self) -> None:
        is_asked = self._again.is_set()
        was_ready = self.life.state == "Ready"
        self._again.set()
        if not self.is_running or (is_asked and not self._is_ending):
            return
        self.life.stopping()
        self._surroundings.changed(self)
        later = asyncio.get_running_loop().call_later
        self._timers.append(later(_QUIET if was_ready else 0.0, self._terminate))
        self._timers.append(later(self.run.grace, self._kill_late))

    def _terminate(self) -> None:
        """Ask its processes to end; a foreground task only if the instance does not come back."""
        for one in self._processes:
            if self._is_ending or one not in self._held_by:
                one.terminate()

    def _kill_late(self) -> None:
        late = [one for one in self._processes if self._is_ending or one not in self._held_by]
        if any(one.is_running for one in late):
            self._surroundings.note(self, f"has not ended within {self.run.grace:g} s, so it is killed")
        for one in late:
            one.kill()

    async def _one_life(self) -> tuple[int, str]:
        """Run the startup tasks, then the program; returns how it ended."""
        try:
            self.launch = launch = self._surroundings.prepare(self)
        except (OSError, ServiceError) as error:
            return _CANNOT_START, str(error)
        self.life.starting()
        self._surroundings.changed(self)
        self._tasks.clear()
        for number, step in launch.order:
            failed = await self._startup_task(number, step)
            if failed:
                return failed
        program = self._start(launch.program)
        if isinstance(program, str):
            return _CANNOT_START, program
        self.life.started(program.pid)
        self._surroundings.changed(self)
        async with asyncio.TaskGroup() as group:  # which does not keep a fault of ours to itself
            looking_after = group.create_task(self._look_after(launch))
            exit_code = await program.wait()
            looking_after.cancel()
        self.life.ended()
        self.probed.clear()
        self._surroundings.redirect()
        self._has_lived = False
        return exit_code, await self._how_it_ended(program, exit_code)

    async def _startup_task(self, number: int, step: Step) -> tuple[int, str] | None:
        """Run a simple task, start any other; returns how it failed, if it did."""
        line = step.task.command_line
        started = self._start(step.command) if step.command else None
        self._tasks[number] = TaskRun(line, started)
        if started is None:
            self._surroundings.note(self, f"task `{line}` cannot run on this system, so it is not")
            return None
        if isinstance(started, str):
            return _CANNOT_START, f"startup task `{line}`: {started}"
        if step.task.task_type == "foreground":
            self._held_by[started] = line
        if step.task.task_type != "simple":
            return None
        exit_code = await started.wait()
        if not exit_code:
            return None
        return exit_code, f"startup task `{line}` failed: {await self._how_it_ended(started, exit_code)}"

    def _start(self, command: Command) -> Process | str:
        """Start a process of the instance; returns why, if that is impossible."""
        if self._again.is_set():
            return "it was told to end"
        try:
            journal = self._journals.get(command.log) or Journal(command.log)
            self._journals[command.log] = journal
            popen = self._surroundings.spawn(self, command)
            started = Process(popen, journal, functools.partial(self._surroundings.show, self.name))
        except OSError as error:
            return f"{error.filename or command.argv[0]} cannot be used: {error.strerror}"
        self._processes.append(started)
        return started

    async def _look_after(self, launch: Launch) -> None:
        """Wait until it is Ready, then ask its probes for as long as it lives."""
        if launch.site:
            await readiness.until_answers(launch.site)
        if self._again.is_set():
            return
        self.life.ready(time.monotonic())
        self._surroundings.changed(self)
        async with asyncio.TaskGroup() as group:
            for check in launch.checks:
                group.create_task(probes.follow(check, functools.partial(self._probe_told, check)))
            if not launch.site:
                await asyncio.sleep(readiness.WORKER_LIFE)
            self._has_lived = True
            self._settle()

    def _probe_told(self, check: Check, is_in: bool) -> None:
        was_told = check.endpoint in self.probed
        self.probed[check.endpoint] = is_in
        if was_told or not is_in:
            name = f"probe {check.probe.name} of {check.endpoint}"
            self._surroundings.note(
                self, f"{name} {'answers again' if is_in else 'does not answer: out of the balance'}"
            )
        self._surroundings.redirect()
        self._settle()

    def _settle(self) -> None:
        """Count this start as a success once it has lived long enough and every probe is content."""
        if self.life.is_settled or self._again.is_set() or not self._has_lived or not self.is_in:
            return
        self.life.settled()
        self._answer(None)
        self._surroundings.settled()

    async def _how_it_ended(self, ended: Process, exit_code: int) -> str:
        """How a process ended, and what it printed last; what it left in its group ends now, unless it has a grace."""
        if not self._again.is_set():
            ended.kill()
            self._kill_orphans()
        await ended.drained()
        return "\n".join([process.ending(exit_code), *ended.tail])

    async def _clear(self) -> None:
        """End what an ended instance has left: other tasks, and processes that went their own way."""
        for one in self._processes:
            if one in self._held_by:
                continue
            if not self._again.is_set():
                one.kill()
            await one.wait()
            await one.wait_for_group()
        for one, line in self._held_by.items():
            if one.is_running and not self._is_ending:
                self._surroundings.note(self, f"waits for its foreground task `{line}`, which still runs")
            await one.wait()
        self._kill_orphans()
        for one in self._processes:
            await one.drained()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for journal in self._journals.values():
            journal.close()
        self._processes.clear()
        self._held_by.clear()
        self._journals.clear()

    def _kill_orphans(self) -> None:
        if self.launch:
            children.kill_orphans(self.launch.mark)

    def _remark(self, exit_code: int, reason: str, delay: float) -> str:
        """Why it ended and when it starts again, then the last lines that it printed."""
        first, *tail = reason.split("\n")
        if not exit_code and self.launch and self.launch.site is None:
            first += " (a worker's program is expected to run on)"
        return "\n".join([f"{first}; starts again {f'in {delay:g} s' if delay else 'at once'}", *tail])


async def _unless(event: asyncio.Event, delay: float) -> None:
    """Wait for some seconds, or until the event."""
    try:
        async with asyncio.timeout(delay):
            await event.wait()
    except TimeoutError:
        pass
