"""A request that is passed on to another server, and its answer on the way back; WebSockets are passed as they are."""

import errno
import re
import socket
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from emulator.hosts import http1
from emulator.hosts.connection import Exchange
from emulator.hosts.http1 import Chunks, Headers, Refused
from emulator.hosts.loop import READ, WRITE, Loop

_PIECE = 64 * 1024
_STATUS = re.compile(r"HTTP/1\.[01] (\d{3})(?: (.*))?")
_MOST_WAITING = 512 * 1024
_LOOK = 1.0


class Passing:
    """A request on its way."""

    def __init__(
        self, loop: Loop, exchange: Exchange, headers: Headers, target: tuple[str, int], answers_within: float
    ) -> None:
        self.on_end: Callable[[Passing], object] = lambda _: None
        """Called when the answer has ended."""
        self.on_refused: Callable[[Exchange], object] | None = None
        """Called, if there is someone to call, in the place of an answer when nothing listens there."""
        self.on_broken: Callable[[Exchange], object] | None = None
        """The same when the connection ends without a word, for what may be asked again."""
        self._loop = loop
        self._exchange = exchange
        self._answers_within = answers_within
        self._target = target
        request = exchange.request
        self._wants_upgrade = "upgrade" in request.get("connection").lower() and bool(request.get("upgrade"))
        self._output = self._head(headers)
        self._file: BinaryIO | None = None
        self._input = bytearray()
        self._left: int | Chunks | None = None
        self._is_answering = self._has_heard = False
        self._active = time.monotonic()
        self._events = 0
        self._socket = socket.socket()

    def begin(self) -> None:
        """Connect and send the request."""
        body = self._exchange.body
        if body.path is not None:
            self._file = body.path.open("rb")
        else:
            self._output += body.bytes
        self._socket.setblocking(False)
        code = self._socket.connect_ex(self._target)
        if code not in {0, errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", 0)}:
            self._fail("it cannot be reached", is_refused=True)
            return
        self._exchange.on_gone = self._close
        self._exchange.on_drained = lambda: self._watch(self._events | READ)
        self._watch(READ | WRITE)
        self._loop.later(_LOOK, self._look)

    def _head(self, headers: Headers) -> bytes:
        request = self._exchange.request
        target, set_by_rules = self._exchange.passed
        headers = [*headers, *set_by_rules]
        ours = {name.lower() for name, _ in headers}
        left_out = {
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "transfer-encoding",
            "content-length",
            "expect",
            "x-arr-ssl",  # nobody but a load balancer may say that TLS was ended
        }
        if not self._wants_upgrade:
            left_out.add("upgrade")
        lines = [f"{request.method} {target} HTTP/1.1\r\n"]
        lines += [f"{n}: {v}\r\n" for n, v in request.headers if n.lower() not in left_out | ours]
        lines += [f"{name}: {value}\r\n" for name, value in headers]
        size = self._exchange.body.size
        if size or request.length != 0 or request.all("content-length"):
            lines.append(f"Content-Length: {size}\r\n")
        lines.append(f"Connection: {'Upgrade' if self._wants_upgrade else 'close'}\r\n\r\n")
        return "".join(lines).encode("latin-1")

    def _ready(self, events: int) -> None:
        try:
            if events & WRITE:
                self._write()
            if events & READ and self._events & READ:
                self._read()
        except ConnectionRefusedError:
            self._fail("nothing listens there", is_refused=True)
        except OSError:
            self._fail("it has broken the connection off", is_broken=True)
        except (Refused, ValueError):
            self._fail("its answer is not well-formed")

    def _write(self) -> None:
        if not self._output and self._file is not None:
            self._output = self._file.read(_PIECE)
            if not self._output:
                self._file.close()
                self._file = None
        if self._output:
            sent = self._socket.send(self._output)
            self._output = self._output[sent:]
            self._active = time.monotonic()
        if not self._output and self._file is None:
            self._watch(self._events & ~WRITE)

    def _read(self) -> None:
        try:
            piece = self._socket.recv(_PIECE)
        except BlockingIOError:
            return
        self._active = time.monotonic()
        if not piece:
            if self._is_answering and self._left is None:
                self._done()
            else:
                self._fail("it has broken the connection off", is_broken=True)
            return
        self._has_heard = True
        self._input += piece
        if not self._is_answering:
            self._take_heads()
        if self._is_answering and self._socket.fileno() >= 0:
            self._take_body()

    def _take_heads(self) -> None:
        """Read the head of the answer; those that only announce it (1xx) are left out."""
        while not self._is_answering:
            end = self._input.find(b"\r\n\r\n")
            if end < 0:
                if len(self._input) > http1.MOST_HEAD:
                    raise ValueError
                return
            head = bytes(self._input[:end])
            del self._input[: end + 4]
            status, reason, headers = _parsed(head)
            if status == 101 and self._wants_upgrade:
                self._upgrade(head)
                return
            if status < 200:
                continue
            self._is_answering = True
            self._answer(status, reason, headers)

    def _answer(self, status: int, reason: str, headers: Headers) -> None:
        lower = {name.lower(): value for name, value in headers}
        length: int | None = None
        if self._exchange.request.method == "HEAD" or status in {204, 304}:
            self._left = 0
            length = int(lower["content-length"]) if "content-length" in lower else None
        elif lower.get("transfer-encoding", "").lower() == "chunked":
            self._left = Chunks()
        elif "content-length" in lower:
            self._left = length = int(lower["content-length"])
        rest = [one for one in headers if one[0].lower() not in {"content-length", "date", "server"}]
        self._exchange.begin(status, rest, length, reason)

    def _take_body(self) -> None:
        if isinstance(self._left, Chunks):
            piece = self._left.feed(self._input)
            is_whole = self._left.is_done
        elif self._left is None:
            piece, is_whole = bytes(self._input), False
            self._input.clear()
        else:
            piece = bytes(self._input[: self._left])
            del self._input[: len(piece)]
            self._left -= len(piece)
            is_whole = not self._left
        if piece and not self._exchange.write(piece):
            self._watch(self._events & ~READ)
        if is_whole:
            self._done()

    def _upgrade(self, head: bytes) -> None:
        """Both sides speak another protocol from now on."""
        self._exchange.status = 101
        self._exchange.on_gone = None
        client, early = self._exchange.detach()
        self._loop.watch(self._socket, 0, self._ready)
        Tunnel(self._loop, client, self._socket, (head + b"\r\n\r\n" + bytes(self._input), early), self._ended)

    def _look(self) -> None:
        if self._socket.fileno() < 0 or self._exchange.is_gone:
            return
        if self._answers_within and time.monotonic() - self._active > self._answers_within and self._events & READ:
            self._fail(f"it was silent for {self._answers_within:g} s (requestTimeout)")
            return
        self._loop.later(_LOOK, self._look)

    def _fail(self, why: str, is_refused: bool = False, is_broken: bool = False) -> None:
        exchange, request = self._exchange, self._exchange.request
        exchange.on_gone = None
        self._close()
        if is_refused and self.on_refused is not None:
            self.on_refused(exchange)
        elif is_broken and self.on_broken is not None and not self._has_heard and request.method in {"GET", "HEAD"}:
            self.on_broken(exchange)
        elif self._is_answering:
            exchange.abort()
        else:
            text = f"502 Bad Gateway: the program of this site does not answer: {why}.\n"
            exchange.answer(502, [("Content-Type", "text/plain; charset=utf-8")], text.encode())

    def _done(self) -> None:
        self._exchange.on_gone = None
        self._close()
        self._exchange.finish()

    def _close(self) -> None:
        if self._socket.fileno() >= 0:
            self._watch(0)
            self._socket.close()
        self._ended()

    def _ended(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self.on_end(self)

    def _watch(self, events: int) -> None:
        if events != self._events and self._socket.fileno() >= 0:
            self._events = events
            self._loop.watch(self._socket, events, self._ready)


def _parsed(head: bytes) -> tuple[int, str, Headers]:
    first, *lines = head.decode("latin-1").split("\r\n")
    match = _STATUS.fullmatch(first)
    if match is None:
        raise ValueError
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ValueError
        headers.append((name, value.strip(" \t")))
    return int(match[1]), match[2] or "", headers


class Tunnel:
    """Bytes between two sockets, in both directions, until both have ended."""

    def __init__(
        self,
        loop: Loop,
        client: socket.socket,
        server: socket.socket,
        early: tuple[bytes, bytes],
        ended: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._ended = ended
        self._waiting = {client: bytearray(early[0]), server: bytearray(early[1])}
        """What is still to be sent to each."""
        self._other = {client: server, server: client}
        self._open = {client, server}
        """Those that may send more."""
        for one in self._other:
            self._watch(one)

    def _ready(self, one: socket.socket, events: int) -> None:
        try:
            if events & WRITE:
                sent = one.send(self._waiting[one])
                del self._waiting[one][:sent]
            if events & READ:
                self._read(one)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if type(error).__name__.startswith("SSLWant"):
                return
            self._close()
            return
        if not self._open and not any(self._waiting.values()):
            self._close()
            return
        for each in self._other:
            self._watch(each)

    def _read(self, one: socket.socket) -> None:
        piece = one.recv(_PIECE)
        while piece and hasattr(one, "pending") and one.pending():
            piece += one.recv(_PIECE)
        if piece:
            self._waiting[self._other[one]] += piece
        else:
            self._open.clear()  # a half that is closed closes the other: both are of one conversation

    def _watch(self, one: socket.socket) -> None:
        reads = one in self._open and len(self._waiting[self._other[one]]) < _MOST_WAITING
        events = (READ if reads else 0) | (WRITE if self._waiting[one] else 0)
        self._loop.watch(one, events, self._callback(one))

    def _callback(self, one: socket.socket) -> Callable[[int], Any]:
        return lambda events: self._ready(one, events)

    def _close(self) -> None:
        for one in self._other:
            if one.fileno() >= 0:
                self._loop.watch(one, 0, self._callback(one))
                one.close()
        self._ended()
