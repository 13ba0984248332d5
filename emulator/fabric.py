"""The fabric: brings every instance of a run to life, keeps it there, and ends it. One loop owns all state."""

import asyncio
import functools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cloudservice.errors import Fault
from cloudservice.files import shown, write_whole
from cloudservice.instances import Address, Deployment
from emulator import deployment, leftovers, process, public, readiness
from emulator.console import Console, report
from emulator.launch import Command, Launch, Step, plan, served
from emulator.process import Process
from emulator.run import Run
from emulator.supervisor import Life

GRACE = 30.0
"""Seconds between the request to end and the kill."""
PATIENCE = 2.0
"""Seconds of this that are waited in silence."""
REMINDER = 20.0
"""Seconds between two words about a start that takes long."""


@dataclass
class Member:
    """An instance: how it starts, how it fares, and the processes it has now."""

    launch: Launch
    life: Life = field(default_factory=Life)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The instance's name."""
        return self.launch.instance.name


class Fabric:
    """All instances of one run."""

    def __init__(self, run: Run, deployed: Deployment, console: Console) -> None:
        self._run = run
        self._deployed = deployed
        self._console = console
        self.started = datetime.now(UTC)
        self.members = [Member(plan(run, deployed, instance)) for instance in deployed.instances]
        self.public: list[public.PublicEndpoint] = []
        self.faults: tuple[Fault, ...] = ()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._up = False
        self._aside: set[asyncio.Task[int]] = set()

    def stop(self) -> None:
        """End every instance, with its grace."""
        self._stopping.set()

    def interrupt(self) -> None:
        """End every instance; asked once more, without grace."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def run(self) -> None:
        """Live until told to stop; on return no process of any instance is left."""
        run = self._run
        self.public = await public.open_all(run.service, run.roles, self._ready_addresses, self._say)
        for endpoint in self.public:
            self._console.say(f"{endpoint.name} is at {endpoint.url}")
        async with asyncio.TaskGroup() as group:
            reminder = group.create_task(self._remind())
            lives = [group.create_task(self._live(member)) for member in self.members]
            await self._stopping.wait()
            reminder.cancel()
            await self._end_all(lives)
        for endpoint in self.public:
            await endpoint.balancer.close()

    async def _end_all(self, lives: Sequence[asyncio.Task[None]]) -> None:
        """Ask every instance to end, and kill those that have not when the grace is over or the user is in a hurry."""
        self._console.say("stopping")
        for member in self.members:
            self._end(member)
        ended = asyncio.create_task(_all(lives))
        hurry = asyncio.create_task(self._hurry.wait())
        done, _ = await asyncio.wait({ended, hurry}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            late = ", ".join(member.name for member in self.members if member.processes)
            self._console.say(f"waiting up to {GRACE:.0f} s for {late}; Ctrl-C once more kills at once")
            rest = GRACE - PATIENCE
            await asyncio.wait({ended, hurry}, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        for member in self.members:
            self._kill(member)
        await ended

    async def _live(self, member: Member) -> None:
        """Start, wait for the end, wait a little, start again: until the fabric stops."""
        while not self._stopping.is_set():
            exit_code, reason = await self._one_life(member)
            await self._clear(member)
            if self._stopping.is_set():
                break
            delay = member.life.exited(time.monotonic(), exit_code, reason)
            self._tell(member, _remark(member, exit_code, reason, delay))
            if self._run.detached and member.life.failed and not self._up:
                wrong = f"{member.name} ended {member.life.exits_before_ready} times before it was Ready"
                remedy = "What it printed last stands above, all of it in `invoke logs`; mend that and start again"
                self.faults = (Fault(shown(self._run.folder), wrong, remedy),)
                self.stop()
            await _unless(self._stopping, delay)
            deployment.clean(self._run, self._deployed, member.launch.instance)
        member.life.stopped()
        self._tell(member)

    async def _one_life(self, member: Member) -> tuple[int, str]:
        """Run the startup tasks, then the program; returns how it ended."""
        launch = member.launch
        member.life.starting()
        self._tell(member)
        write_whole(launch.document_path, json.dumps(launch.document, indent=1))
        member.tasks.clear()
        for step in launch.steps:
            failed = await self._startup_task(member, step)
            if failed:
                return failed
        program = await self._start(member, launch.program)
        if isinstance(program, str):
            return 127, program
        member.life.started(program.pid)
        self._tell(member)
        waiting = asyncio.create_task(self._wait_until_ready(member))
        exit_code = await program.wait()
        waiting.cancel()
        return exit_code, "\n".join([process.ending(exit_code), *program.tail])

    async def _startup_task(self, member: Member, step: Step) -> tuple[int, str] | None:
        """Run a simple task, start any other; returns how it failed, if it did."""
        told: dict[str, Any] = {"command_line": step.task.command_line, "state": "Running", "exit_code": None}
        member.tasks.append(told)
        if step.command is None:
            told["state"] = "Not run"
            self._console.state(member.name, f"task `{step.task.command_line}` cannot run on this system, so it is not")
            return None
        started = await self._start(member, step.command)
        if isinstance(started, str):
            told["state"] = "Failed"
            return 127, f"startup task `{step.task.command_line}`: {started}"
        if step.task.task_type != "simple":
            self._aside.add(aside := asyncio.create_task(_await_task(told, started)))
            aside.add_done_callback(self._aside.discard)
            return None
        exit_code = await _await_task(told, started)
        if not exit_code:
            return None
        first = f"startup task `{step.task.command_line}` failed: {process.ending(exit_code)}"
        return exit_code, "\n".join([first, *started.tail])

    async def _start(self, member: Member, command: Command) -> Process | str:
        """Start a process of the instance; returns why, if that is impossible."""
        if self._stopping.is_set():
            return "the emulator is stopping"
        try:
            started = await process.start(command, functools.partial(self._console.output, member.name))
        except OSError as error:
            return f"{error.filename or command.argv[0]} cannot be used: {error.strerror}"
        member.processes.append(started)
        if self._hurry.is_set():
            started.kill()
        elif self._stopping.is_set():
            started.terminate()
        return started

    async def _wait_until_ready(self, member: Member) -> None:
        await readiness.until_ready(member.launch.site)
        if self._stopping.is_set():
            return
        member.life.ready(time.monotonic())
        self._tell(member)
        if not self._up and all(other.life.state == "Ready" for other in self.members):
            self._up = True
            self._console.say("every instance is Ready")
            if self._run.detached:
                report(event="ready")

    async def _clear(self, member: Member) -> None:
        """End what an ended instance has left: tasks in the background, and processes that went their own way."""
        for one in member.processes:
            one.kill()
        leftovers.kill(member.launch.mark)
        await asyncio.gather(*(one.wait() for one in member.processes))
        member.processes.clear()

    async def _remind(self) -> None:
        """Say from time to time what a start still waits for."""
        while not self._up:
            await asyncio.sleep(REMINDER)
            late = [f"{member.name} ({member.life.state})" for member in self.members if member.life.state != "Ready"]
            if not self._up:
                self._say(f"still waiting for {', '.join(late)}")

    def _end(self, member: Member) -> None:
        if member.processes:
            member.life.stopping()
            self._tell(member)
        for one in member.processes:
            one.terminate()

    def _kill(self, member: Member) -> None:
        if member.processes:
            self._console.state(member.name, "did not end when asked, so it is killed")
        for one in member.processes:
            one.kill()

    def _say(self, text: str) -> None:
        self._console.say(text)
        if self._run.detached and not self._up:
            report(event="said", text=text)

    def _tell(self, member: Member, why: str = "") -> None:
        # The console has shown the output that stands in the further lines of a reason.
        self._console.state(member.name, member.life.state, why.partition("\n")[0])
        if self._run.detached and not self._up:
            report(event="state", instance=member.name, state=member.life.state, why=why)

    def _ready_addresses(self, role: str, endpoint: str) -> Sequence[Address]:
        by_site = endpoint in served(self._run.service.role(role))
        return [
            member.launch.site if by_site and member.launch.site else self._deployed.endpoints[member.name][endpoint]
            for member in self.members
            if member.launch.instance.role == role and member.life.state == "Ready"
        ]


def _remark(member: Member, exit_code: int, reason: str, delay: float) -> str:
    """Why the instance ended and when it starts again, then the last lines that it printed."""
    first, *tail = reason.split("\n")
    if not exit_code and member.launch.site is None:
        first += " (a worker's program is expected to run on)"
    return "\n".join([f"{first}; starts again {f'in {delay:g} s' if delay else 'at once'}", *tail])


async def _await_task(told: dict[str, Any], started: Process) -> int:
    """Wait for a startup task and note how it ended."""
    exit_code = await started.wait()
    told["state"], told["exit_code"] = "Failed" if exit_code else "Done", exit_code
    return exit_code


async def _all(tasks: Sequence[asyncio.Task[None]]) -> bool:
    await asyncio.gather(*tasks)
    return True


async def _unless(event: asyncio.Event, delay: float) -> None:
    """Wait for some seconds, or until the event."""
    try:
        async with asyncio.timeout(delay):
            await event.wait()
    except TimeoutError:
        pass
