"""The front end of an app of App Service on Linux: ends TLS, passes requests on, and answers while the app does not."""

import signal
import socket
import time
from pathlib import Path
from typing import Any

from emulator.hosts.application import Told
from emulator.hosts.connection import Exchange
from emulator.hosts.front import Front
from emulator.hosts.http1 import Headers
from emulator.hosts.loop import READ, Loop
from emulator.hosts.passing import Passing
from emulator.hosts.requestlog import RequestLog
from emulator.hosts.running import listening_at

_MOST_BODY = 2 * 1024**3
_ANSWERS_WITHIN = 230.0
"""Seconds of silence after which the platform's load balancer gives a request up."""
_AGAIN = 0.1
_UP, _DOWN = b"+", b"-"
_HTML = [("Content-Type", "text/html; charset=utf-8"), ("Retry-After", "10")]
_UNAVAILABLE = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Service Unavailable</title>
<style>body { font: 18px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 15vh auto; padding: 0 2rem; color: #223 }
h1 { font-size: 1.6rem }</style></head>
<body><h1>Service Unavailable</h1>
<p>The app of this site does not answer. Its log says why: <code>webapp-logs</code> shows it.</p></body></html>
"""


class Gateway(Front):
    """Passes every request to the app.

    Whoever runs the app tells by a byte whether it may be asked: `+`, or `-` once it has failed. Until then, requests
    wait for it as long as it may take to start.
    """

    def __init__(self, loop: Loop, told: dict[str, Any], log: RequestLog) -> None:
        super().__init__(loop, _NOTHING, Path(told["scratch"]), log, is_documented=False)
        self._target = (told["target"][0], int(told["target"][1]))
        self._scheme = told["listens"][0][0]
        self._starts_within = float(told["starts_within"])
        self._tls = str(told["tls"])
        self._has_failed = False
        self._word = socket.socket(fileno=int(told["word"]))
        self._word.setblocking(False)
        loop.watch(self._word, READ, lambda _events: self._hear())

    def _hear(self) -> None:
        word = self._word.recv(64)
        if not word:  # whoever runs the app has gone
            self.loop.watch(self._word, 0, lambda _events: None)
            self.leave()
            return
        self._has_failed = word.endswith(_DOWN)

    def _serve(self, exchange: Exchange) -> None:
        exchange.read_body(_MOST_BODY, lambda exchange: self._guarded(exchange, self._pass))

    def _pass(self, exchange: Exchange, is_first: bool = True) -> None:
        """Pass a request on; an app that ends at this moment may not have seen it, and is asked once more."""
        passing = Passing(self.loop, exchange, self._headers(exchange), self._target, _ANSWERS_WITHIN)
        passing.on_refused = self._wait
        if is_first:
            passing.on_broken = lambda exchange: self._pass(exchange, is_first=False)
        passing.begin()

    def _wait(self, exchange: Exchange) -> None:
        """Nothing listens there yet: ask again, unless that has no prospect."""
        if exchange.is_gone:
            return
        if self._has_failed or time.monotonic() - exchange.began > self._starts_within:
            exchange.answer(503, _HTML, _UNAVAILABLE)
        else:
            self.loop.later(_AGAIN, lambda: self._pass(exchange))

    def _headers(self, exchange: Exchange) -> Headers:
        """What the platform's load balancer adds."""
        request, variables = exchange.request, exchange.connection.variables
        client = f"{variables['REMOTE_ADDR']}:{variables['REMOTE_PORT']}"
        before = request.get("x-forwarded-for")
        headers = [
            ("X-Forwarded-For", f"{before}, {client}" if before else client),
            ("X-Forwarded-Proto", self._scheme),
            ("X-Forwarded-Host", request.get("host")),
            ("Client-IP", client),
        ]
        return [*headers, ("X-ARR-SSL", self._tls)] if self._scheme == "https" else headers


_NOTHING = Told(kit="", debugger=None, debug_kit="", max_instances=0, config_names=(), restarts=False, places=None)


def run(told: dict[str, Any], end: int) -> None:
    """Serve until the signal `end`, or until nobody is there who runs the app.

    `told` has `listens`, `certificate`, `logs` and `scratch` as for a site, the `target` (address and port), the number
    of a socket `word` with the state of the app, `starts_within` (seconds), and `tls`: what X-ARR-SSL says.
    """
    loop = Loop()
    gateway = Gateway(loop, told, RequestLog(Path(told["logs"]), loop.later))
    loop.on_signal(end, gateway.leave)
    loop.on_signal(signal.SIGINT, gateway.leave)
    gateway.listen([listening_at(*each) for each in told["listens"]], tuple(told["certificate"]) or None)
    loop.run()
    gateway.end()
