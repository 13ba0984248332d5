"""The front end of an instance, in the place of http.sys and IIS: takes requests and finds who answers them."""

import re
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from emulator.hosts import filtering, rewrite, static, urls
from emulator.hosts.application import Application, Told
from emulator.hosts.connection import Connection, Exchange, Place
from emulator.hosts.elements import MalformedError
from emulator.hosts.http1 import Headers, Refused, host_of, reason_of
from emulator.hosts.loop import READ, Loop
from emulator.hosts.places import Places
from emulator.hosts.remembered import Remembered
from emulator.hosts.requestlog import Asked, RequestLog
from emulator.hosts.rewrite import FaultError, Outcome, Surroundings
from emulator.hosts.urls import Url
from emulator.hosts.webconfig import Config, Handler

_ACCEPTED_AT_ONCE = 64
_MOST_CONNECTIONS = 4096
_LEAVING = 0.1
"""Seconds in which answers end their connections, before those that clients keep are closed."""
_ASKS_AGAIN = 0.3
"""Seconds within which a client that keeps its connection is waited for, to be told that it ends."""
_SWEEP = 1.0
_OF_THE_CLIENT = {"LOCAL_ADDR", "REMOTE_ADDR", "REMOTE_HOST", "REMOTE_PORT"}
_PLAIN = [("Content-Type", "text/plain; charset=utf-8")]


class Listening(NamedTuple):
    """A socket that listens, and the endpoint of the instance that it serves."""

    place: Place
    socket: socket.socket


class Binding(NamedTuple):
    """An endpoint at which a site answers, by its port; with a host, only requests that name it."""

    port: int
    host: str


class Site:
    """A web site: its bindings, its folders and its applications."""

    def __init__(self, front: "Front", bindings: tuple[Binding, ...], places: Places) -> None:
        self.bindings = bindings
        self.places = places
        self._front = front
        self._applications: dict[str, Application] = {}

    def application(self, path: str) -> Application:
        """The application that a path belongs to."""
        place = self.places.application_of(path)
        if place.prefix not in self._applications:
            made = Application(self._front, place.folder, place.prefix, self.places.changes)
            self._applications[place.prefix] = made
        return self._applications[place.prefix]

    @property
    def is_python(self) -> bool:
        """Whether an application of Python answers at its root, or may do so once rules have had their say."""
        counts = self.places.counts("/")
        chosen = self.places.handler(counts, "GET", "/")
        kinds = {handler.kind for handler in counts.config.handlers}
        if counts.config.rules:
            return "python" in kinds
        return chosen is not None and chosen.handler.kind == "python"

    @property
    def applications(self) -> list[Application]:
        """Those that were asked for by now."""
        return list(self._applications.values())


class Front:
    """Serves sites until told to leave."""

    def __init__(self, loop: Loop, told: Told, scratch: Path, log: RequestLog | None, *, is_documented: bool) -> None:
        self.loop = loop
        self.told = told
        self.scratch = scratch
        self.is_leaving = False
        self.sites: list[Site] = []
        self._is_documented = is_documented
        self._log = log
        self._listening: list[Listening] = []
        self._connections: set[Connection] = set()
        self._named = Remembered(self._find_site)
        self._is_sweeping = False
        self._is_full = False
        self._security: Any = None

    def listen(self, listening: list[Listening], certificate: tuple[str, str] | None) -> None:
        """Take connections."""
        if any(one.place.scheme == "https" for one in listening) and certificate:
            import ssl

            self._security = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._security.load_cert_chain(*certificate)
        self._listening = listening
        for one in listening:
            one.socket.setblocking(False)
            self._watch(one)

    def leave(self) -> None:
        """Tell clients to go elsewhere, finish what has begun, and stop; a second time, stop at once."""
        if self.is_leaving:
            self.loop.stop()
            return
        self.is_leaving = True
        for one in self._applications:
            one.leave()
        self.loop.later(_LEAVING, self._close_listening)

    def end(self) -> None:
        """End what runs."""
        applications = self._applications
        for one in applications:
            one.close()
        for one in applications:
            one.wait(5.0)
        if self._log is not None:
            self._log.flush()

    @property
    def _applications(self) -> list[Application]:
        return [one for site in self.sites for one in site.applications]

    # What connections tell

    def serve(self, exchange: Exchange) -> None:
        """Answer a request, of which only the head is there."""
        self._guarded(exchange, self._serve)

    def _guarded(self, exchange: Exchange, step: Callable[[Exchange], object]) -> None:
        """Do something for a request; what goes wrong is its answer."""
        try:
            step(exchange)
        except Refused as refused:
            self._refuse(exchange, refused)
        except (MalformedError, FaultError) as error:
            self._fail(exchange, f"500.19 Internal Server Error: {error}\n")
        except Exception:
            traceback.print_exc()
            self._fail(exchange, "500 Internal Server Error: a fault of rolepack's; the log of the site has more.\n")

    def _serve(self, exchange: Exchange) -> None:
        """Filter, rewrite, and let the handler answer."""
        request = exchange.request
        url = urls.parse(request.target)
        site = self._site(exchange, url.host)
        counts = site.places.counts(url.path)
        exchange.added = counts.config.headers
        if counts.refused is not None:
            raise counts.refused
        filtering.check(counts.config.filtering, request, url)
        asked, path = _Asked(site, exchange, url), url.path
        if counts.config.rules:
            surroundings = Surroundings(asked.lookup, asked.find, self._is_documented, {})
            asked.outcome = outcome = rewrite.rewrite(counts.config, url, surroundings)
            if outcome.status or outcome.is_aborted:
                _end_by(outcome, exchange)
                return
            path = outcome.url.path
            counts = site.places.counts(path)
            exchange.added = counts.config.headers
            exchange.passed = asked.passed()
        chosen = site.places.handler(counts, request.method, path)
        if chosen is None:
            raise Refused(404, "no handler is for it (404.4)")
        if chosen.handler.kind == "static":
            if counts.kept is None or not counts.kept.answers(exchange):
                counts.kept = static.serve(exchange, counts.config, path, site.places.find(path))
            return
        application = counts.application
        if application is None:
            application = counts.application = site.application(path)
        self._handle(chosen.handler, counts.config, asked, application)

    def _handle(self, handler: Handler, config: Config, asked: "_Asked", application: Application) -> None:
        exchange = asked.exchange
        if handler.kind == "python":
            exchange.repeats = exchange.request.is_plain and asked.is_the_same_for_all()
            self._with_body(
                exchange, config, lambda exchange: application.serve(exchange, asked.environ(), handler.buffered)
            )
        elif handler.kind == "platform" and config.platform is not None:
            platform = config.platform
            self._with_body(exchange, config, lambda exchange: application.serve_by(platform, exchange))
        else:
            modules = ", ".join(handler.modules) or "a module"
            raise FaultError(f"the handler '{handler.name}' needs {modules}, which is not here")

    def _with_body(self, exchange: Exchange, config: Config, then: Callable[[Exchange], object]) -> None:
        exchange.read_body(config.filtering.most_content, lambda exchange: self._guarded(exchange, then))

    def answered(self, exchange: Exchange) -> None:
        """Take note of an answer that has ended."""
        if self._log is not None:
            self._log.add(exchange)

    def note(self, asked: Asked, status: int, sent: int, taken: float) -> None:
        """Take note of what a process has answered by itself."""
        if self._log is not None:
            self._log.note(asked, status, sent, taken)

    def closed(self, connection: Connection) -> None:
        """Take note of a connection that is gone."""
        self._connections.discard(connection)
        if self._is_full and len(self._connections) < _MOST_CONNECTIONS:
            self._is_full = False
            for one in self._listening:
                self._watch(one)

    def _site(self, exchange: Exchange, named: str) -> Site:
        """The site that is meant: by its host header, or else the one without, or else the only one."""
        return self._named[exchange.connection.place.port, named or exchange.request.variables.get("HTTP_HOST", "")]

    def _find_site(self, asked: tuple[int, str]) -> Site:
        port, written = asked
        host = host_of(written)
        there = [(site, binding) for site in self.sites for binding in site.bindings if binding.port == port]
        for wanted in (host, ""):
            for site, binding in there:
                if binding.host.lower() == wanted:
                    return site
        if len({id(site) for site, _ in there}) == 1:
            return there[0][0]
        raise Refused(400, f"no site here has the name '{host}'")

    @staticmethod
    def _refuse(exchange: Exchange, refused: Refused) -> None:
        text = f"{refused.status} {reason_of(refused.status)}: {refused}.\n".encode("utf-8", "backslashreplace")
        if exchange.status:
            exchange.abort()
        else:
            exchange.answer(refused.status, _PLAIN, text)

    @staticmethod
    def _fail(exchange: Exchange, text: str) -> None:
        print(text, end="", file=sys.stderr, flush=True)
        if exchange.status:
            exchange.abort()
        else:
            exchange.answer(500, _PLAIN, text.encode("utf-8", "backslashreplace"))

    # Connections

    def _watch(self, one: Listening) -> None:
        self.loop.watch(one.socket, READ, lambda _events: self._accept(one))

    def _accept(self, one: Listening) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if len(self._connections) >= _MOST_CONNECTIONS:
                self._pause()
                return
            try:
                client, peer = one.socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break
            except OSError:  # no more files
                self._pause()
                self.loop.later(_SWEEP, lambda: self.closed(None))  # type: ignore[arg-type]
                return
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if one.place.scheme == "https" and self._security is not None:
                try:
                    client = self._security.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
                except (OSError, ValueError):  # it has gone already
                    client.close()
                    continue
            self._connections.add(Connection(self, client, one.place, peer))
            if not self._is_sweeping:
                self._is_sweeping = True
                self.loop.later(_SWEEP, self._sweep)

    def _pause(self) -> None:
        self._is_full = True
        for each in self._listening:
            self.loop.watch(each.socket, 0, lambda _events: None)

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections):
            connection.sweep(now)
        self._is_sweeping = bool(self._connections)
        if self._is_sweeping:
            self.loop.later(_SWEEP, self._sweep)

    def _close_listening(self) -> None:
        for one in self._listening:
            self._accept(one)
            self.loop.watch(one.socket, 0, lambda _events: None)
            one.socket.close()
        self._listening = []
        self._stop_when_done()

    def _stop_when_done(self) -> None:
        """Stop when every client has its answer; who has asked a moment ago may be about to ask again."""
        for connection in list(self._connections):
            if connection.is_incomplete or connection.is_idle_since(time.monotonic() - _ASKS_AGAIN):
                connection.close()
        if self._connections:
            self.loop.later(0.02, self._stop_when_done)
        else:
            self.loop.stop()


class _Asked:
    """What the rewrite module and applications are told of one request."""

    __slots__ = ("_has_looked", "exchange", "outcome", "site", "url")

    def __init__(self, site: Site, exchange: Exchange, url: Url) -> None:
        self.site = site
        self.exchange = exchange
        self.url = url
        self.outcome: Outcome | None = None
        self._has_looked = False  # at something else than the request

    def is_the_same_for_all(self) -> bool:
        """Whether nothing but the request has decided what becomes of it: no file, and not who has asked."""
        has_looked = self._has_looked or self.exchange.connection.place.scheme != "http"
        changed = self.outcome.variables if self.outcome else ()
        return not has_looked and not any(name in self.exchange.connection.variables for name, _ in changed)

    def lookup(self, name: str) -> str:
        """A server variable, for a rule."""
        if name in _OF_THE_CLIENT:
            self._has_looked = True
        return urls.text_of(self.environ().get(name, ""))

    def find(self, path: str) -> Path | None:
        """A file, for a rule."""
        self._has_looked = True
        return self.site.places.find(path)

    def environ(self) -> dict[str, str]:
        """What IIS tells a FastCGI application of a request; all of it is latin-1 of the bytes."""
        exchange, url, outcome = self.exchange, self.url, self.outcome
        request, connection = exchange.request, exchange.connection
        environ = {
            **connection.variables,
            **request.variables,
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": urls.path_of(url.path),
            "PATH_INFO": urls.path_of(url.path),
            "QUERY_STRING": url.query,
            "REQUEST_URI": url.raw,
            "UNENCODED_URL": url.raw,
            "SERVER_PROTOCOL": f"HTTP/1.{request.minor}",
        }
        environ.pop("HTTP_X_ORIGINAL_URL", None)  # which the rewrite module alone may set
        environ["SERVER_NAME"] = host_of(environ.get("HTTP_HOST", "")) or connection.place.address
        if request.length is None:
            environ["CONTENT_LENGTH"] = str(exchange.body.size)
        if outcome is not None:
            self._add(environ, outcome)
        return environ

    def passed(self) -> tuple[str, Headers]:
        """What a program is asked for, once rules have had their say, and the headers that they have set."""
        outcome = self.outcome
        if outcome is None or not outcome.is_rewritten:
            target = self.url.raw
        else:
            target = quote(urls.path_of(outcome.url.path), safe="/:@!$&'()*+,;=~-._", encoding="latin-1")
            target += f"?{outcome.url.query}" if outcome.url.query else ""
        variables = outcome.variables if outcome else ()
        headers = [
            (name[5:].replace("_", "-").title(), re.sub(r"[\r\n\0]", " ", urls.path_of(value)))
            for name, value in variables
            if name.upper().startswith("HTTP_")
        ]
        return target, headers

    def _add(self, environ: dict[str, str], outcome: Outcome) -> None:
        """What rules have changed."""
        if outcome.is_rewritten:
            query = f"?{self.url.query}" if self.url.query else ""
            environ["SCRIPT_NAME"] = urls.path_of(outcome.url.path)
            environ["QUERY_STRING"] = outcome.url.query
            environ["HTTP_X_ORIGINAL_URL"] = urls.path_of(self.url.path) + query
            environ["IIS_WasUrlRewritten"] = "1"
        for name, value in outcome.variables:
            environ[name.upper().replace("-", "_")] = urls.path_of(value)


def _end_by(outcome: Outcome, exchange: Exchange) -> None:
    """Give the answer that a rule gives."""
    if outcome.is_aborted:
        exchange.abort()
        return
    body = outcome.body.encode("utf-8", "backslashreplace")
    headers = outcome.headers or [("Content-Type", "text/html; charset=UTF-8")]
    exchange.answer(outcome.status, headers, body, outcome.reason)
