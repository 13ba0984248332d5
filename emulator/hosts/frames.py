"""Values that the front end and a process tell each other over a socket: four bytes of length, then marshalled."""

import contextlib
import marshal
import os
import socket
import sys
from array import array
from collections.abc import Callable
from typing import Any

from emulator.hosts.loop import READ, WRITE, Loop

if os.name == "posix":
    import fcntl
    import termios

_PIECE = 64 * 1024


class Frames:
    """The front end's side, which never waits."""

    def __init__(
        self, loop: Loop, connected: socket.socket, take: Callable[[Any], None], end: Callable[[], None]
    ) -> None:
        """`take` is told each value, `end` that the other side is gone."""
        self._loop = loop
        self._socket = connected
        self._take = take
        self._end = end
        self._input = bytearray()
        self._output = b""
        self._events = 0
        self._watch(READ)

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read for now."""
        return not self._events & READ

    def pause(self) -> None:
        """Read nothing for now, so that the other side has to wait."""
        self._watch(self._events & ~READ)

    def go_on(self) -> None:
        """Read again."""
        if self._socket.fileno() >= 0:
            self._watch(self._events | READ)

    def send(self, value: Any) -> None:
        """Send a value, as soon as that can be."""
        self._output += _framed(value)
        self._flush()

    def send_file(self, value: Any, file: int) -> bool:
        """Send a value and a file at once; False if that cannot be."""
        if self._output:
            return False
        told = _framed(value)
        try:
            sent = self._socket.sendmsg([told], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [file]))])
        except OSError:
            return False
        if sent < len(told):
            self._output = told[sent:]
            self._flush()
        return True

    def receive(self) -> None:
        """Read what has come by now, and keep it; not what comes meanwhile, which may be without end."""
        there = int.from_bytes(fcntl.ioctl(self._socket, termios.FIONREAD, bytes(4)), sys.byteorder)
        with contextlib.suppress(OSError):
            while there > 0 and (piece := self._socket.recv(there)):
                self._input += piece
                there -= len(piece)

    def take(self) -> None:
        """Tell of what was read and kept, one value after the other: what is told may have this called again."""
        buffer = self._input
        while len(buffer) >= 4:
            end = 4 + int.from_bytes(buffer[:4], "little")
            if len(buffer) < end:
                break
            value = marshal.loads(memoryview(buffer)[4:end].tobytes())  # noqa: S302 - of our own program
            del buffer[:end]
            self._take(value)

    def say_no_more(self) -> None:
        """Let the other side know that it will be told nothing more."""
        self.go_on()
        with contextlib.suppress(OSError):  # it is gone, which is about to be read
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Hear and say nothing more."""
        if self._socket.fileno() >= 0:
            self._watch(0)
            self._socket.close()

    def _watch(self, events: int) -> None:
        if events != self._events:
            self._events = events
            self._loop.watch(self._socket, events, self._ready)

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
            self._end()
        elif not self._input and len(piece) == 4 + int.from_bytes(piece[:4], "little"):
            self._take(marshal.loads(memoryview(piece)[4:]))  # noqa: S302 - of our own program
        else:
            self._input += piece
            self.take()

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._output)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # that it has ended is read
        self._output = self._output[sent:]
        self._watch(self._events | WRITE if self._output else self._events & ~WRITE)


def _framed(value: Any) -> bytes:
    told = marshal.dumps(value)
    return len(told).to_bytes(4, "little") + told
