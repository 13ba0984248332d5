"""One thread that waits for sockets and for moments. asyncio would do so too, and take longer to load than to use."""

import heapq
import itertools
import select
import selectors
import signal
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
Ready = Callable[[int], None]
"""Told what a socket is ready for."""
_GONE = getattr(select, "EPOLLERR", 0) | getattr(select, "EPOLLHUP", 0)


class _Selector:
    """Sockets that are waited for, by a system that has no epoll."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, number: int, events: int) -> None:
        self._selector.register(number, events)

    def modify(self, number: int, events: int) -> None:
        self._selector.modify(number, events)

    def unregister(self, number: int) -> None:
        self._selector.unregister(number)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        return [(int(key.fd), events) for key, events in self._selector.select(timeout)]


class _Epoll:
    """The same by Linux's epoll, without what `selectors` adds to each event."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.unregister = self._epoll.unregister

    def register(self, number: int, events: int) -> None:
        self._epoll.register(number, self._flags(events))

    def modify(self, number: int, events: int) -> None:
        self._epoll.modify(number, self._flags(events))

    @staticmethod
    def _flags(events: int) -> int:
        return (select.EPOLLIN if events & READ else 0) | (select.EPOLLOUT if events & WRITE else 0)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        found = self._epoll.poll(timeout)
        return [
            (
                number,
                (READ if events & (select.EPOLLIN | _GONE) else 0)
                | (WRITE if events & (select.EPOLLOUT | _GONE) else 0),
            )
            for number, events in found
        ]


class Timer:
    """Something to be done later, unless it is cancelled."""

    __slots__ = ("action", "at")

    def __init__(self, at: float, action: Callable[[], None]) -> None:
        self.at = at
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Do it never."""
        self.action = None


class Loop:
    """Calls back when a socket is ready, a moment has come or a signal has arrived, until it is stopped."""

    def __init__(self) -> None:
        self._selector = _Epoll() if hasattr(select, "epoll") else _Selector()
        self._watched: dict[int, tuple[int, Ready]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._is_stopped = False
        self._signals: dict[int, Callable[[], None]] = {}
        self._awake, self._wake = socket.socketpair()
        for one in (self._awake, self._wake):
            one.setblocking(False)
        self.watch(self._awake, READ, self._on_signal)

    def watch(self, one: socket.socket, events: int, ready: Ready) -> None:
        """Call `ready` whenever the socket is ready for one of the events; with none of them, never."""
        number = one.fileno()
        known = self._watched.get(number)
        if not events:
            if known is not None:
                del self._watched[number]
                self._selector.unregister(number)
            return
        if known is None:
            self._selector.register(number, events)
        elif known[0] != events:
            self._selector.modify(number, events)
        self._watched[number] = events, ready

    def later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Do something in some seconds."""
        timer = Timer(time.monotonic() + seconds, action)
        heapq.heappush(self._timers, (timer.at, next(self._numbers), timer))
        return timer

    def on_signal(self, number: int, action: Callable[[], None]) -> None:
        """Do something, between two others, when a signal arrives; only for the main thread."""
        self._signals[number] = action
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(number, lambda *_: None)

    def call(self, action: Callable[..., object], *arguments: Any) -> None:
        """Call something of which a fault must not end the loop; it is told."""
        try:
            action(*arguments)
        except Exception:
            traceback.print_exc()

    def stop(self) -> None:
        """Return from `run` when what is being done is done."""
        self._is_stopped = True

    def run(self) -> None:
        """Wait and call back, until stopped."""
        poll, watched = self._selector.poll, self._watched
        while not self._is_stopped:
            for number, events in poll(self._patience()):
                known = watched.get(number)
                if known is None:
                    continue  # what came before it has seen to it
                try:
                    known[1](events & known[0])
                except Exception:
                    traceback.print_exc()
            self._do_what_is_due()

    def _patience(self) -> float | None:
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        return min(3600.0, max(0.0, self._timers[0][0] - time.monotonic())) if self._timers else None

    def _do_what_is_due(self) -> None:
        if not self._timers:
            return
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, _, timer = heapq.heappop(self._timers)
            if timer.action is not None:
                self.call(timer.action)

    def _on_signal(self, _events: int) -> None:
        for number in self._awake.recv(64):
            if number in self._signals:
                self._signals[number]()
