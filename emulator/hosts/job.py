"""A request that an application answers, and its answer until the client gets it."""

from emulator.hosts.connection import Exchange
from emulator.hosts.heads import length_of, without_length
from emulator.hosts.http1 import Headers

_PLAIN = (("Content-Type", "text/plain; charset=utf-8"),)


class Job:
    """A request and what its answer is so far.

    As in IIS, an answer is held back until it is whole or has more than `limit` bytes, so that an error can still take
    its place; with a limit of 0 nothing is.
    """

    __slots__ = ("_head", "_held", "_is_begun", "_size", "began", "environ", "exchange", "limit", "number")

    def __init__(self, exchange: Exchange, environ: dict[str, str], limit: int) -> None:
        self.exchange = exchange
        self.environ = environ
        self.limit = limit
        self.began = 0.0
        """When a process got it."""
        self.number = 0
        """Which of those it is that the process was given; 0 for none."""
        self._head: tuple[int, str, Headers] | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._is_begun = False

    def answer(self, status: int, reason: str, headers: Headers, body: bytes) -> None:
        """The whole answer at once."""
        is_head = self.exchange.request.method == "HEAD"
        length = length_of(headers)
        headers = without_length(headers)
        if is_head and length is not None:
            self.exchange.begin(status, headers, length, reason)
            self.exchange.finish()
        else:
            self.exchange.answer(status, headers, body, reason)

    def begin(self, status: int, reason: str, headers: Headers) -> None:
        """How the answer begins."""
        self._head = status, reason, headers

    def take(self, piece: bytes) -> bool:
        """Take a piece of the answer; False if the client cannot take more for now."""
        if self._is_begun:
            return self.exchange.write(piece)
        self._held.append(piece)
        self._size += len(piece)
        if self._size <= self.limit or self._head is None:
            return True
        self._is_begun = True
        status, reason, headers = self._head
        self.exchange.begin(status, without_length(headers), length_of(headers), reason)
        held, self._held = b"".join(self._held), []
        return self.exchange.write(held)

    def end(self) -> None:
        """The answer is whole."""
        if self._is_begun or self._head is None:
            self.exchange.finish()
        else:
            self.answer(*self._head, b"".join(self._held))

    def fail(self, text: str, status: int = 500) -> None:
        """There is an error instead of an answer, or after a part of it."""
        if self._is_begun:
            self.exchange.abort()
        else:
            self.exchange.answer(status, _PLAIN, text.encode("utf-8", "backslashreplace"))
