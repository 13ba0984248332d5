"""A process of an application, seen from the front end: `wsgi.py` is its other side."""

import os
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from emulator.hosts.connection import Exchange
from emulator.hosts.frames import Frames
from emulator.hosts.job import Job
from emulator.hosts.loans import Ended, Loans, new_loans
from emulator.hosts.loop import Loop
from emulator.hosts.requestlog import Asked

PROGRAM = Path(__file__).with_name("wsgi.py")
_LONG = 0.03
"""Seconds after which a request takes so long that others should not wait behind it."""


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

    @property
    def note(self) -> Callable[[Asked, int, int, float], None]:
        """Told of what was answered without the front end."""

    def loaded(self, process: "Process", kind: str) -> None:
        """A process is there."""

    def failed(self, process: "Process", text: str) -> None:
        """A process could not load the application."""

    def ended(self, process: "Process", code: int | None) -> None:
        """A process has ended by itself."""

    def free(self, process: "Process") -> None:
        """A process has nothing to do."""

    def busy(self, process: "Process") -> None:
        """A process has something to do that it was not given."""

    def give_back(self, jobs: list[Job]) -> None:
        """Requests that a process was given, and does not get to, are for another one."""


class Process:
    """A process, and what it is doing."""

    def __init__(self, pool: Pool, work: Work) -> None:
        self.jobs: deque[Job] = deque()
        """What it is answering, and perhaps what it was given to be answered next."""
        self.is_loaded = False
        self.active = time.monotonic()
        """When it was last heard of, or given something to do."""
        self._pool = pool
        self._given = 0
        self._is_settling = False
        self._locked_since = 0.0
        """Since when it has had the lock of its page, as far as is known; 0 if it has not."""
        self._is_closing = self._is_closed = False
        self._loans = None if work.told["debugger"] else new_loans()
        try:
            connected, self._process = _start(work, self._loans.file if self._loans else None)
        except OSError:
            if self._loans is not None:
                self._loans.close()
            raise
        self._frames = Frames(pool.loop, connected, self._take, self._gone)
        told = {"page": self._loans.file if self._loans else None, "most": work.limits.instance_max_requests}
        self._frames.send({**work.told, **told})

    @property
    def job(self) -> Job | None:
        """What it is answering."""
        return self.jobs[0] if self.jobs else None

    @property
    def served(self) -> int:
        """How many requests it has begun."""
        return self._given if self._loans is None else self._loans.served

    def give(self, job: Job) -> None:
        """Let it answer a request."""
        self.jobs.append(job)
        self._given += 1
        job.number = self._given
        self.active = job.began = time.monotonic()
        body = job.exchange.body
        shown = self._loans.show(job) if self._loans and job.exchange.repeats else None
        told = job.environ, body.bytes if body.path is None else str(body.path), shown
        self._frames.send(("job", job.number, *told))

    def late(self, now: float, limits: Limits) -> str:
        """Why it has had its time; empty if it has not."""
        asked = self._locked_since or (self._loans.asked_since() if self._loans else None)
        if self.is_loaded and not self.jobs and asked is None:
            return ""
        silent = now - max(asked or 0.0, self.active)
        if limits.activity_timeout and silent > limits.activity_timeout and not self._frames.is_paused:
            return f"it was silent for {limits.activity_timeout:g} s (activityTimeout)"
        if self.job and limits.request_timeout and now - self.job.began > limits.request_timeout:
            return f"the request has taken more than {limits.request_timeout:g} s (requestTimeout)"
        return ""

    def kill(self) -> None:
        """End it now, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._settle_dead()

    def wait(self, seconds: float) -> None:
        """Wait until it has ended; then end it."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def close(self) -> None:
        """Let it end by itself; it may still tell what it has answered."""
        if self._loans is None or self._process.poll() is not None:
            self._hang_up()
            return
        self._is_closing = True
        self._frames.say_no_more()

    def _hang_up(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._frames.close()
            if self._loans is not None:
                self._loans.close()

    # Connections that it is lent

    @property
    def lent(self) -> int:
        """How many connections it has."""
        return self._loans.count if self._loans else 0

    @property
    def holds_up(self) -> bool:
        """Whether others wait behind what it does: on connections that it has, or jobs that it was given."""
        return self.lent > 0 or len(self.jobs) > 1

    def may_have(self, exchange: Exchange) -> bool:
        """Whether it can answer what a client has asked, and does nothing else now."""
        is_ready = self.is_loaded and not self.jobs and not self._is_settling and not self._frames.is_paused
        return self._loans is not None and is_ready and self._loans.knows(exchange)

    def lend(self, exchange: Exchange) -> None:
        """Lend it the connection of a client, if that can be."""
        if self._loans is not None:
            self._loans.lend(exchange.connection, self._frames.send_file)

    def is_slow(self, now: float) -> bool:
        """Whether what it does takes so long that others should not wait behind it."""
        since = self.job.began if self.job else self._loans.asked_since() if self._loans else None
        return since is not None and now - since > _LONG

    def is_idle_since(self, moment: float) -> bool:
        """Whether it has a connection on which nothing was asked since a moment (time.monotonic)."""
        return self._loans is not None and self._loans.is_idle_since(moment)

    def take_back(self) -> bool:
        """Have all back that waits; False if it is just reading or answering on a connection."""
        if self._loans is None or not self.holds_up:
            return True
        self._frames.receive()  # it may be waiting for that
        if not self._loans.hold():
            self._locked_since = self._locked_since or time.monotonic()
            return False
        self._locked_since = 0.0
        self._frames.receive()
        ended = self._loans.end(self._given)
        self._frames.send(("taken",))
        self._settle(self._loans, ended)
        return True

    def forget(self) -> bool:
        """Have it forget what it was shown; False if that has to wait for a moment."""
        if not self.take_back():
            return False
        if self._loans is not None:
            self._loans.forget()
            self._frames.send(("forget",))
        return True

    def _settle(self, loans: Loans, ended: Ended) -> None:
        """Find out what it does now, and have the rest back."""
        was_busy = bool(self.jobs)
        self._is_settling = True  # nothing new begins meanwhile
        self._frames.take()
        self._is_settling = False
        waiting = [job for job in self.jobs if job.number and not (ended.is_begun and job.number == self._given)]
        self.jobs = deque(job for job in self.jobs if job not in waiting)
        asking = loans.settle(ended)
        if asking is not None:
            self.jobs.append(asking)
        if self._process.returncode is None:
            if self.jobs and not was_busy:
                self._pool.busy(self)
            elif was_busy and not self.jobs:
                self._pool.free(self)
        if waiting:
            self._pool.give_back(waiting)
        loans.resume()

    def _settle_dead(self) -> None:
        if self._loans is not None and self.holds_up:
            self._frames.receive()
            self._settle(self._loans, self._loans.end(self._given))

    # What it says, see wsgi.py and loans.py

    def _gone(self) -> None:
        """It says no more."""
        if self._is_closing:
            self._hang_up()
            return
        self._pool.ended(self, self._code())

    def _code(self) -> int | None:
        try:
            return self._process.wait(0.1)
        except subprocess.TimeoutExpired:
            return None

    def _take(self, value: Any) -> None:
        self.active = time.monotonic()
        if type(value) is tuple and type(value[0]) is str and value[0] != "error":
            self._hear(*value)
            return
        job = self.jobs[0]
        if isinstance(value, bytes):
            self._take_piece(job, value)
        elif value is not None and value[0] != "error" and not value[4]:
            job.begin(*value[:3])
            self._take_piece(job, value[3])
        else:
            self.jobs.popleft()
            self._frames.go_on()
            try:
                _end(job, value)
            finally:
                if not self.jobs and not self._is_settling:
                    self._pool.free(self)

    def _hear(self, word: str, *told: Any) -> None:
        if word == "loaded":
            self.is_loaded = True
            self._pool.loaded(self, *told)
        elif word == "failed":
            self._pool.failed(self, *told)
        elif self._loans is not None:
            self._hear_of_loans(self._loans, word, told)

    def _hear_of_loans(self, loans: Loans, word: str, told: tuple[Any, ...]) -> None:
        if word == "back":
            loans.back(*told)
            if not self._is_settling:
                loans.resume()
        elif word == "mine":
            self.jobs.appendleft(loans.mine(*told))
            if not self._is_settling and len(self.jobs) == 1:
                self._pool.busy(self)
        else:
            loans.answered(told[0], self._pool.note)

    def _take_piece(self, job: Job, piece: bytes) -> None:
        if not job.take(piece):
            self._frames.pause()  # the client is slow, so the application waits
            job.exchange.on_drained = job.exchange.on_gone = self._go_on

    def _go_on(self) -> None:
        self.active = time.monotonic()
        self._frames.go_on()


def _end(job: Job, value: Any) -> None:
    """Take the last that is said of an answer: all of it, an error, or that there is no more."""
    if value is None:
        job.end()
    elif value[0] == "error":
        job.fail(value[1])
    else:
        job.answer(*value[:4])


def _start(work: Work, file: int | None) -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    """Start a process whose standard input is a socket and that inherits a file; the socket, and the process."""
    ours, theirs = socket.socketpair()
    with theirs:
        if os.name == "nt":
            process = subprocess.Popen(work.argv, env=work.environ, stdin=subprocess.PIPE)
            assert process.stdin is not None  # noqa: S101 - it was asked for
            with process.stdin:
                process.stdin.write(theirs.share(process.pid))  # type: ignore[attr-defined, unused-ignore]
        else:
            files = () if file is None else (file,)
            process = subprocess.Popen(work.argv, env=work.environ, stdin=theirs.fileno(), pass_fds=files)
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
