"""The processes of an application, as IIS has them for FastCGI: some at most, and each serves one request at a time."""

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from emulator.hosts.connection import Exchange
from emulator.hosts.elements import MalformedError
from emulator.hosts.job import Job
from emulator.hosts.loop import Loop, Timer
from emulator.hosts.process import Limits, Process, Work, how
from emulator.hosts.requestlog import Asked

_LOOK = 0.25
"""Seconds between two looks at requests that take too long."""
_CARE = 0.01
"""The same for processes that are lent connections."""
_IDLE = 1.0
"""Seconds after which a connection is had back on which nothing is asked."""
_PATIENCE = 5.0
"""Seconds that a process may take to end when it has nothing to do any more."""


class Owner(Protocol):
    """Who has a pool."""

    loop: Loop

    @property
    def note(self) -> Callable[[Asked, int, int, float], None]:
        """Told of what processes have answered without the front end."""

    def look(self) -> None:
        """See whether what processes were told is still so."""

    def work(self) -> Work:
        """What a new process is to run; MalformedError if nobody can tell."""

    def is_asynchronous(self, waiting: list[Exchange]) -> None:
        """Take over: the application is none of WSGI, and these requests wait for it."""


class Pool:
    """The processes of an application, and the requests that wait for one of them."""

    def __init__(self, owner: Owner) -> None:
        self.loop = owner.loop
        self.note = owner.note
        self._owner = owner
        self._limits = Limits()
        self._processes: list[Process] = []
        self._free: list[Process] = []
        self._going: list[Process] = []
        """Those that end when they have answered what they are answering."""
        self._left: list[Process] = []
        """Those that were told to end, and may not have done so."""
        self._waiting: deque[Job] = deque()
        self._look: Timer | None = None
        self._idle: Timer | None = None
        self._on_first: Callable[[str], None] | None = None
        self._lends = True
        self._care: Timer | None = None
        self._look_again = 0.0

    def serve(self, job: Job) -> None:
        """Have a request answered by the next process that is free."""
        if job.exchange.repeats:
            job.exchange.on_answered = self._lend
        process = self._next_free()
        if process is not None:
            process.give(job)
        elif len(self._waiting) >= self._limits.queue_length > 0:
            job.fail("The queue of the application is full (queueLength).\n", 503)
        else:
            self._waiting.append(job)
            self._start_more()
        self._look_soon()

    def warm(self, then: Callable[[str], None]) -> None:
        """Start all processes before anybody asks; tell why the first could not load the application, or nothing."""
        self._on_first = then
        self._start()
        for _ in range(1, self._limits.max_instances):
            self._start()

    def retire(self) -> None:
        """Go on with new processes; those there are end when they have answered what they are answering."""
        self._show_no_more()
        for process in list(self._processes):
            self._dismiss(process)
        if self._waiting:
            self._start_more()

    def close(self) -> None:
        """End all processes: those that are busy at once."""
        for process in self._all:
            if not process.take_back():
                process.kill()
        for process in self._all:
            if process.job is not None or not process.is_loaded:
                process.kill()
            process.close()
            self._left.append(process)
        self._processes, self._free, self._going = [], [], []
        waiting, self._waiting = self._waiting, deque()
        for job in waiting:
            job.fail("The site is stopping.\n", 503)

    def wait(self, seconds: float) -> None:
        """Wait until the processes have ended, then kill those that have not."""
        end = time.monotonic() + seconds
        for process in self._left:
            process.wait(max(0.0, end - time.monotonic()))

    @property
    def _all(self) -> list[Process]:
        return [*self._processes, *self._going]

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered or waits."""
        is_idle = len(self._free) == len(self._processes) and not any(process.holds_up for process in self._processes)
        return bool(self._waiting or self._going) or not is_idle

    # What processes tell

    def loaded(self, process: Process, kind: str) -> None:
        """A process is there."""
        self._tell_first("")
        if kind == "wsgi":
            self.free(process)
            return
        waiting, self._waiting = self._waiting, deque()
        self._remove(process)
        self._let_go(process)
        self._owner.is_asynchronous([job.exchange for job in waiting])

    def failed(self, process: Process, text: str) -> None:
        """A process could not load the application: who has waited for it is told so, and the next one tries again."""
        self._remove(process)
        self._let_go(process)
        self._fail_waiting(text)

    def ended(self, process: Process, code: int | None) -> None:
        """A process has ended by itself."""
        self._remove(process)
        if process.holds_up:
            process.kill()  # whatever is left of it: others wait
        self._let_go(process)
        told = "" if code is None else f" ({how(code)})"
        if process.job is not None:
            self._break_off(process.job, f"The FastCGI process exited unexpectedly{told}.")
        elif not process.is_loaded:
            self._fail_silently(f"it exited unexpectedly{told}")
        if self._waiting:
            self._start_more()

    def free(self, process: Process) -> None:
        """A process has nothing to do."""
        if process not in self._processes and process not in self._going:
            return  # it is to end
        while self._waiting and self._waiting[0].exchange.is_gone:
            self._waiting.popleft()
        if self._is_through(process):
            self._replace(process)
        elif process in self._going:
            self._dismiss(process)
            if self._waiting:
                self._start_more()
        elif self._waiting:
            process.give(self._waiting.popleft())
        else:
            self._free.append(process)
            if self._idle is None and self._limits.idle_timeout:
                self._idle = self.loop.later(self._limits.idle_timeout, self._end_idle)

    def busy(self, process: Process) -> None:
        """A process answers on a connection what the front end has to see to now."""
        if process in self._free:
            self._free.remove(process)
        self._look_soon()

    def give_back(self, jobs: list[Job]) -> None:
        """Requests that a process was given, and does not get to, are for another one."""
        self._waiting.extendleft(reversed(jobs))
        while self._waiting and (process := self._next_free()) is not None:
            process.give(self._waiting.popleft())
        if self._waiting:
            self._start_more()

    # Connections that processes are lent

    def leave(self) -> None:
        """Lend nothing more."""
        self._lends = False
        for process in list(self._processes):
            process.take_back()

    def forget(self) -> bool:
        """Have processes forget what they were shown; False if one of them has to be asked again."""
        self._show_no_more()
        return all(process.forget() for process in list(self._processes))

    def _show_no_more(self) -> None:
        """What was found out for requests that are not answered yet may be so no more."""
        given = [job for process in self._processes for job in process.jobs]
        for job in (*self._waiting, *given):
            job.exchange.repeats = False

    def _lend(self, exchange: Exchange) -> None:
        """Lend a connection on which much is asked to the process that has the fewest."""
        there = [one for one in self._processes if one.may_have(exchange) and not self._is_through(one)]
        if not there or not self._lends:
            return
        min(there, key=lambda process: process.lent).lend(exchange)
        self._take_care_soon()
        self._look_soon()

    def _is_through(self, process: Process) -> bool:
        """Whether it has answered as many requests as it may."""
        return process.served >= self._limits.instance_max_requests > 0

    def _take_care(self) -> None:
        """Have connections back where others take long; now and then see whether all is as it was."""
        self._care = None
        now = time.monotonic()
        for process in self._all:
            if process.is_slow(now) or not self._lends:
                process.take_back()
        for process in [one for one in self._free if self._is_through(one)]:
            self._replace(process)
        for process in [one for one in self._going if one.job is None]:
            self._dismiss(process)
        if now > self._look_again:
            self._look_again = now + _LOOK
            for process in list(self._processes):
                if process.is_idle_since(now - _IDLE):
                    process.take_back()
            self._even_out()
            self._owner.look()
        if any(process.holds_up for process in self._all):
            self._take_care_soon()

    def _take_care_soon(self) -> None:
        if self._care is None:
            self._care = self.loop.later(_CARE, self._take_care)

    def _even_out(self) -> None:
        """Have the connections of a process back that has many while another one has few: they are lent anew."""
        there = sorted((one for one in self._processes if one.is_loaded), key=lambda process: process.lent)
        if there and there[-1].lent > 2 * there[0].lent + 1:
            there[-1].take_back()

    # What the pool does about it

    def _start_more(self) -> None:
        """Start a process if there may be another, and no one is about to be there for who waits."""
        if len(self._processes) < self._limits.max_instances:
            starting = sum(not process.is_loaded for process in self._processes)
            if starting < len(self._waiting):
                self._start()

    def _start(self) -> None:
        try:
            work = self._owner.work()
            self._limits = work.limits
            self._processes.append(Process(self, work))
        except MalformedError as error:
            self._fail_waiting(f"{error}\n")
        except OSError as error:
            self._fail_silently(f"{work.argv[0]}: {error.strerror}")

    def _remove(self, process: Process) -> None:
        for there in (self._processes, self._free, self._going):
            if process in there:
                there.remove(process)

    def _next_free(self) -> Process | None:
        """One that has nothing to do and may be given something."""
        while self._free:
            process = self._free.pop()
            if not self._is_through(process):
                return process
            self._replace(process)
        return None

    def _replace(self, process: Process) -> None:
        """Start a process for one that has answered as many requests as it may, so that nobody has to wait for it."""
        self._dismiss(process)
        if len(self._processes) < self._limits.max_instances:
            self._start()

    def _dismiss(self, process: Process) -> None:
        """Let a process end when it has answered what it is answering."""
        self._remove(process)
        if process.take_back() and process.job is None:
            self._let_go(process)
        else:
            self._going.append(process)
            self._take_care_soon()

    def _let_go(self, process: Process) -> None:
        """Let a process end by itself; one with a thread that does not end would stay for ever."""
        process.close()
        self._left.append(process)

        def late() -> None:
            process.kill()
            self._left.remove(process)

        self.loop.later(_PATIENCE, late)

    def _look_after(self) -> None:
        """End what takes too long."""
        now = time.monotonic()
        for process in self._all:
            why = process.late(now, self._limits)
            if not why:
                continue
            self._remove(process)
            process.kill()
            self._let_go(process)
            if process.job is not None:
                self._break_off(process.job, f"The FastCGI process was ended: {why}.")
            else:
                self._fail_silently(why)
        if self._waiting:
            self._start_more()
        self._look = self.loop.later(_LOOK, self._look_after) if self.is_busy else None

    def _look_soon(self) -> None:
        if self._look is None:
            self._look = self.loop.later(_LOOK, self._look_after)

    def _end_idle(self) -> None:
        self._idle = None
        now, timeout = time.monotonic(), self._limits.idle_timeout
        for process in list(self._free):
            if now - process.active >= timeout:
                self._dismiss(process)
        if self._free:
            first = min(process.active for process in self._free)
            self._idle = self.loop.later(max(0.1, timeout - (now - first)), self._end_idle)

    def _break_off(self, job: Job, why: str) -> None:
        _say(f"{job.environ['REQUEST_METHOD']} {job.environ['PATH_INFO']}: {why}")
        job.fail(f"{why}\n")

    def _fail_waiting(self, text: str) -> None:
        waiting, self._waiting = self._waiting, deque()
        for job in waiting:
            job.fail(text)
        self._tell_first(text)

    def _fail_silently(self, why: str) -> None:
        """The application could not be loaded, and it has not said why itself."""
        text = f"The FastCGI process could not load the application: {why}.\n"
        _say(text.rstrip())
        self._fail_waiting(text)

    def _tell_first(self, text: str) -> None:
        then, self._on_first = self._on_first, None
        if then is not None:
            then(text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
