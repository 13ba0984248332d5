"""Programs that are servers themselves: started when they are asked for, and passed every request."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from emulator.hosts.connection import Exchange
from emulator.hosts.loop import Loop, Timer
from emulator.hosts.passing import Passing

_AGAIN = 0.02
"""Seconds between two tries to reach a program that starts."""
_ENDS_WITHIN = 10.0
_OWN_GROUP: dict[str, Any] = {} if os.name == "nt" else {"preexec_fn": os.setpgrp}
"""A signal to the front end's group is not for its programs: requests that have begun are still to be answered."""
LOOPBACK = "127.0.0.1"


class Started(NamedTuple):
    """How a program is started: its command line, where, and with which variables; `%PORT%` is told in both."""

    argv: tuple[str, ...]
    cwd: Path
    environ: Mapping[str, str]
    log: Path | None
    starts_within: float
    answers_within: float
    fails_a_minute: int


class Program:
    """A program that serves HTTP at a port of its own, as httpPlatformHandler has it."""

    def __init__(self, loop: Loop, started: Started, headers: Callable[[Exchange], list[tuple[str, str]]]) -> None:
        self._loop = loop
        self._started = started
        self._headers = headers
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._is_up = False
        self._began = 0.0
        self._waiting: deque[Exchange] = deque()
        self._try: Timer | None = None
        self._failures: deque[float] = deque()
        self._passing: set[Passing] = set()
        self._ending: list[subprocess.Popen[bytes]] = []

    @property
    def load(self) -> int:
        """How many requests it has."""
        return len(self._waiting) + len(self._passing)

    def serve(self, exchange: Exchange) -> None:
        """Have a request, whose body is there, answered by the program."""
        if self._process is not None and self._process.poll() is not None:
            self._say(f"the program ended{_how(self._process.returncode)}")
            self._forget(self._process)
        if self._process is None and not self._start():
            exchange.answer(502, _PLAIN, b"502 Bad Gateway: the program of this site cannot be started.\n")
            return
        if self._is_up:
            self._pass(exchange)
        else:
            self._waiting.append(exchange)

    def retire(self) -> None:
        """Let it end when it has answered what it is answering; the next request starts it again."""
        process = self._process
        if process is not None:
            self._forget(process)
            self._terminate(process)

    def close(self) -> None:
        """End it."""
        for exchange in self._waiting:
            exchange.answer(503, _PLAIN, b"503 Service Unavailable: the site is stopping.\n")
        self._waiting.clear()
        self.retire()

    def wait(self, seconds: float) -> None:
        """Wait until what was told to end has ended, then end it by force."""
        end = time.monotonic() + seconds
        for process in self._ending:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self) -> bool:
        now = time.monotonic()
        while self._failures and now - self._failures[0] > 60:
            self._failures.popleft()
        if self._started.fails_a_minute and len(self._failures) >= self._started.fails_a_minute:
            self._say(f"it has failed {len(self._failures)} times within a minute, so it is left alone")
            return False
        with socket.create_server((LOOPBACK, 0)) as probe:
            self._port = int(probe.getsockname()[1])
        port = str(self._port)
        argv = [word.replace("%PORT%", port) for word in self._started.argv]
        environ = {name: value.replace("%PORT%", port) for name, value in self._started.environ.items()}
        try:
            with contextlib.ExitStack() as stack:
                log = None if self._started.log is None else stack.enter_context(self._started.log.open("ab"))
                outputs = {"stdout": log, "stderr": log}
                where = {"cwd": self._started.cwd, "env": environ, **_OWN_GROUP}
                self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, **outputs, **where)  # type: ignore[call-overload]
        except OSError as error:
            self._say(f"{argv[0]} cannot be started: {error.strerror}")
            return False
        self._began = now
        self._try = self._loop.later(_AGAIN, self._reach)
        return True

    def _reach(self) -> None:
        """Look whether it listens by now."""
        process = self._process
        if process is None or self._is_up:
            return
        if process.poll() is not None:
            self._fail(f"the program ended{_how(process.returncode)} before it listened at port {self._port}")
        elif time.monotonic() - self._began > self._started.starts_within:
            process.kill()
            process.wait()
            self._fail(f"the program did not listen within {self._started.starts_within:g} s (startupTimeLimit)")
        elif _listens(self._port):
            self._is_up = True
            while self._waiting:
                exchange = self._waiting.popleft()
                if not exchange.is_gone:
                    self._pass(exchange)
        else:
            self._try = self._loop.later(_AGAIN, self._reach)

    def _fail(self, why: str) -> None:
        self._failures.append(time.monotonic())
        self._say(why)
        if self._process is not None:
            self._forget(self._process)
        while self._waiting:
            self._waiting.popleft().answer(502, _PLAIN, f"502 Bad Gateway: {why}.\n".encode())

    def _forget(self, process: "subprocess.Popen[bytes]") -> None:
        if process is self._process:
            self._process = None
            self._is_up = False
            if self._try is not None:
                self._try.cancel()

    def _terminate(self, process: "subprocess.Popen[bytes]") -> None:
        process.terminate()
        self._ending = [*(one for one in self._ending if one.poll() is None), process]
        end = time.monotonic() + _ENDS_WITHIN

        def look() -> None:
            if process.poll() is None:
                if time.monotonic() > end:
                    process.kill()
                self._loop.later(0.2, look)

        look()

    def _pass(self, exchange: Exchange) -> None:
        target = (LOOPBACK, self._port)
        passing = Passing(self._loop, exchange, self._headers(exchange), target, self._started.answers_within)
        self._passing.add(passing)
        passing.on_end = self._passing.discard
        passing.begin()

    @staticmethod
    def _say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


_PLAIN = [("Content-Type", "text/plain; charset=utf-8")]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _how(code: int) -> str:
    return f" (exit code {code})" if code >= 0 else f" (killed by {signal.Signals(-code).name})"
