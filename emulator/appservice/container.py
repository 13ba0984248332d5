"""A running app: its process, its logs as the platform lays them, and its end.

Source: the documented life of a container: it is asked for a page until it answers, gets so many seconds for that, is
told to end and gets some seconds for that too, and is started again when another version was deployed.
"""

import asyncio
import contextlib
import shlex
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cloudservice.errors import Fault
from cloudservice.files import shown
from cloudservice.instances import Address
from emulator import readiness
from emulator.appservice import places, script, startup
from emulator.appservice.script import Surroundings
from emulator.appservice.startup import Asked, Debugging
from emulator.console import Console
from emulator.journal import Journal
from emulator.process import Process, ending
from emulator.shell import Command
from emulator.spawn import spawn

DEFAULT_SITE = Path(__file__).with_name("defaultsite")
_LISTENING = Path(__file__).parents[1] / "hosts" / "listening.py"
_PING = "/robots933456.txt"
"""What the platform asks a starting app for; any answer will do."""
_BETWEEN_PINGS = 0.2
_LOOK = 0.5
"""Seconds between two looks whether something was deployed."""
START_LIMIT = 230.0
STOP_LIMIT = 5.0


class Run(NamedTuple):
    """An app that is to run: the folder with what was deployed, and how the platform would start it.

    `environ` is all that its process will see; `follows` names the deployment, if there is such a file; `scratch` is a
    folder of this run.
    """

    name: str
    folder: Path
    environ: Mapping[str, str]
    version: str
    image: Path
    logs: Path
    scratch: Path
    host: str
    port: int
    command: str = ""
    behaviour: str = "current"
    debug_port: int | None = None
    debug_waits: bool = False
    follows: Path | None = None
    start_limit: float = START_LIMIT
    stop_limit: float = STOP_LIMIT

    @property
    def url(self) -> str:
        """Where the app answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def asked(self, place: places.Place) -> Asked:
        """What its start goes by."""
        debugging = Debugging(self.debug_port, self.debug_waits) if self.debug_port else None
        return Asked(
            place.app,
            place.manifest,
            self.environ,
            self.version,
            DEFAULT_SITE,
            self.port,
            self.host,
            self.command,
            debugging,
            self.behaviour,
        )


class Container:
    """An app while it runs."""

    def __init__(self, run: Run, console: Console) -> None:
        self._run, self._console = run, console
        self._stopping = asyncio.Event()
        machine = socket.gethostname().partition(".")[0]
        day = datetime.now(UTC).strftime("%Y_%m_%d")
        self._own = Journal(run.logs / f"{day}_{machine}_docker.log")
        self._output = Journal(run.logs / f"{day}_{machine}_default_docker.log")

    def stop(self) -> None:
        """Ask the app to end."""
        self._stopping.set()

    async def live(self) -> int:
        """Run the app until it ends or is to stop, anew after each deployment; the exit code."""
        while True:
            before = self._deployed()
            with places.laid_out(self._run.folder) as place:
                code = await self._once(place, before)
            if code is not None:
                return code
            self._say("another version was deployed: starting the app again")

    async def _once(self, place: places.Place, deployed: str) -> int | None:
        """One start, until its end; None if the app is to start again."""
        process = Process(spawn(self._command(place)), self._output, lambda data: self._console.output("", data))
        watching = [
            asyncio.create_task(one)
            for one in (process.wait(), self._stopping.wait(), self._redeployed(deployed), self._warm_up(process))
        ]
        ended, stopping, redeployed, _ = watching
        await asyncio.wait((ended, stopping, redeployed), return_when=asyncio.FIRST_COMPLETED)
        was_asked = stopping.done() or redeployed.done()
        if was_asked and not ended.done():
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), self._run.stop_limit)
        process.kill()
        code = await process.wait()
        await process.drained()
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        self._say(f"the app has stopped: {ending(code)}" if was_asked else f"the app has ended: {ending(code)}")
        if self._stopping.is_set():
            return 0
        if redeployed.done() and not redeployed.cancelled():
            return None
        return code if code > 0 else 128 - code if code else 0

    def _command(self, place: places.Place) -> Command:
        """The process of a start; what the platform's start says stands at the head of the app's log."""
        run = self._run
        asked = run.asked(place)
        start = startup.plan(asked)
        self._print(start.messages)
        if (file := startup.script_of(asked)) is not None:
            file.chmod(0o755)
        around = Surroundings(run.image, place.built_at, _gunicorn_folder(run), place.is_unpacked)
        path = run.scratch / "startup.sh"
        path.write_text(script.render(asked, start, around), encoding="utf-8")
        self._say(f"starting the app of site {run.name}: {start.framework}")
        return Command(("/bin/sh", str(path)), place.app, run.environ, self._run.logs)

    async def _warm_up(self, process: Process) -> None:
        """Ask for a page until there is an answer, and tell how that ends."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        address = Address("tcp", self._run.host, self._run.port)
        while process.is_running:
            if await readiness.status_line(address, _PING, self._run.start_limit):
                self._say(f"{self._run.name} is at {self._run.url} after {loop.time() - began:.1f} s")
                return
            if loop.time() - began > self._run.start_limit:
                limit = f"{self._run.start_limit:g} s"
                self._say(f"the app has not answered at port {self._run.port} within {limit}: it would be ended there")
                return
            await asyncio.sleep(_BETWEEN_PINGS)

    async def _redeployed(self, before: str) -> None:
        while self._deployed() == before:
            await asyncio.sleep(_LOOK)

    def _deployed(self) -> str:
        """The deployment that lies in the app's folder."""
        try:
            return self._run.follows.read_text(encoding="utf-8") if self._run.follows else ""
        except OSError:
            return ""

    def _say(self, text: str) -> None:
        """Something that the platform would say, to its own log and to the console."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with contextlib.suppress(OSError):  # a full disk does not end the app
            self._own.append(memoryview(f"{now} {text}\n".encode()), self)
        self._console.say(text)

    def _print(self, lines: Sequence[str]) -> None:
        """What belongs into the app's log, though another than the app says it."""
        data = memoryview("".join(f"{line}\n" for line in lines).encode())
        with contextlib.suppress(OSError):
            self._output.append(data, self)
        self._console.output("", data)


def _gunicorn_folder(run: Run) -> Path:
    """A folder for the front of the path in which gunicorn is ours, which gives the real one its socket."""
    folder = run.scratch / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    words = [run.image / "bin" / "python", "-I", _LISTENING, folder, run.host, run.port]
    path = folder / "gunicorn"
    path.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return folder


def not_started(run: Run, error: OSError) -> Fault:
    """What is wrong when the app's process could not be begun."""
    return Fault(shown(run.folder), f"the app could not be started: {error.strerror}", "Look at its folder's rights")
