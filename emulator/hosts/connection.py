"""A client's connection: requests come in one after the other, and each is answered before the next is looked at."""

import contextlib
import errno
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from emulator.hosts import http1
from emulator.hosts.http1 import Headers, Refused, Request
from emulator.hosts.loop import READ, WRITE, Loop

_PIECE = 32 * 1024
IN_MEMORY = 64 * 1024
"""Bytes of a body that are kept in memory; a larger one lies in a file until the request is answered."""
_MOST_WAITING = 512 * 1024
"""Bytes that may wait for a client before whoever makes them is asked to pause."""
_HEAD_WITHIN, _NEXT_WITHIN, _GOES_ON_WITHIN = 30.0, 120.0, 60.0
"""Seconds for a head to arrive whole, between two requests, and in which not a byte of an answer is taken."""
_LINGERS, _LINGERS_MOST = 2.0, 30.0
"""Seconds in which a client that is still sending may read its answer: after its last byte, and at most."""
_SLOWEST, _SLOW_FROM = 240, 20.0
"""Bytes a second that a body has to come with once so many seconds have passed (IIS: minBytesPerSecond)."""
_A_LOT = 16
"""Answers within a second."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_VANISHED = {errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.ECONNABORTED, errno.ENOTCONN}


class Place(NamedTuple):
    """An endpoint of the instance at which connections arrive."""

    scheme: str
    address: str
    port: int


class Server(Protocol):
    """What serves the requests of connections."""

    loop: Loop
    is_leaving: bool
    scratch: Path

    def serve(self, exchange: "Exchange") -> None:
        """Answer a request, of which only the head is there."""

    def answered(self, exchange: "Exchange") -> None:
        """Take note of an answer that has ended."""

    def closed(self, connection: "Connection") -> None:
        """Take note of a connection that is gone."""


class Body:
    """The body of a request: bytes, or a file with many of them."""

    __slots__ = ("_file", "bytes", "path", "size")

    def __init__(self) -> None:
        self.bytes = b""
        self.path: Path | None = None
        self.size = 0
        self._file: BinaryIO | None = None

    def add(self, piece: bytes, scratch: Path) -> None:
        """Put a piece at its end."""
        self.size += len(piece)
        if self._file is None and self.size <= IN_MEMORY:
            self.bytes += piece
            return
        if self._file is None:
            self.path = scratch / f"body-{os.getpid()}-{id(self):x}-{time.monotonic_ns():x}"
            self._file = open(self.path, "xb", buffering=0, opener=_private)  # noqa: SIM115 - closed with the body
            self._file.write(self.bytes)
            self.bytes = b""
        self._file.write(piece)

    def close(self) -> None:
        """Forget it."""
        if self._file is not None and self.path is not None:
            self._file.close()
            self.path.unlink(missing_ok=True)
            self._file = None


_NO_BODY = Body()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class Exchange:
    """A request and its answer, which is told whole by `answer`, or by `begin`, `write` and `finish`."""

    __slots__ = (
        *("added", "began", "body", "connection", "on_answered", "on_drained", "on_gone", "passed", "repeats"),
        *("request", "sent", "status"),
    )

    def __init__(self, connection: "Connection", request: Request) -> None:
        self.connection = connection
        self.request = request
        self.body = Body() if request.length != 0 else _NO_BODY
        self.began = time.monotonic()
        self.status = 0
        """The status of the answer, once it has begun."""
        self.sent = 0
        """Bytes of the answer's body."""
        self.added: Headers = ()
        """Headers that its answer has, whoever makes it."""
        self.passed: tuple[str, Headers] = (request.target, ())
        """Where a program is asked for it, and with which headers besides its own."""
        self.on_drained: Callable[[], None] | None = None
        """Called when the client has taken so much that more can be written."""
        self.on_gone: Callable[[], None] | None = None
        """Called when the client is gone before it was answered."""
        self.repeats = False
        """Whether the same request, on whatever connection, is for the same application and as it is told of this."""
        self.on_answered: Callable[[Exchange], None] | None = None
        """Called when it was answered, if its client asks a lot and nothing else for now."""

    @property
    def is_gone(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.connection.exchange is not self

    def read_body(self, most: int, then: Callable[["Exchange"], None]) -> None:
        """Call `then` when the body is there; one of more than `most` bytes is answered 413."""
        self.connection.read_body(most, then)

    def answer(self, status: int, headers: Headers, body: bytes = b"", reason: str = "") -> None:
        """Answer with a whole body, of which a HEAD gets the length alone."""
        if not self.is_gone:
            self.connection.answer(self, status, headers, body, reason)

    def begin(self, status: int, headers: Headers, length: int | None, reason: str = "") -> None:
        """Begin an answer whose body comes in pieces; its length may not be known."""
        if not self.is_gone:
            self.connection.begin(self, status, headers, length, reason)

    def write(self, piece: bytes) -> bool:
        """Send a piece of the body; False if no more should come before `on_drained` is called."""
        return self.is_gone or self.connection.write(self, piece)

    def write_file(self, file: BinaryIO, start: int, count: int) -> None:
        """Send a part of a file, which is closed when that is done, and finish."""
        if self.is_gone:
            file.close()
        else:
            self.connection.write_file(self, file, start, count)

    def finish(self) -> None:
        """End an answer that has begun."""
        if not self.is_gone:
            self.connection.finish(self)

    def abort(self) -> None:
        """Break an answer off, so that the client does not take it for whole."""
        if not self.is_gone:
            self.connection.close()

    def detach(self) -> tuple[socket.socket, bytes]:
        """Take the connection over: its socket, and what has arrived on it after the request."""
        return self.connection.detach(self)


def _variables(place: Place, peer: tuple[Any, ...]) -> dict[str, str]:
    is_secure = place.scheme == "https"
    return {
        "SERVER_PORT": str(place.port),
        "SERVER_PORT_SECURE": "1" if is_secure else "0",
        "HTTPS": "on" if is_secure else "off",
        "LOCAL_ADDR": place.address,
        "REMOTE_ADDR": str(peer[0]),
        "REMOTE_HOST": str(peer[0]),
        "REMOTE_PORT": str(peer[1]),
    }


class _FilePart:
    """A part of a file that is still to be sent."""

    __slots__ = ("count", "file", "start")

    def __init__(self, file: BinaryIO, start: int, count: int) -> None:
        self.file, self.start, self.count = file, start, count


class Connection:
    """One client, seen from the server."""

    def __init__(self, server: Server, client: socket.socket, place: Place, peer: tuple[Any, ...]) -> None:
        self.place = place
        self.peer = peer
        self.variables = _variables(place, peer)
        """What CGI says of the connection."""
        self.exchange: Exchange | None = None
        self.deadline = time.monotonic() + _HEAD_WITHIN
        """When patience with the client ends."""
        self.socket = client
        self._server = server
        self._input = bytearray()
        self._output: deque[memoryview | _FilePart] = deque()
        self._waiting = 0
        self._events = 0
        self._is_ended = False  # the client sends no more
        self._is_last = False  # no request follows
        self._is_lingering = False
        self._body_begun = 0.0
        self._then: Callable[[Exchange], None] | None = None
        self._most = 0
        self._left: int | http1.Chunks = 0
        self._chunked = False
        self._promised: int | None = None
        """Bytes of the answer's body that are still to come, if its length was told."""
        self._finished = False
        self._is_going = False
        self._is_secure = place.scheme == "https"
        self._is_lent = False
        self._was_lent = False
        self._answers, self._counted_from = 0, 0.0
        self._watch(READ)

    @property
    def is_idle(self) -> bool:
        """Whether the client has asked for nothing that was not answered."""
        return self.exchange is None and not self._output and not self._input and not self._is_lent

    @property
    def is_incomplete(self) -> bool:
        """Whether what the client asks for has not come whole."""
        return self._then is not None or (self.exchange is None and bool(self._input) and not self._output)

    def is_idle_since(self, moment: float) -> bool:
        """Whether its client has asked for nothing since a moment (time.monotonic)."""
        return self.is_idle and self.is_quiet_since(moment)

    def is_quiet_since(self, moment: float) -> bool:
        """Whether, as far as is known, nothing was answered since a moment."""
        return self.deadline < moment + _NEXT_WITHIN

    def touch(self, now: float) -> None:
        """Something was answered."""
        self.deadline = now + _NEXT_WITHIN

    def lend(self) -> None:
        """Leave the client to somebody else; only when it asks for nothing."""
        self._is_lent = self._was_lent = True
        self._watch(0)

    def resume(self, said: bytes, unsaid: bytes) -> None:
        """Look after the client again, who has said something and is still to be said something, perhaps."""
        self._is_lent = False
        if self.socket.fileno() < 0:
            return
        now = time.monotonic()
        self._answers, self._counted_from = 0 if said else _A_LOT, now
        self.touch(now)
        self._watch(READ)
        if unsaid:
            self._send(memoryview(unsaid))
        if said:
            self.deadline = now + _HEAD_WITHIN
            self._input += said
            self._go_on()

    def take_up(self, request: Request, began: float) -> Exchange:
        """Look after the client again, who waits for the answer to a request."""
        self._is_lent, self._answers = False, 0
        exchange = self._begin(request)
        exchange.began = began
        if self.socket.fileno() < 0:
            self.exchange = None
        else:
            self._watch(READ)
        return exchange

    def sweep(self, now: float) -> None:
        """Look whether the client has used up its time."""
        if self._is_lent:
            return
        if self._then is not None:
            seconds = now - self._body_begun
            if seconds > _SLOW_FROM and self.exchange and self.exchange.body.size < seconds * _SLOWEST:
                self._refuse(Refused(408, "its body comes too slowly"))
        elif now > self.deadline and (self.exchange is None or self._output):
            if self._input and self.exchange is None:
                self._refuse(Refused(408, "it has not come whole in time"))
            else:
                self.close()

    def ready(self, events: int) -> None:
        """Go on, now that the socket is ready."""
        if events & WRITE:
            self._flush()
        if events & READ and self._events & READ:
            self._read()

    def close(self) -> None:
        """Be done with the client, whatever was to be said."""
        if self.socket.fileno() < 0:
            return
        self._server.loop.watch(self.socket, 0, self.ready)
        if self._was_lent:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)  # whoever has the file of it still
        self.socket.close()
        for part in self._output:
            if isinstance(part, _FilePart):
                part.file.close()
        self._output.clear()
        exchange, self.exchange, self._then = self.exchange, None, None
        if exchange is not None:
            exchange.body.close()
            self._server.answered(exchange)
            if exchange.on_gone is not None:
                exchange.on_gone()
        self._server.closed(self)

    def detach(self, exchange: Exchange) -> tuple[socket.socket, bytes]:
        """Give the socket away, as it is."""
        self._server.loop.watch(self.socket, 0, self.ready)
        rest = bytes(self._input)
        self.exchange = None
        exchange.body.close()
        self._server.answered(exchange)
        self._server.closed(self)
        return self.socket, rest

    # What comes in

    def _read(self) -> None:
        try:
            piece = self._received()
        except OSError as error:
            if _is_early(error):
                return
            self.close()
            return
        if not piece:
            self._is_ended = True
            self._watch(self._events & ~READ)
            if (self.exchange is None and not self._output) or self._then is not None:
                self.close()
            return
        if self._is_lingering:
            self.deadline = min(time.monotonic(), self._body_begun + _LINGERS_MOST) + _LINGERS
            return
        if self.exchange is None and not self._input:
            self.deadline = time.monotonic() + _HEAD_WITHIN
        self._input += piece
        self._go_on()

    def _received(self) -> bytes:
        piece = self.socket.recv(_PIECE)
        if self._is_secure and piece:
            while self.socket.pending():  # type: ignore[attr-defined]
                piece += self.socket.recv(_PIECE)
        return piece

    def _go_on(self) -> None:
        """Do with what has arrived what can be done by now; requests that are answered at once need no recursion."""
        if self._is_going:
            return
        self._is_going = True
        try:
            before = -1
            while self._input and len(self._input) != before and not self._is_lingering:
                before = len(self._input)
                if self._then is not None:
                    self._take_body()
                elif self.exchange is None:
                    self._take_head()
            if self.exchange is not None and self._then is None and len(self._input) > http1.MOST_HEAD:
                self._watch(self._events & ~READ)  # who asks for more before he is answered has to wait
        except Refused as refused:
            self._refuse(refused)
        finally:
            self._is_going = False
        if self._is_ended and (self.exchange is None or self._then is not None):
            self.close()  # what was asked for at last has not come whole

    def _take_head(self) -> None:
        while self._input.startswith(b"\r\n"):  # RFC 9112, 2.2
            del self._input[:2]
        end = self._input.find(http1.END, 0, http1.MOST_HEAD + 4)
        if end < 0:
            if len(self._input) > http1.MOST_HEAD:
                is_target = self._input.find(b"\r\n", 0, http1.MOST_HEAD) < 0
                raise Refused(414 if is_target else 431, "its head is too long")
            return
        head = bytes(self._input[:end])
        del self._input[: end + 4]
        self._server.serve(self._begin(http1.parse(head)))

    def _begin(self, request: Request) -> Exchange:
        self.exchange = exchange = Exchange(self, request)
        self._finished = False
        self._chunked = False
        self._left = http1.Chunks() if request.length is None else request.length
        self._is_last = not request.keeps or self._server.is_leaving
        return exchange

    def read_body(self, most: int, then: Callable[[Exchange], None]) -> None:
        """Collect the body of the request that is being served."""
        exchange = self._current
        if not self._left:
            then(exchange)
            return
        if isinstance(self._left, int) and self._left > most:
            raise Refused(413, f"its body has more than {most} bytes")
        self._then, self._most = then, most
        self._body_begun = time.monotonic()
        if not self._input and exchange.request.minor and exchange.request.get("expect").lower() == "100-continue":
            self._send(memoryview(_CONTINUE))
        self._take_body()

    def _take_body(self) -> None:
        exchange = self._current
        if isinstance(self._left, int):
            piece = bytes(self._input[: self._left])
            del self._input[: len(piece)]
            self._left -= len(piece)
            is_whole = not self._left
        else:
            piece = self._left.feed(self._input)
            is_whole = self._left.is_done
        if exchange.body.size + len(piece) > self._most:
            raise Refused(413, f"its body has more than {self._most} bytes")
        if piece:
            try:
                exchange.body.add(piece, self._server.scratch)
            except OSError as error:
                raise Refused(507, f"its body cannot be kept: {error.strerror}") from None
        if is_whole:
            then, self._then, self._left = self._then, None, 0
            if then is not None:
                then(exchange)

    def _refuse(self, refused: Refused) -> None:
        """Answer what is no request, or none that is served, and end the connection."""
        exchange = self.exchange
        if exchange is None:
            exchange = self.exchange = Exchange(self, Request("-", "-", 1, [], 0, False, {}))
            self._finished = False
        self._then, self._is_last, self._left = None, True, 1  # whatever follows is not read
        text = f"{refused.status} {http1.reason_of(refused.status)}: {refused}.\n".encode("utf-8", "backslashreplace")
        if exchange.status:
            self.close()
        else:
            self.answer(exchange, refused.status, [("Content-Type", "text/plain; charset=utf-8")], text, "")

    @property
    def _current(self) -> Exchange:
        assert self.exchange is not None  # noqa: S101 - it is being served
        return self.exchange

    # What goes out

    def answer(self, exchange: Exchange, status: int, headers: Headers, body: bytes, reason: str) -> None:
        """Send an answer whole."""
        self._then = None  # what is left of the request is of no interest any more
        exchange.status = status
        if exchange.added:
            headers = [*headers, *exchange.added]
        bodiless = status in {204, 304} or status < 200
        size = "" if bodiless else f"Content-Length: {len(body)}\r\n"
        if exchange.request.method == "HEAD" or bodiless:
            body = b""
        else:
            exchange.sent = len(body)
        self._send(memoryview(http1.render(status, reason, headers, self._framing() + size) + body))
        self._end()

    def begin(self, exchange: Exchange, status: int, headers: Headers, length: int | None, reason: str) -> None:
        """Send the head of an answer."""
        self._then = None
        exchange.status = status
        if exchange.added:
            headers = [*headers, *exchange.added]
        framing = ""
        self._promised = None
        if status not in {204, 304} and status >= 200:
            if length is not None:
                framing = f"Content-Length: {length}\r\n"
                self._promised = length
            elif exchange.request.minor:
                self._chunked = exchange.request.method != "HEAD"
                framing = "Transfer-Encoding: chunked\r\n"
            else:
                self._is_last = True
        self._send(memoryview(http1.render(status, reason, headers, self._framing() + framing)))

    def write(self, exchange: Exchange, piece: bytes) -> bool:
        """Send a piece of a body."""
        if exchange.request.method == "HEAD" or not piece or exchange.status in {204, 304}:
            return True
        if self._promised is not None:
            piece = piece[: self._promised]
            self._promised -= len(piece)
        exchange.sent += len(piece)
        self._send(memoryview(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece))
        return self._waiting < _MOST_WAITING

    def write_file(self, exchange: Exchange, file: BinaryIO, start: int, count: int) -> None:
        """Send a part of a file as the last piece of a body."""
        exchange.sent += count
        self._output.append(_FilePart(file, start, count))
        self._finished = True
        self._flush()

    def finish(self, exchange: Exchange) -> None:
        """Send what ends a body; one that has become shorter than promised ends with its connection."""
        if self._promised and exchange.request.method != "HEAD":
            self.close()
            return
        if self._chunked and exchange.request.method != "HEAD":
            self._send(memoryview(b"0\r\n\r\n"))
        self._end()

    def _framing(self) -> str:
        is_last = self._is_last or self._server.is_leaving or self._left != 0
        self._is_last = is_last
        if is_last:
            return "Connection: close\r\n"
        return "" if self._current.request.minor else "Connection: keep-alive\r\n"

    def _end(self) -> None:
        self._finished = True
        if self.exchange is not None and not self._output:  # else the client has gone while it was answered
            self._finish()

    def _finish(self) -> None:
        """An answer has gone out whole: on to the next request."""
        exchange, self.exchange, self._finished = self._current, None, False
        exchange.body.close()
        self._server.answered(exchange)
        if self._is_last or (self._is_ended and not self._input):
            self._linger()
            return
        self.touch(time.monotonic())
        if not self._events & READ and not self._is_ended:
            self._watch(self._events | READ)
        if self._input:
            self._go_on()
        elif exchange.on_answered is not None and not self._is_ended and self._asks_a_lot():
            exchange.on_answered(exchange)

    def _asks_a_lot(self) -> bool:
        """Whether the client has got many answers within a second."""
        now = self.deadline - _NEXT_WITHIN
        if now - self._counted_from > 1.0:
            self._answers, self._counted_from = 0, now
        self._answers += 1
        return self._answers >= _A_LOT

    def _linger(self) -> None:
        """Close once the client has seen the answer: a client that still sends would be reset instead."""
        if self._is_ended or (not self._left and not self._input):
            self.close()
            return
        self._is_lingering = True
        self._input.clear()
        self._body_begun = time.monotonic()
        self.deadline = self._body_begun + _LINGERS
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._watch(READ)

    def _send(self, data: memoryview) -> None:
        if not self._output:
            try:
                sent = self.socket.send(data)
            except OSError as error:
                if not _is_early(error):
                    self._give_up(error)
                    return
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
            self.deadline = time.monotonic() + _GOES_ON_WITHIN
        self._output.append(data)
        self._waiting += len(data)
        self._watch(self._events | WRITE)

    def _flush(self) -> None:
        try:
            while self._output:
                self._send_first()
        except OSError as error:
            if not _is_early(error):
                self._give_up(error)
                return
            self.deadline = max(self.deadline, time.monotonic() + 1.0)
        self._watch(self._events | WRITE if self._output else self._events & ~WRITE)
        exchange = self.exchange
        if exchange is None:
            if self._is_ended and not self._output:
                self.close()
            return
        if self._finished:
            if not self._output:
                self._finish()
        elif exchange.on_drained is not None and self._waiting < _MOST_WAITING // 2:
            exchange.on_drained()

    def _send_first(self) -> None:
        part = self._output[0]
        if isinstance(part, _FilePart):
            if not part.count:
                part.file.close()
                self._output.popleft()
                return
            sent = self._send_of_file(part)
            if not sent:  # it has become shorter: what was promised cannot come
                raise ConnectionAbortedError(errno.ECONNABORTED, "the file has become shorter")
            part.start += sent
            part.count -= sent
        else:
            sent = self.socket.send(part)
            self._waiting -= sent
            if sent < len(part):
                self._output[0] = part[sent:]
            else:
                self._output.popleft()
        if sent:
            self.deadline = time.monotonic() + _GOES_ON_WITHIN

    def _send_of_file(self, part: _FilePart) -> int:
        if hasattr(os, "sendfile") and not self._is_secure:
            return os.sendfile(self.socket.fileno(), part.file.fileno(), part.start, part.count)
        part.file.seek(part.start)
        piece = part.file.read(min(_PIECE, part.count))
        return self.socket.send(piece) if piece else 0

    def _give_up(self, error: OSError) -> None:
        self.close()
        if error.errno not in _VANISHED and not self._is_secure:
            raise error

    def _watch(self, events: int) -> None:
        if events != self._events:
            self._events = events
            self._server.loop.watch(self.socket, events, self.ready)


def _is_early(error: OSError) -> bool:
    """Whether a socket was only not ready; a secure one tells that by errors of its own."""
    return isinstance(error, BlockingIOError | InterruptedError) or type(error).__name__.startswith("SSLWant")
