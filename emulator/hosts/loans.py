"""Connections that are lent to a process of an application, which answers on them what it has been asked before.

A request that passes through the front end costs it and the system more than most applications take to answer. So a
connection on which a client asks a lot is lent to a process: it gets the file of the socket, and the front end keeps
its own, but does not read from it. lent.py is the other side. What is told of loans, besides requests and answers:

- to a process: `shown`, how a request is answered, with the first such request; `lend` a connection; `taken`: all were
  taken back; `forget` what was shown
- by a process: `back`, with what the client has said and what is still to be said to it; `mine`: the answer to what a
  lent connection has asked is no simple one and comes as if the front end had passed the request on; `answered`, for
  the log

All are taken back as soon as a request takes long, so that those on other connections go to another process; when files
have changed; and when the process ends, however it does. The page says then what the process was about.
"""

import itertools
import mmap
import os
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from emulator.hosts.connection import Connection, Exchange
from emulator.hosts.http1 import Headers, Request
from emulator.hosts.job import Job
from emulator.hosts.requestlog import Asked

_IS_LINUX = hasattr(os, "memfd_create")
if _IS_LINUX:
    from emulator.hosts import page
    from emulator.hosts.page import Page

_MOST_PLANS = 256
_LONGEST_HEAD = 4096
_NUMBERS = itertools.count(1)


class _Shown(NamedTuple):
    """What a process was shown: how it answers a request."""

    request: Request
    environ: dict[str, str]
    added: Headers
    limit: int


class Ended(NamedTuple):
    """What a process was about when its loans ended, as its page had it, and whether that was its last job."""

    state: int
    number: int
    plan: int
    since: float
    is_begun: bool


class Loans:
    """What a process was lent and shown."""

    def __init__(self) -> None:
        self.file = os.memfd_create("rolepack-loans")
        os.ftruncate(self.file, mmap.PAGESIZE)
        self._page = Page(self.file)
        self._returned: list[tuple[Connection, bytes, bytes]] = []
        self._lent: dict[int, Connection] = {}
        self._shown: dict[int, _Shown] = {}
        self._numbers: dict[tuple[Any, bytes], int] = {}

    @property
    def count(self) -> int:
        """How many connections are lent."""
        return len(self._lent)

    def is_idle_since(self, moment: float) -> bool:
        """Whether one of the clients has asked for nothing since a moment (time.monotonic)."""
        return any(connection.is_quiet_since(moment) for connection in self._lent.values())

    @property
    def served(self) -> int:
        """How many requests the process has begun."""
        return self._page.words[page.SERVED]

    def asked_since(self) -> float | None:
        """When (time.monotonic) what is being answered on a connection was asked; None if nothing is."""
        words = self._page.words
        return words[page.SINCE] / 1e9 if words[page.STATE] in {page.ASKED, page.SPEAKS} else None

    def show(self, job: Job) -> tuple[Any, ...] | None:
        """What a process is to be shown with a job; None if it cannot be, or was."""
        exchange = job.exchange
        request, place, variables = exchange.request, exchange.connection.place, exchange.connection.variables
        key = place, request.head
        if key in self._numbers or len(self._numbers) >= _MOST_PLANS or len(request.head) > _LONGEST_HEAD:
            return None
        number = self._numbers[key] = next(_NUMBERS)
        self._shown[number] = _Shown(request, job.environ, exchange.added, job.limit)
        asked = tuple(place), request.method, request.target, request.variables.get("HTTP_USER_AGENT", "")
        return number, tuple(place), request.head, tuple(variables), tuple(exchange.added), asked

    def knows(self, exchange: Exchange) -> bool:
        """Whether the process can answer a request by itself."""
        return self._numbers.get((exchange.connection.place, exchange.request.head), 0) in self._shown

    def lend(self, connection: Connection, send: Callable[[Any, int], bool]) -> None:
        """Lend a connection, if the process can be told of it: `send` does so, with the file of its socket."""
        number = next(_NUMBERS)
        told = "lend", number, self._page.words[page.TURN], tuple(connection.place), connection.variables
        if send(told, connection.socket.fileno()):
            self._lent[number] = connection
            connection.lend()

    def back(self, number: int, said: bytes, unsaid: bytes) -> None:
        """A connection is not lent any more."""
        connection = self._lent.pop(number, None)
        if connection is not None:
            self._returned.append((connection, said, unsaid))

    def mine(self, number: int, plan: int) -> Job:
        """A connection is not lent any more, and the process answers as a job what it has asked."""
        return self._job(self._lent.pop(number), self._shown.pop(plan), time.monotonic())

    def answered(self, entries: Iterable[tuple[Any, ...]], note: Callable[[Asked, int, int, float], None]) -> None:
        """Take note of what was answered."""
        now = time.monotonic()
        for number, (place, method, target, agent), client, status, size, taken in entries:
            note((place, method, target, client, agent), status, size, taken / 1e9)
            connection = self._lent.get(number)
            if connection is not None:
                connection.touch(now)

    def hold(self) -> bool:
        """Have the lock of the page, if it is free: the process then answers nothing on a connection."""
        return self._page.try_to_hold()

    def end(self, last: int) -> Ended:
        """End all loans, with the lock or when the process is dead, and take back the jobs that it has not begun.

        `last` is the number of the last one that it was given.
        """
        words = self._page.words
        state, number, plan, since = (words[at] for at in (page.STATE, page.NUMBER, page.PLAN, page.SINCE))
        is_begun = state == page.WORKS and number == last
        words[page.RECALLED] = last - 1 if is_begun else last
        words[page.TURN] += 1
        self._page.let_go()  # from here on the process goes on, and the words are others
        return Ended(state, number, plan, since / 1e9, is_begun)

    def settle(self, ended: Ended) -> Job | None:
        """Have the connections again, once all that the process had said was heard; what it still answers."""
        lent, self._lent = self._lent, {}
        asking = lent.pop(ended.number, None) if ended.state in {page.ASKED, page.SPEAKS} else None
        self._returned += [(connection, b"", b"") for connection in lent.values()]
        if asking is None:
            return None
        if ended.state == page.ASKED:
            return self._job(asking, self._shown[ended.plan], ended.since)
        asking.close()  # the process has died in the midst of its answer
        return None

    def resume(self) -> None:
        """Look after those again that have come back; new requests come in here."""
        returned, self._returned = self._returned, []
        for connection, said, unsaid in returned:
            connection.resume(said, unsaid)

    def forget(self) -> None:
        """Forget what was shown."""
        self._shown.clear()
        self._numbers.clear()

    def close(self) -> None:
        """Be done with the page."""
        self._page.close()

    @staticmethod
    def _job(connection: Connection, shown: _Shown, since: float) -> Job:
        exchange = connection.take_up(shown.request, since)
        exchange.added = shown.added
        job = Job(exchange, shown.environ, shown.limit)
        job.began = since
        return job


def new_loans() -> Loans | None:
    """What a process can be lent; None where the system does not let us have what that needs."""
    if not _IS_LINUX:
        return None
    try:
        return Loans()
    except OSError:
        return None
