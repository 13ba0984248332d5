"""An application of a site: its web.config's settings, and what runs it."""

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from emulator.hosts import elements, watched, webconfig, windows_paths
from emulator.hosts.connection import Exchange
from emulator.hosts.job import Job
from emulator.hosts.loop import Loop
from emulator.hosts.pool import Pool
from emulator.hosts.process import PROGRAM, Limits, Work
from emulator.hosts.program import Program, Started
from emulator.hosts.requestlog import Asked
from emulator.hosts.watched import Watched
from emulator.hosts.webconfig import Platform
from emulator.hosts.windows_paths import Places

_ASGI = Path(__file__).with_name("asgi.py")
_PROXIES = Path(__file__).with_name("proxies")
_DEBUG_PORT = 5678
_LONGEST_START = 60.0


class Told(NamedTuple):
    """What counts for all applications of an instance.

    `kit` is the folder with the server for ASGI, `debugger` that with debugpy, its port and whether it is waited for.
    With `restarts`, changed files have processes restart also where WSGI_RESTART_FILE_REGEX is not set; without, all
    processes of an application stay what they began with, as far as they can.
    """

    kit: str
    debugger: tuple[str, int, bool] | None
    debug_kit: str
    max_instances: int
    config_names: tuple[str, ...]
    restarts: bool
    places: Places | None


class Owner(Protocol):
    """Who has applications."""

    loop: Loop
    told: Told

    @property
    def note(self) -> Callable[[Asked, int, int, float], None]:
        """Told of what processes have answered without the front end."""


class Application:
    """What serves the addresses below a mount point, from a folder."""

    def __init__(self, owner: Owner, folder: Path, mount: str, changes: Callable[[], int]) -> None:
        """`changes` tells how often the site's web.config files have changed by now."""
        self.loop = owner.loop
        self.note = owner.note
        self._changes = changes
        self._known = changes()
        self.folder = folder
        self.mount = mount
        self._told = owner.told
        self._settings: dict[str, str] = {}
        self._limits = Limits()
        self._environ: dict[str, str] = {}
        self._is_read = False
        self._watched: Watched | None = None
        self._pool: Pool | None = None
        self._asgi: Program | None = None
        self._platforms: list[Program] = []
        self._platform: Platform | None = None

    def serve(self, exchange: Exchange, environ: dict[str, str], limit: int) -> None:
        """Have a request, whose body is there, answered by the application of Python."""
        self._renew()
        if self._asgi is not None:
            self._asgi.serve(exchange)
            return
        if self._pool is None:
            self._pool = Pool(self)
        self._pool.serve(Job(exchange, environ, limit))

    def serve_by(self, platform: Platform, exchange: Exchange) -> None:
        """Have a request, whose body is there, answered by the program of an httpPlatform element."""
        self._renew()
        if platform != self._platform:
            self._close_platforms()
            self._platform = None
            started = self._platform_program(platform)
            self._platform = platform
            self._platforms = [Program(self.loop, started, _forwarded) for _ in range(platform.processes)]
        min(self._platforms, key=lambda program: program.load).serve(exchange)

    def warm(self, then: Callable[[str], None]) -> None:
        """Load the application before anybody asks; why that failed is told, or an empty text."""
        self._renew()
        self._pool = Pool(self)
        self._pool.warm(then)

    def is_asynchronous(self, waiting: list[Exchange]) -> None:
        """The application is one of ASGI: a server of its own runs it."""
        self._asgi = Program(self.loop, self._asgi_program(), _scoped)
        for exchange in waiting:
            self._asgi.serve(exchange)

    def look(self) -> None:
        """See whether files have changed since processes were told of them."""
        try:
            self._renew()
        except elements.MalformedError:
            is_same = False  # the next request is told so
        else:
            is_same = self._changes() == self._known
        if not is_same and self._pool is not None and self._pool.forget():
            self._known = self._changes()

    def leave(self) -> None:
        """Have all connections back that clients keep."""
        if self._pool is not None:
            self._pool.leave()

    def close(self) -> None:
        """End all that runs."""
        if self._pool is not None:
            self._pool.close()
        for program in self._programs:
            program.close()

    def wait(self, seconds: float) -> None:
        """Wait for what was ended, then end it by force."""
        if self._pool is not None:
            self._pool.wait(seconds)
        for program in self._programs:
            program.wait(seconds)

    @property
    def _programs(self) -> list[Program]:
        return [*self._platforms, *([self._asgi] if self._asgi else [])]

    def _close_platforms(self) -> None:
        for program in self._platforms:
            program.close()
        self._platforms = []

    def _renew(self) -> None:
        """Read the web.config the first time, and again with new processes when files have changed."""
        if self._is_read and (self._watched is None or not self._watched.has_changed()):
            return
        self._is_read = False
        self._read()
        self._is_read = True
        if self._pool is not None:
            self._pool.retire()
        if self._asgi is not None:
            self._asgi.close()
            self._asgi = None
            self._pool = None
        self._close_platforms()
        self._platform = None

    def _read(self) -> None:
        path = webconfig.find(self.folder, self._told.config_names)
        file = webconfig.load(path, "") if path is not None else None
        found = webconfig.app_settings(file) if file else {}
        fast_cgi = webconfig.fast_cgi(file) if file else webconfig.FastCgi({}, {})
        self._settings = {name: self._local(value) for name, value in found.items()}
        outside = {name: self._local(value) for name, value in fast_cgi.environment.items()}
        self._environ = {**os.environ, **outside}
        self._limits = self._limited(fast_cgi.limits)
        written = self._settings.get("WSGI_RESTART_FILE_REGEX", watched.USUAL if self._told.restarts else "")
        if not written:
            self._watched = None
            return
        try:
            pattern = re.compile(written)
        except (re.error, OverflowError, RecursionError, ValueError) as error:
            wrong = f"WSGI_RESTART_FILE_REGEX '{written}' is not well-formed: {error}"
            raise elements.MalformedError(f"{path.name if path else 'web.config'}: {wrong}") from None
        self._watched = Watched(self.folder, pattern)

    def _local(self, text: str) -> str:
        return text if self._told.places is None else self._told.places.local(text)

    def _limited(self, found: Mapping[str, int]) -> Limits:
        usual = Limits(max_instances=self._told.max_instances)
        if not self._told.restarts:
            usual = usual._replace(idle_timeout=0)  # a process that starts later would find other sources
        if self._debugger is not None:
            return Limits(1, 0, usual.queue_length, 0, 0, 0)  # nobody hurries who looks at a breakpoint
        return Limits(
            max_instances=found.get("maxInstances") or usual.max_instances,
            instance_max_requests=found.get("instanceMaxRequests", usual.instance_max_requests),
            queue_length=found.get("queueLength", usual.queue_length),
            activity_timeout=found.get("activityTimeout", usual.activity_timeout),
            request_timeout=found.get("requestTimeout", usual.request_timeout),
            idle_timeout=found.get("idleTimeout", usual.idle_timeout),
        )

    @property
    def _debugger(self) -> tuple[str, int, bool] | None:
        """The folder with debugpy, the port and whether a client is waited for, if the application is debugged."""
        if self._told.debugger is not None:
            return self._told.debugger
        if not self._settings.get("WSGI_PTVSD_SECRET"):
            return None
        port = self._settings.get("WSGI_PTVSD_ADDRESS", "").rpartition(":")[2]
        return self._told.debug_kit, int(port) if port.isdecimal() else _DEBUG_PORT, False

    def work(self) -> Work:
        """What a process is to run; where nothing is watched, each reads the web.config anew."""
        if self._watched is None:
            self._read()
        options = ["-u"]
        debugger = self._debugger
        if debugger is not None:
            options += ["-X", "frozen_modules=off"]
        told = self._for_python()
        told["debugger"] = None if debugger is None else ("127.0.0.1", *debugger[1:])
        return Work((sys.executable, *options, str(PROGRAM)), self._process_environ(), told, self._limits)

    def _for_python(self) -> dict[str, Any]:
        debugger = self._debugger
        return {
            "site": str(self.folder),
            "settings": self._settings,
            "watched": self._settings.get("WSGI_RESTART_FILE_REGEX", watched.USUAL) if self._watched else "",
            "path": [str(_PROXIES), *([debugger[0]] if debugger and debugger[0] else [])],
            "always": {
                "APPL_PHYSICAL_PATH": f"{self.folder}{os.sep}",
                "APPL_MD_PATH": f"/LM/W3SVC/1/ROOT{self.mount}",
                "DOCUMENT_ROOT": str(self.folder),
                "GATEWAY_INTERFACE": "CGI/1.1",
                "INSTANCE_ID": "1",
                "SERVER_SOFTWARE": "rolepack",
            },
        }

    def _process_environ(self) -> dict[str, str]:
        return {**self._environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"} if self._debugger else self._environ

    def _asgi_program(self) -> Started:
        import json

        told = json.dumps({**self._for_python(), "kit": self._told.kit, "mount": self._mount_of_application()})
        argv = (sys.executable, "-u", str(_ASGI), "%PORT%", told)
        return Started(argv, self.folder, self._environ, None, _LONGEST_START, self._limits.request_timeout, 10)

    def _mount_of_application(self) -> str:
        return {**self._environ, **self._settings}.get("SCRIPT_NAME", "").rstrip("/")

    def _platform_program(self, platform: Platform) -> Started:
        environ = {**self._environ, "HTTP_PLATFORM_PORT": "%PORT%"}
        for name, value in platform.environment:
            environ[name] = self._expanded(value, environ)
        program, *others = windows_paths.words(self._expanded(platform.program, environ)) or [""]
        program = " ".join([program, *others])
        name = re.split(r"[\\/]", program)[-1].lower()
        if name in {"python", "python.exe", "python3", "python3.exe", "py.exe"} and not Path(program).is_file():
            program = sys.executable
        arguments = [self._argument(word) for word in windows_paths.words(self._expanded(platform.arguments, environ))]
        log = None
        if platform.log is not None:
            place = self.folder / self._expanded(platform.log, environ).replace("\\", "/")
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                log = place.with_name(f"{place.name}_{os.getpid()}.log")
            except (OSError, ValueError) as error:
                raise elements.MalformedError(f"web.config: stdoutLogFile '{platform.log}': {error}") from None
        within = (platform.starts_within, platform.answers_within, platform.fails_a_minute)
        return Started((program, *arguments), self.folder, environ, log, *within)

    def _expanded(self, text: str, environ: Mapping[str, str]) -> str:
        known = {name.upper(): value for name, value in environ.items()}
        text = self._local(text)
        return re.sub(r"%(\w+)%", lambda match: known.get(match[1].upper(), match[0]), text)

    def _argument(self, word: str) -> str:
        """A word of the arguments; what names a file of the site by backslashes names it by slashes here."""
        slashed = word.replace("\\", "/")
        return slashed if "\\" in word and os.path.exists(self.folder / slashed) else word  # noqa: PTH110 - whatever it is


def _forwarded(exchange: Exchange) -> list[tuple[str, str]]:
    """What httpPlatformHandler tells of the client."""
    connection = exchange.connection
    before = ", ".join([*exchange.request.all("x-forwarded-for"), f"{connection.peer[0]}:{connection.peer[1]}"])
    return [("X-Forwarded-For", before), ("X-Forwarded-Proto", connection.place.scheme)]


def _scoped(exchange: Exchange) -> list[tuple[str, str]]:
    """What our own server for ASGI wants to know of the client; a client's own words on it are dropped."""
    place, peer = exchange.connection.place, exchange.connection.peer
    told = f"{place.scheme} {peer[0]} {peer[1]} {place.address} {place.port}"
    return [("X-Rolepack-Scope", told)]
