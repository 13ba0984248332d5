"""HTTP/1.1 as bytes (RFC 9112): the head of a request is read, that of an answer is written. Nothing here waits."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple

from emulator.hosts import heads
from emulator.hosts.remembered import Remembered

MOST_HEAD = 64 * 1024
"""Bytes that the head of a request may have. IIS takes 16 KB; what is developed on one machine shares its cookies."""
MOST_HEADERS = 256
_MOST_TARGET = 16 * 1024
END = b"\r\n\r\n"
"""What follows a head."""
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_LINE = re.compile(rf"({_WORD}) ([^\x00-\x20\x7f]+) HTTP/1\.([01])")
_FIELDS = re.compile(rf"(?:\r\n{_WORD}:[^\x00-\x08\x0a-\x1f\x7f]*)*")
_FIELD = re.compile(rf"\r\n({_WORD}):[ \t]*([^\r]*)")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
_REASONS = {status.value: status.phrase for status in HTTPStatus}
Headers = Sequence[tuple[str, str]]


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault
    """A request that is answered with a status and goes no further."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Request(NamedTuple):
    """The head of a request. Texts are latin-1 of the bytes; the names of headers are as they came.

    `length` is that of its body in bytes, None if it comes in chunks. `variables` are the headers as CGI has them.
    `head` is all of it with what ends it.
    """

    method: str
    target: str
    minor: int
    headers: Headers
    length: int | None
    keeps: bool
    variables: Mapping[str, str]
    head: bytes = b""

    @property
    def is_plain(self) -> bool:
        """Whether it is a GET without a body on a connection that is kept."""
        return self.method == "GET" and self.length == 0 and self.keeps and self.minor == 1

    def all(self, name: str) -> list[str]:
        """The values of a header, whose name is given in lower case."""
        return [value for key, value in self.headers if key.lower() == name]

    def get(self, name: str) -> str:
        """The first value of a header, whose name is given in lower case; empty without one."""
        return next(iter(self.all(name)), "")


def parse(head: bytes) -> Request:
    """The head of a request, without the empty line that ends it. Refused if it is not to be served."""
    return _PARSED[head]


def _parse(head: bytes) -> Request:
    text = head.decode("latin-1")
    line, _, rest = text.partition("\r\n")
    match = _LINE.fullmatch(line)
    if match is None:
        raise Refused(*_why_not(line))
    method, target, minor = match[1], match[2], int(match[3])
    if len(target) > _MOST_TARGET:
        raise Refused(414, "the address is too long")
    fields = text[len(line) :] if rest else ""
    if not _FIELDS.fullmatch(fields):
        raise Refused(400, "a header is not well-formed")
    headers = [(name, value.rstrip(" \t")) for name, value in _FIELD.findall(fields)]
    if len(headers) > MOST_HEADERS:
        raise Refused(431, f"it has more than {MOST_HEADERS} headers")
    return _framed(method, target, minor, headers)._replace(head=head + END)


def _framed(method: str, target: str, minor: int, headers: Headers) -> Request:
    """The request, once it is clear where it ends: whatever can be read in two ways is refused."""
    lengths, codings, hosts = set(), [], 0
    keeps = minor == 1
    for name, value in headers:
        lower = name.lower()
        if lower == "content-length":
            lengths.add(value)
        elif lower == "transfer-encoding":
            codings.append(value.lower())
        elif lower == "host":
            hosts += 1
        elif lower == "connection":
            options = {word.strip() for word in value.lower().split(",")}
            keeps = "close" not in options and (keeps or "keep-alive" in options)
    if hosts > 1 or (not hosts and minor):
        raise Refused(400, "it does not name one host")
    if codings:
        if lengths or not minor:
            raise Refused(400, "its length is told in two ways")
        if codings != ["chunked"]:
            raise Refused(501, "its transfer coding is not known")
        return Request(method, target, minor, headers, None, keeps, variables(headers, None))
    if len(lengths) > 1 or any(not (one.isascii() and one.isdigit() and len(one) < 16) for one in lengths):
        raise Refused(400, "its Content-Length is no number")
    length = int(lengths.pop()) if lengths else 0
    return Request(method, target, minor, headers, length, keeps, variables(headers, length))


def variables(headers: Headers, length: int | None) -> dict[str, str]:
    """Headers as variables of CGI (RFC 3875, 4.1); what comes more than once is one list, but for the length."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = f"HTTP_{name.upper().replace('-', '_')}"
        if name.lower() == "content-length":
            found["CONTENT_LENGTH"] = str(length)
            continue
        if name.lower() == "content-type":
            key = "CONTENT_TYPE"
        found[key] = f"{found[key]}{'; ' if key == 'HTTP_COOKIE' else ', '}{value}" if key in found else value
    return found


_PARSED = Remembered(_parse)


def _why_not(line: str) -> tuple[int, str]:
    if re.fullmatch(r"\S+ \S+ HTTP/\d(?:\.\d)?", line) and not line.endswith((" HTTP/1.0", " HTTP/1.1")):
        return 505, "its version of HTTP is not served"
    return 400, "its first line is not well-formed"


class Chunks:
    """Takes a body in chunks apart."""

    def __init__(self) -> None:
        self._left = 0
        self._is_in_chunk = False
        self._is_in_trailer = False
        self._trailer = 0
        self.is_done = False

    def feed(self, buffer: bytearray) -> bytes:
        """The bytes of the body at the beginning of `buffer`, which loses what was understood; Refused on nonsense."""
        found = bytearray()
        while not self.is_done:
            if self._left:
                piece = buffer[: self._left]
                del buffer[: len(piece)]
                found += piece
                self._left -= len(piece)
                if self._left:
                    break
            line = self._line(buffer)
            if line is None:
                break
            self._take(line)
        return bytes(found)

    def _line(self, buffer: bytearray) -> bytes | None:
        end = buffer.find(b"\r\n", 0, 4098)
        if end < 0:
            if len(buffer) > 4096:
                raise Refused(400, "a line between its chunks is too long")
            return None
        line = bytes(buffer[:end])
        del buffer[: end + 2]
        return line

    def _take(self, line: bytes) -> None:
        if self._is_in_trailer:
            self._trailer += len(line)
            self.is_done = not line
            if self._trailer > MOST_HEAD:
                raise Refused(431, "its trailer is too long")
        elif self._is_in_chunk:
            if line:
                raise Refused(400, "a chunk is longer than it says")
            self._is_in_chunk = False
        else:
            match = _SIZE.fullmatch(line)
            if match is None:
                raise Refused(400, "the size of a chunk is no number")
            self._left = int(match[1], 16)
            self._is_in_chunk = self._left > 0
            self._is_in_trailer = not self._left


def render(status: int, reason: str, headers: Iterable[tuple[str, str]], framing: str) -> bytes:
    """The head of an answer; `framing` are the lines that say how it ends. It has a date, and names a server."""
    return heads.ended(_BEGUN[status, reason, tuple(headers)], framing, date())


def _begun(told: tuple[int, str, tuple[tuple[str, str], ...]]) -> tuple[str, bool]:
    status, reason, headers = told
    return heads.begun(status, reason or reason_of(status), headers)


_BEGUN = Remembered(_begun)


def host_of(written: str) -> str:
    """The name in a Host header, without a port and in lower case."""
    host = written.rpartition("@")[2].lower()
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def reason_of(status: int) -> str:
    """The usual words for a status."""
    return _REASONS.get(status, "")


def date(moment: float | None = None) -> str:
    """A moment as HTTP writes it; now, if none is given."""
    return _DATES[int(time.time() if moment is None else moment)]


_DATES = Remembered(heads.date)
