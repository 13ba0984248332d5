"""A process of an application, seen from the front end: `wsgi.py` is its other side."""

import marshal
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from emulator.hosts.job import Job
from emulator.hosts.loop import READ, WRITE, Loop

PROGRAM = Path(__file__).with_name("wsgi.py")
_PIECE = 32 * 1024


class Limits(NamedTuple):
    """What processes may do, by IIS's names and defaults for fastCgi. Times in seconds; 0 is no limit.

    Two are others: IIS has four processes, and each serves 200 requests, which is what makes it slow.
    """

    max_instances: int = 2
    instance_max_requests: int = 10_000
    queue_length: int = 1000
    activity_timeout: float = 30.0
    request_timeout: float = 90.0
    idle_timeout: float = 300.0


class Work(NamedTuple):
    """What processes run: `told` is what each is told first (see wsgi.py), `environ` what it inherits."""

    argv: tuple[str, ...]
    environ: Mapping[str, str]
    told: Mapping[str, Any]
    limits: Limits = Limits()


class Pool(Protocol):
    """Who has processes."""

    loop: Loop

    def loaded(self, process: "Process", kind: str) -> None:
        """A process is there."""

    def failed(self, process: "Process", text: str) -> None:
        """A process could not load the application."""

    def ended(self, process: "Process", code: int | None) -> None:
        """A process has ended by itself."""

    def free(self, process: "Process") -> None:
        """A process has nothing to do."""


class Process:
    """A process, and the request that it is answering."""

    def __init__(self, pool: Pool, work: Work) -> None:
        self.job: Job | None = None
        self.is_loaded = False
        self.served = 0
        self.active = time.monotonic()
        """When it was last heard of, or given something to do."""
        self._pool = pool
        self._loop = pool.loop
        self._input = bytearray()
        self._output = b""
        self._events = 0
        self._socket, self._process = _start(work)
        self._watch(READ)
        self._send(dict(work.told))

    def give(self, job: Job) -> None:
        """Let it answer a request."""
        self.job = job
        self.served += 1
        self.active = job.began = time.monotonic()
        body = job.exchange.body
        self._send((job.environ, body.bytes if body.path is None else str(body.path)))

    def late(self, now: float, limits: Limits) -> str:
        """Why it has had its time; empty if it has not."""
        if self.is_loaded and self.job is None:
            return ""
        if limits.activity_timeout and now - self.active > limits.activity_timeout and self._events & READ:
            return f"it was silent for {limits.activity_timeout:g} s (activityTimeout)"
        if self.job and limits.request_timeout and now - self.job.began > limits.request_timeout:
            return f"the request has taken more than {limits.request_timeout:g} s (requestTimeout)"
        return ""

    def kill(self) -> None:
        """End it now, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def wait(self, seconds: float) -> None:
        """Wait until it has ended; then end it."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def close(self) -> None:
        """Let it end by itself."""
        if self._socket.fileno() >= 0:
            self._watch(0)
            self._socket.close()

    def _watch(self, events: int) -> None:
        if events != self._events:
            self._events = events
            self._loop.watch(self._socket, events, self._ready)

    def _send(self, value: Any) -> None:
        told = marshal.dumps(value)
        self._output += len(told).to_bytes(4, "little") + told
        self._flush()

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._output)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # that it has ended is read
        self._output = self._output[sent:]
        self._watch(self._events | WRITE if self._output else self._events & ~WRITE)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & READ and self._events & READ:
            self._read()

    def _read(self) -> None:
        try:
            piece = self._socket.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._pool.ended(self, self._code())
            return
        self.active = time.monotonic()
        buffer = self._input
        if not buffer and len(piece) == 4 + int.from_bytes(piece[:4], "little"):
            self._take(marshal.loads(memoryview(piece)[4:]))  # noqa: S302 - of our own program
            return
        buffer += piece
        at, size = 0, len(buffer)
        while size - at >= 4:
            end = at + 4 + int.from_bytes(buffer[at : at + 4], "little")
            if size < end:
                break
            self._take(marshal.loads(buffer[at + 4 : end]))  # noqa: S302 - of our own program
            at = end
        del buffer[:at]

    def _code(self) -> int | None:
        try:
            return self._process.wait(0.1)
        except subprocess.TimeoutExpired:
            return None

    def _take(self, value: Any) -> None:
        """What it has said, see wsgi.py."""
        job = self.job
        if job is None:
            kind, text = value
            self.is_loaded = kind == "loaded"
            if self.is_loaded:
                self._pool.loaded(self, text)
            else:
                self._pool.failed(self, text)
            return
        if isinstance(value, bytes):
            self._take_piece(job, value)
        elif value is not None and value[0] != "error" and not value[4]:
            job.begin(*value[:3])
            self._take_piece(job, value[3])
        else:
            self.job = None
            try:
                _end(job, value)
            finally:
                self._pool.free(self)

    def _take_piece(self, job: Job, piece: bytes) -> None:
        if not job.take(piece):
            self._watch(self._events & ~READ)  # the client is slow, so the application waits
            job.exchange.on_drained = job.exchange.on_gone = self._go_on

    def _go_on(self) -> None:
        self.active = time.monotonic()
        if self._socket.fileno() >= 0:
            self._watch(self._events | READ)


def _end(job: Job, value: Any) -> None:
    """Take the last that is said of an answer: all of it, an error, or that there is no more."""
    if value is None:
        job.end()
    elif value[0] == "error":
        job.fail(value[1])
    else:
        job.answer(*value[:4])


def _start(work: Work) -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    """Start a process whose standard input is a socket; that, and the process."""
    ours, theirs = socket.socketpair()
    with theirs:
        if os.name == "nt":
            process = subprocess.Popen(work.argv, env=work.environ, stdin=subprocess.PIPE)
            assert process.stdin is not None  # noqa: S101 - it was asked for
            with process.stdin:
                process.stdin.write(theirs.share(process.pid))  # type: ignore[attr-defined, unused-ignore]
        else:
            process = subprocess.Popen(work.argv, env=work.environ, stdin=theirs.fileno())
    ours.setblocking(False)
    return ours, process


def how(code: int) -> str:
    """How a process has ended."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
