"""A running app: its process, its logs as the platform lays them, and its end.

Source: the documented life of a container: it is asked for a page until it answers, gets so many seconds for that, is
told to end and gets some seconds for that too, and is started again when another version was deployed.
"""

import asyncio
import contextlib
import enum
import json
import os
import socket
import sys
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from cloudservice import lock
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.instances import Address
from cloudservice.journal import Journal
from cloudservice.plain import from_plain
from emulator import readiness
from emulator.appservice import places, script, shims, startup
from emulator.appservice.script import Surroundings
from emulator.appservice.startup import Asked, Debugging
from emulator.console import Console
from emulator.process import Process, ending, output_of
from emulator.shell import Command
from emulator.spawn import spawn

_HOSTS = Path(__file__).parents[1] / "hosts"
_PING = "/robots933456.txt"
"""What the platform asks a starting app for; any answer will do."""
_BETWEEN_PINGS = 0.2
_REST = 0.02
"""Seconds between two reads of an app that logs every request, which costs it less time then."""
_DRAIN = 0.5
"""Seconds that the output of an app may still take to arrive when all of it has ended."""
_LOOK = 0.5
"""Seconds between two looks whether something was deployed."""
START_LIMIT = 230.0
STOP_LIMIT = 5.0
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before an app behind a front end is started again."""
_UP, _DOWN = b"+", b"-"
_LOOPBACK = ("127.0.0.1", "localhost")
_LISTENS = "0A"
"""The state of a socket, as Linux tells it."""


class Front(NamedTuple):
    """The front end of an app: where it listens, and for https a certificate, its key and what X-ARR-SSL says."""

    scheme: str
    host: str
    port: int
    certificate: tuple[Path, ...] = ()
    tls: str = ""


class Run(NamedTuple):
    """An app that is to run: the folder with what was deployed, and how the platform would start it.

    `environ` is all that its process will see; `follows` are files that change with a deployment; `scratch` is a folder
    of this run; `again` is a command that prints such a run as JSON, as it would be now.
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
    follows: tuple[Path, ...] = ()
    start_limit: float = START_LIMIT
    stop_limit: float = STOP_LIMIT
    front: Front | None = None
    again: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Where the app answers."""
        scheme, host, port, *_ = self.front or ("http", self.host, self.port)
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    def asked(self, place: places.Place) -> Asked:
        """What its start goes by."""
        debugging = Debugging(self.debug_port, self.debug_waits) if self.debug_port else None
        return Asked(
            place.app,
            place.manifest,
            self.environ,
            self.version,
            startup.DEFAULT_SITE,
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
        self._has_answered = False
        machine = socket.gethostname().partition(".")[0]
        day = datetime.now(UTC).strftime("%Y_%m_%d")
        self._own = Journal(run.logs / f"{day}_{machine}_docker.log")
        self._output = Journal(run.logs / f"{day}_{machine}_default_docker.log")

    def stop(self) -> None:
        """Ask the app to end."""
        self._stopping.set()

    async def live(self) -> int:
        """Run the app until it ends or is to stop, anew after each deployment; the exit code.

        Behind a front end an app that has ended is started again, after a pause that grows.
        """
        front = self._begin_front()
        pauses = iter(_PAUSES)
        try:
            while True:
                code, why = await self._once_or_told(front)
                if why is _Why.STOPPED or (why is not _Why.REDEPLOYED and (front is None or not front.is_running)):
                    return code
                if why is _Why.REDEPLOYED:
                    self._say("another version was deployed, or settings were changed: starting the app again")
                else:
                    pauses = iter(_PAUSES) if self._has_answered else pauses
                    self._tell_front(_DOWN)
                    await self._pause(next(pauses, _PAUSES[-1]))
                    self._tell_front(_UP)
                self._run = await self._renewed()
        finally:
            if front is not None:
                await _end(front, self._run.stop_limit)

    async def _once_or_told(self, front: Process | None) -> tuple[int, "_Why"]:
        """The same as `_once`; behind a front end, what cannot be started is told, and may be mended."""
        try:
            return await self._once(front)
        except ServiceError as error:
            if front is None:
                raise
            self._say(str(error))
            return error.exit_code, _Why.ENDED

    async def _once(self, front: Process | None) -> tuple[int, "_Why"]:
        """One start, until its end: the exit code, and why it ended."""
        if self._stopping.is_set():
            return 0, _Why.STOPPED
        self._has_answered = False
        before = self._deployed()
        with held_folder(self._run.folder), places.laid_out(self._run.folder) as place:
            drain = self._run.stop_limit + _DRAIN  # its server may go on for so long after its shell
            process = Process(spawn(self._command(place)), self._output, self._show, _REST, drain)
            waits = {
                _Why.STOPPED: self._stopping.wait(),
                _Why.REDEPLOYED: self._redeployed(before),
                _Why.ENDED: process.wait(),
                _Why.LATE: self._is_late(process),
            }
            if front is not None:
                waits[_Why.ALONE] = front.wait()
            why = await _first(waits)
            code = await _end(process, self._run.stop_limit)
        what = _ENDINGS[why].format(port=self._run.port, seconds=self._run.start_limit)
        self._say(f"{what}: {ending(code)}")
        if why is _Why.STOPPED:
            return 0, why
        return (1 if why in {_Why.LATE, _Why.ALONE} else code if code >= 0 else 128 - code), why

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until the app is to stop, or another version of it is there."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await _first({"stop": self._stopping.wait(), "deployed": self._redeployed(self._deployed())})

    async def _renewed(self) -> Run:
        """What is to run now: settings, and what was deployed, may be others; where it listens stays."""
        if not self._run.again:
            return self._run
        printed = await output_of(self._run.again)
        try:
            made = from_plain(Run, json.loads(printed))
        except ValueError:
            self._say("the app starts again as it was, since its settings cannot be read")
            return self._run
        same = {name: getattr(self._run, name) for name in ("host", "port", "front", "logs", "scratch")}
        environ = {**made.environ, "HOST": self._run.host, "PORT": str(self._run.port)}
        return made._replace(environ=environ, **same)

    def _command(self, place: places.Place) -> Command:
        """The process of a start; what the platform's start says stands at the head of the app's log."""
        run = self._run
        asked = run.asked(place)
        start = startup.plan(asked)
        self._print(start.messages)
        if (file := startup.script_of(asked)) is not None:
            file.chmod(0o755)
        around = Surroundings(
            run.image, place.built_at, shims.lay(run.scratch, run.image, run.host, run.port), place.is_unpacked
        )
        path = run.scratch / "startup.sh"
        path.write_text(script.render(asked, start, around), encoding="utf-8")
        self._say(f"starting the app of site {run.name}: {start.framework}")
        return Command(("/bin/sh", str(path)), place.app, run.environ, self._run.logs)

    async def _is_late(self, process: Process) -> None:
        """Ask for a page until there is an answer; return only if there has been none for too long."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        address = Address("tcp", self._run.host, self._run.port)
        while (left := began + self._run.start_limit - loop.time()) > 0:
            if await readiness.status_line(address, _PING, left):
                self._has_answered = True
                self._say(f"{self._run.name} is at {self._run.url} after {loop.time() - began:.1f} s")
                if self._run.host in _LOOPBACK and _is_open(self._run.port):
                    self._say(f"warning: the app itself listens at port {self._run.port} of all addresses")
                await process.wait()
            await asyncio.sleep(_BETWEEN_PINGS)

    def _begin_front(self) -> Process | None:
        """Start the front end, which hears from us how the app does."""
        front = self._run.front
        if front is None:
            return None
        self._word, theirs = socket.socketpair()
        told = {
            "listens": [[front.scheme, front.host, front.port, None]],
            "certificate": [str(path) for path in front.certificate],
            "tls": front.tls,
            "logs": str(self._run.logs / "http" / "RawLogs"),
            "scratch": str(self._run.scratch),
            "target": [self._run.host, self._run.port],
            "word": theirs.fileno(),
            "starts_within": self._run.start_limit,
        }
        argv = (sys.executable, "-u", str(_HOSTS / "site.py"), json.dumps(told))
        with theirs:
            command = Command(argv, self._run.scratch, os.environ, self._run.logs, (theirs.fileno(),))
            return Process(spawn(command), self._own, self._show)

    def _tell_front(self, word: bytes) -> None:
        with contextlib.suppress(OSError):  # it has gone
            self._word.send(word)

    async def _redeployed(self, before: str) -> None:
        while self._deployed() == before:
            await asyncio.sleep(_LOOK)

    def _deployed(self) -> str:
        """What tells one deployment from another."""
        told = ""
        for path in self._run.follows:
            with contextlib.suppress(OSError):
                told += path.read_text(encoding="utf-8")
        return told

    def _show(self, output: memoryview) -> None:
        self._console.output("", output)

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


class _Why(enum.Enum):
    """Why a start of the app is over."""

    STOPPED, REDEPLOYED, ENDED, LATE, ALONE = range(5)


_ENDINGS = {
    _Why.ENDED: "the app has ended",
    _Why.STOPPED: "the app has stopped",
    _Why.REDEPLOYED: "the app has stopped",
    _Why.LATE: "the app has not answered at port {port} within {seconds:g} s, and was ended",
    _Why.ALONE: "the front end has ended, and so was the app",
}
_T = TypeVar("_T")


async def _first(waits: Mapping[_T, Awaitable[object]]) -> _T:
    """The name of what comes first, the first name of several."""
    tasks = {name: asyncio.ensure_future(one) for name, one in waits.items()}
    try:
        await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        return next(name for name, task in tasks.items() if task.done())
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


@contextlib.contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """Let no deployment remove the folder while the block goes on; it may get another name."""
    number = lock.hold_folder(folder)
    try:
        yield
    finally:
        if number is not None:
            os.close(number)


def _is_open(port: int) -> bool:
    """Whether somebody listens at a port of all addresses; only Linux tells."""
    try:
        lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return False
    return any(line.split()[1] == f"00000000:{port:04X}" and line.split()[3] == _LISTENS for line in lines)


async def _end(process: Process, limit: float) -> int:
    """Ask a process to end, end it by force after some seconds, and wait for all that it printed; its exit code."""
    if process.is_running:
        process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await process.wait()
                await process.wait_for_group()  # the shell ends at once, and its server when it has answered
    process.kill()
    code = await process.wait()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.drained(), _DRAIN)
    return code


def not_started(run: Run, error: OSError) -> Fault:
    """What is wrong when the app's process could not be begun."""
    return Fault(shown(run.folder), f"the app could not be started: {error.strerror}", "Look at its folder's rights")
