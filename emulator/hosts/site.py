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
import operator
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
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import quote
from xml.etree import ElementTree

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Asked = tuple[tuple[str, str, str, str], str | None]
"""What the request log says of a request: what `_ASKED` takes from its variables, and who asked."""
Answered = tuple[tuple[str, int], Asked, int, int, float]
"""Address and port of the instance, what was asked, status, bytes of the body, and the seconds that it took."""

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_ASKED = operator.itemgetter("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR")
_KEPT = 100_000
"""Answers that wait for the request log at most; beyond them the oldest are forgotten."""
_WRITTEN_AFTER = 0.1
"""Seconds that a line of the request log waits for others."""
_END = getattr(signal, "SIGBREAK", signal.SIGTERM)
"""What asks the site to end; on Windows, what Ctrl-Break sends."""
_LOOK = 0.2 if os.name == "nt" else None
"""Seconds after which a thread that waits looks for signals: those of Windows do not wake it."""
_LEAVING = 0.1
"""Seconds in which answers end their connections, before those that clients keep are closed."""
_THREADS = 64
"""Requests of one instance that are answered at a time."""
_BACKLOG = 1024
_now = time.perf_counter
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
        self._answered: deque[Answered] = deque(maxlen=_KEPT)
        self._waiting = threading.Event()
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        threading.Thread(target=self._go_on, name="request log", daemon=True).start()

    def add(self, answered: Answered) -> None:
        """Note what was answered. A thread makes the line of it, for many at once: that is kinder to other requests."""
        self._answered.append(answered)
        if not self._waiting.is_set():
            self._waiting.set()

    def flush(self) -> None:
        """Write what is waiting."""
        with self._lock:
            now = time.gmtime()
            moment = time.strftime("%Y-%m-%d %H:%M:%S", now)
            answered = (self._answered.popleft() for _ in range(len(self._answered)))
            text = "".join(
                f"{moment} {_asked(at, asked)} {status} {size} {int(taken * 1000)}\n"
                for at, asked, status, size, taken in answered
            )
            self._write(self._folder / time.strftime("u_ex%y%m%d.log", now), text)

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


@functools.lru_cache(1024)
def _asked(at: tuple[str, int], asked: Asked) -> str:
    """The fields of the log that say what was asked; most requests come again and again, so that many are kept."""
    address, port = at
    (method, path, query, client), agent = asked
    stem = quote(path, safe="/~", encoding="latin-1", errors="replace") or "-"
    return " ".join((address, _field(method), stem, _field(query), str(port), client or "-", _field(agent or "")))


def _field(text: str) -> str:
    """A text as a field of the log: without blanks, which part fields, and never empty."""
    if not text.isprintable():
        text = re.sub(r"[\x00-\x1f\x7f]+", "+", text)
    return text.replace(" ", "+") or "-"


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
    """An answer that comes in pieces, counted until the server closes it."""

    def __init__(self, pieces: Iterator[bytes], close: Callable[[], None], ended: Callable[[int], None]) -> None:
        self._pieces = pieces
        self._close = close
        self._ended = ended
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self._size += len(piece)
        return piece

    def close(self) -> None:
        """Close the application's answer, and tell its bytes."""
        try:
            self._close()
        finally:
            self._ended(self._size)


def _nothing() -> None:
    pass


class Site:
    """An application at an endpoint of the instance, as servers call it; what it answers is logged."""

    def __init__(self, application: Application, at: tuple[str, int], log: RequestLog) -> None:
        self.leaving = False
        """Whether answers tell their clients to ask elsewhere the next time."""
        self._application = application
        self._at = at
        self._log = log
        self._always = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HTTP_")},  # of requests only
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

    def __call__(self, connection: Any, request: dict[str, Any]) -> int:
        """Answer a request, whose variables are given, by the connection; the status.

        The connection has granian's `response_bytes` and `response_iter`, with status, headers and body each.
        """
        began = _now()
        asked = _ASKED(request), request.get("HTTP_USER_AGENT")
        response = Response()
        try:
            answer = self._application(self._always | request, response)
            if isinstance(answer, list):
                body = b"".join(response.written + answer)
                connection.response_bytes(*self._head(response), body)
                self._log.add((self._at, asked, response.status, len(body), _now() - began))
            else:
                pieces = self._pieces(answer, response, asked, began)
                connection.response_iter(*self._head(response), pieces)
        except BaseException:
            self._log.add((self._at, asked, 500, 0, _now() - began))
            raise
        return response.status

    def _pieces(self, answer: Iterable[bytes], response: Response, asked: Asked, began: float) -> Body:
        """The body of an answer, once its first piece is there: until then, how it begins need not be said."""
        pieces, close = iter(answer), getattr(answer, "close", _nothing)
        try:
            first = [next(filter(None, pieces), b"")]
            status, _ = self._head(response)
        except BaseException:
            close()
            raise

        def ended(size: int) -> None:
            self._log.add((self._at, asked, status, size, _now() - began))

        return Body(itertools.chain(response.written, first, pieces), close, ended)

    def _head(self, response: Response) -> tuple[int, list[tuple[str, str]]]:
        """The status and the headers of an answer."""
        if not response.status:
            raise RuntimeError("the application has not called start_response")
        if self.leaving:
            return response.status, [*response.headers, ("Connection", "close")]
        return response.status, response.headers


class _NoLoop:
    """Stands where granian wants an event loop, which only asynchronous applications need."""

    call_soon = staticmethod(_nothing)


def serve_by_granian(sites: Sequence[tuple[Site, Listening]], certificate: tuple[str, str] | None) -> None:
    """Serve until SIGTERM, then finish the requests that have begun.

    granian's own front starts a second process and listens at one address. Its workers can do without, in this one.
    """
    from granian._granian import CallbackScheduler, SocketHolder, WorkerSignal, WSGIWorker

    stops: list[Any] = []
    ends: list[threading.Event] = []

    def leave(*_: Any) -> None:
        for site, _ in sites:
            site.leaving = True
        threading.Timer(_LEAVING, lambda: [stop.set() for stop in stops]).start()

    signal.signal(_END, leave)
    for site, listening in sites:
        stop, end = WorkerSignal(), threading.Event()
        stop.add_cb(end.set)
        tls = listening.scheme == "https" and certificate is not None
        files = certificate if tls and certificate else (None, None)
        number = listening.socket.fileno()
        holder = SocketHolder(number) if sys.platform == "win32" else SocketHolder(number, False, _BACKLOG)
        security = (tls, *files, None, "tls1.2", None, [], False)
        threads = (1, 512, _THREADS, 30, _BACKLOG)
        worker = WSGIWorker(1, (None, holder), None, *threads, "auto", None, None, None, *security, (None, None))
        worker.serve_mtr(CallbackScheduler(_NoLoop, site, None, None, None), _NoLoop, stop)
        stops.append(stop)
        ends.append(end)
    for end in ends:
        while not end.wait(_LOOK):
            pass


def serve_by_waitress(sites: Sequence[tuple[Site, Listening]]) -> None:
    """Serve until SIGTERM; without TLS, which waitress does not speak."""
    import waitress

    signal.signal(_END, lambda *_: sys.exit(0))
    first, *others = (
        waitress.create_server(under_waitress(site), sockets=[listening.socket], threads=_THREADS)
        for site, listening in sites
    )
    for server in others:
        threading.Thread(target=server.run, daemon=True).start()
    first.run()


def under_waitress(site: Site) -> Application:
    """The site as an application, which is what waitress calls."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        connection = _Connection(start_response)
        site(connection, environ)
        return connection.body

    return application


class _Connection:
    """What granian has for each request, made of what WSGI has."""

    def __init__(self, start_response: Callable[..., Any]) -> None:
        self._start_response = start_response
        self.body: Iterable[bytes] = ()

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.response_iter(status, headers, [body])

    def response_iter(self, status: int, headers: list[tuple[str, str]], body: Iterable[bytes]) -> None:
        self._start_response(f"{status} {_REASONS.get(status, 'Unknown')}", headers)
        self.body = body


def main() -> None:
    """Serve until told to end."""
    signal.signal(_END, lambda *_: os._exit(0))  # nothing has begun that could be lost
    told = json.loads(sys.argv[1])
    sockets = [listen(*each) for each in told["listens"]]
    application = load(Path.cwd(), told["kit"])
    log = RequestLog(Path(told["logs"]))
    if "debugpy" in sys.modules:
        application = debugged(application)
    sites = [(Site(application, (one.address, one.port), log), one) for one in sockets]
    if found := importlib.machinery.PathFinder.find_spec("granian", [told["kit"]]):
        # As a package, but without its __init__, which would load the front of its command line.
        sys.modules["granian"] = importlib.util.module_from_spec(found)
        serve_by_granian(sites, tuple(told["certificate"]) or None)
    else:
        serve_by_waitress(sites)
    log.flush()


if __name__ == "__main__":
    main()
