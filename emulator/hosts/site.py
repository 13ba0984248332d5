"""Serves the site in the current folder, by its web.config; run by the role's own interpreter.

    python -u site.py '{"listens": [["http", "127.0.0.1", 20001, 7]], "certificate": [], "kit": "…", "logs": "…"}'

Each of `listens` has scheme, address and port of an endpoint of the instance, and an inherited socket that listens, be
it there or at a public port that leads there; null has it opened here. `certificate` has a file and that of its key.
The server comes from the kit, which stands behind the role's packages on the path. Standard library otherwise, and
little of it: every import keeps the first request waiting.
"""

import functools
import importlib.machinery
import importlib.util
import itertools
import json
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import quote
from xml.etree import ElementTree

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_ASKED = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "HTTP_USER_AGENT")
_KEPT = 100_000
"""Answers that wait for the request log at most; beyond them the oldest are forgotten."""
_WRITTEN_AFTER = 0.1
"""Seconds that a line of the request log waits for others."""
_LEAVING = 0.1
"""Seconds in which answers end their connections, before those that clients keep are closed."""
_THREADS = 64
"""Requests of one instance that are answered at a time."""
_BACKLOG = 1024
_FIELDS = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port c-ip cs(User-Agent) sc-status sc-bytes time-taken"


def app_settings(site: Path) -> dict[str, str]:
    """The appSettings of the site's web.config, whatever the case of its name; empty without one.

    A web.emulator.config takes its place, as ConfigureCloudService has it on a host with web.cloud.config.
    As wfastcgi reads them: every `add` below any `appSettings`, the last of a key wins, keys are stripped.
    """
    there = {path.name.lower(): path for path in site.iterdir()}
    found = there.get("web.emulator.config") or there.get("web.config")
    if found is None:
        return {}
    settings = {}
    for section in ElementTree.parse(found).getroot().iter("appSettings"):  # noqa: S314 - the role's own file
        for element in section.iter("add"):
            settings[element.get("key", "").strip()] = element.get("value", "")
    return settings


def extend_path(settings: dict[str, str]) -> None:
    """Put the site first on the path and what a PYTHONPATH setting names last, with `%NAME%` expanded."""
    sys.path[0] = str(Path.cwd())
    for key, value in settings.items():
        if key.upper() == "PYTHONPATH":
            expanded = re.sub(r"%(\w+?)%", lambda match: os.environ.get(match[1], ""), value)
            sys.path += [entry for entry in expanded.split(";") if entry]


def resolve(handler: str | None) -> Application:
    """The application that a WSGI_HANDLER names, as wfastcgi finds it.

    The longest importable module first; the rest are attributes, and a name that ends in `()` is called.
    """
    if not handler:
        raise LookupError("WSGI_HANDLER env var must be set")
    module, _, rest = handler.rpartition(".")
    names = [rest]
    why = ""
    while module:
        try:
            found: Any = importlib.import_module(module.replace("()", ""))
            for name in names:
                found = getattr(found, name.removesuffix("()"))
                found = found() if name.endswith("()") else found
        except ImportError:
            why = f": {traceback.format_exc()}"
            module, _, rest = module.rpartition(".")
            names.insert(0, rest)
            continue
        if found is not None:
            return cast(Application, found)
        break
    raise LookupError(f'"{handler}" could not be imported{why}')


class RequestLog:
    """The W3C extended log of a folder: one file a day (UTC), one line a request, written a moment later."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._answers: deque[tuple[Any, ...]] = deque(maxlen=_KEPT)
        self._waiting = threading.Event()
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        threading.Thread(target=self._go_on, name="request log", daemon=True).start()

    def wrap(self, application: Application, address: str, port: int) -> Application:
        """The application with every answer of it logged, as given at the instance's own address."""
        server = address, port

        def logged(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            began = time.perf_counter()
            status = "500"

            def start(line: str, headers: Any, exc_info: Any = None) -> Any:
                nonlocal status
                status = line[:3]
                return start_response(line, headers, exc_info)

            try:
                answer = application(environ, start)
            except BaseException:
                self._add(server, environ, "500", 0, began)
                raise
            if isinstance(answer, list):
                self._add(server, environ, status, sum(map(len, answer)), began)
                return answer
            return _Counted(answer, lambda size: self._add(server, environ, status, size, began))

        return logged

    def flush(self) -> None:
        """Write what is waiting."""
        with self._lock:
            offset = time.time() - time.perf_counter()
            lines: dict[str, list[str]] = {}
            for _ in range(len(self._answers)):
                server, began, ended, status, size, *asked = self._answers.popleft()
                day, moment = _moment(int(ended + offset))
                taken = int((ended - began) * 1000)
                lines.setdefault(day, []).append(f"{moment} {_asked(server, *asked)} {status} {size} {taken}\n")
            for day, those in lines.items():
                self._write(self._folder / f"u_ex{day}.log", "".join(those))

    def _add(self, server: tuple[str, int], environ: dict[str, Any], status: str, size: int, began: float) -> None:
        """Note an answer; what would cost more is left to the thread, which does it for many at once."""
        self._answers.append((server, began, time.perf_counter(), status, size, *map(environ.get, _ASKED)))
        if not self._waiting.is_set():
            self._waiting.set()

    def _go_on(self) -> None:
        while self._waiting.wait():
            time.sleep(_WRITTEN_AFTER)
            self._waiting.clear()
            try:
                self.flush()
            except OSError:
                traceback.print_exc()  # the site answers on, whatever becomes of its log

    @staticmethod
    def _write(path: Path, text: str) -> None:
        with path.open("a", encoding="utf-8", errors="replace") as file:
            if not file.tell():
                file.write(f"#Software: rolepack\n#Version: 1.0\n#Fields: {_FIELDS}\n")
            file.write(text)


@functools.lru_cache(2)
def _moment(second: int) -> tuple[str, str]:
    """The day and the time of a second since 1970, in UTC, as the log has them."""
    now = time.gmtime(second)
    return time.strftime("%y%m%d", now), time.strftime("%Y-%m-%d %H:%M:%S", now)


@functools.lru_cache(1024)
def _asked(server: tuple[str, int], *asked: str | None) -> str:
    """The fields of the log that say what was asked; most requests come again and again, so that many are kept."""
    method, path, query, client, agent = (text or "" for text in asked)
    stem = quote(path, safe="/~", encoding="latin-1", errors="replace") or "-"
    fields = (server[0], _field(method), stem, _field(query), str(server[1]), client or "-", _field(agent))
    return " ".join(fields)


def _field(text: str) -> str:
    """A text as a field of the log: without blanks, which part fields, and never empty."""
    if not text.isprintable():
        text = re.sub(r"[\x00-\x1f\x7f]+", "+", text)
    return text.replace(" ", "+") or "-"


class _Counted:
    """An answer whose bytes are counted until the server closes it."""

    def __init__(self, answer: Iterable[bytes], done: Callable[[int], None]) -> None:
        self._answer = answer
        self._done = done
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._answer:
            self._size += len(chunk)
            yield chunk

    def close(self) -> None:
        try:
            if hasattr(self._answer, "close"):
                self._answer.close()
        finally:
            self._done(self._size)


class Listening(NamedTuple):
    """A listening socket, and the endpoint of the instance that it serves."""

    scheme: str
    address: str
    port: int
    socket: socket.socket


def listen(scheme: str, address: str, port: int, inherited: int | None) -> Listening:
    """A socket that listens for an endpoint."""
    if inherited is not None:
        return Listening(scheme, address, port, socket.socket(fileno=inherited))
    return Listening(scheme, address, port, socket.create_server((address, port), backlog=_BACKLOG))


def load(site: Path, kit: str) -> Application:
    """The site's application, ready to be served; where it fails, the process ends and says why."""
    settings = app_settings(site)
    os.environ.update(settings)
    extend_path(settings)
    sys.path.append(kit)
    try:
        return resolve(os.environ.get("WSGI_HANDLER"))
    except Exception:
        print("Error occurred while reading WSGI handler:", file=sys.stderr)
        traceback.print_exc()
        raise SystemExit(1) from None


def debugged(application: Application) -> Application:
    """The application with every thread that runs it known to the debugger, which has not seen granian start them."""
    import debugpy

    known = threading.local()

    def called(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not hasattr(known, "told"):
            known.told = True
            debugpy.debug_this_thread()
        return application(environ, start_response)

    return called


class Response:
    """The start_response of one answer, and what it was called with last."""

    __slots__ = ("headers", "status", "written")

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.written: list[bytes] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Callable[[bytes], None]:
        """Note how the answer begins."""
        self.status = int(status[:3])
        self.headers = headers
        return self.written.append


class Body:
    """An answer that comes in pieces, as granian asks for them: first those that are there already."""

    def __init__(self, first: Iterable[bytes], rest: Iterator[bytes], close: Callable[[], None]) -> None:
        self.__next__ = itertools.chain(first, rest).__next__
        self.close = close


def _nothing() -> None:
    pass


def runner(application: Application, leaving: threading.Event) -> Callable[[Any, dict[str, Any]], int]:
    """What granian calls for each request: with its side of the connection, and with the variables of the request.

    When the site is `leaving`, answers tell their clients to ask elsewhere the next time.
    """
    always = {
        **os.environ,
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SCRIPT_NAME": "",
        "SERVER_SOFTWARE": "rolepack",
        "wsgi.errors": sys.stderr,
        "wsgi.input_terminated": True,
        "wsgi.multiprocess": False,
        "wsgi.multithread": True,
        "wsgi.run_once": False,
        "wsgi.version": (1, 0),
    }

    def headers(response: Response) -> list[tuple[str, str]]:
        return [*response.headers, ("Connection", "close")] if leaving.is_set() else response.headers

    def run(connection: Any, request: dict[str, Any]) -> int:
        response = Response()
        answer = application(always | request, response)
        if isinstance(answer, list):
            body = b"".join((*response.written, *answer))
            connection.response_bytes(_begun(response), headers(response), body)
        else:
            pieces, close = iter(answer), getattr(answer, "close", _nothing)
            try:  # only when the first piece is there, must an application have said how its answer begins
                first = [next(filter(None, pieces), b"")]
                status = _begun(response)
            except BaseException:
                close()
                raise
            connection.response_iter(status, headers(response), Body((*response.written, *first), pieces, close))
        return response.status

    return run


def _begun(response: Response) -> int:
    if not response.status:
        raise RuntimeError("the application has not called start_response")
    return response.status


class _NoLoop:
    """Stands where granian wants an event loop, which only asynchronous applications need."""

    call_soon = staticmethod(_nothing)


def serve_by_granian(
    applications: Sequence[tuple[Application, Listening]], certificate: tuple[str, str] | None
) -> None:
    """Serve until SIGTERM, then finish the requests that have begun.

    granian's own front starts a second process and listens at one address. Its workers can do without, in this one.
    """
    from granian._granian import CallbackScheduler, SocketHolder, WorkerSignal, WSGIWorker

    stops: list[Any] = []
    ends: list[threading.Event] = []
    leaving = threading.Event()

    def leave(*_: Any) -> None:
        leaving.set()
        threading.Timer(_LEAVING, lambda: [stop.set() for stop in stops]).start()

    signal.signal(signal.SIGTERM, leave)
    for application, listening in applications:
        stop, end = WorkerSignal(), threading.Event()
        stop.add_cb(end.set)
        tls = listening.scheme == "https" and certificate is not None
        files = certificate if tls and certificate else (None, None)
        number = listening.socket.fileno()
        holder = SocketHolder(number) if sys.platform == "win32" else SocketHolder(number, False, _BACKLOG)
        security = (tls, *files, None, "tls1.2", None, [], False)
        threads = (1, 512, _THREADS, 30, _BACKLOG)
        worker = WSGIWorker(1, (None, holder), None, *threads, "auto", None, None, None, *security, (None, None))
        worker.serve_mtr(CallbackScheduler(_NoLoop, runner(application, leaving), None, None, None), _NoLoop, stop)
        stops.append(stop)
        ends.append(end)
    for end in ends:
        end.wait()


def serve_by_waitress(applications: Sequence[tuple[Application, Listening]]) -> None:
    """Serve until SIGTERM; without TLS, which waitress does not speak."""
    import waitress

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ports: dict[int, tuple[Application, list[socket.socket]]] = {}
    for application, listening in applications:
        ports.setdefault(listening.port, (application, []))[1].append(listening.socket)
    servers = [
        waitress.create_server(application, sockets=sockets, threads=_THREADS)
        for application, sockets in ports.values()
    ]
    for server in servers[1:]:
        threading.Thread(target=server.run, daemon=True).start()
    servers[0].run()


def main() -> None:
    """Serve until told to end."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # nothing has begun that could be lost
    told = json.loads(sys.argv[1])
    sockets = [listen(*each) for each in told["listens"]]
    application = load(Path.cwd(), told["kit"])
    log = RequestLog(Path(told["logs"]))
    if "debugpy" in sys.modules:
        application = debugged(application)
    applications = [(log.wrap(application, one.address, one.port), one) for one in sockets]
    if found := importlib.machinery.PathFinder.find_spec("granian", [told["kit"]]):
        # As a package, but without its __init__, which would load the front of its command line.
        sys.modules["granian"] = importlib.util.module_from_spec(found)
        serve_by_granian(applications, tuple(told["certificate"]) or None)
    else:
        serve_by_waitress(applications)
    log.flush()


if __name__ == "__main__":
    main()
