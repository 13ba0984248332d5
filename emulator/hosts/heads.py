"""The head of an answer, for the front end and for processes that answer themselves. It imports nothing of ours."""

import time
from collections.abc import Iterable

_OF_THE_CONNECTION = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "trailer"}
"""Headers that are about one connection (RFC 9110, 7.6.1): an application's own do not travel."""
Pairs = Iterable[tuple[str, str]]


def begun(status: int, reason: str, headers: tuple[tuple[str, str], ...]) -> tuple[str, bool]:
    """The lines of a head but for its date and those that say how it ends, and whether `headers` have a date."""
    names = {name.lower() for name, _ in headers}
    lines = [f"HTTP/1.1 {status} {reason}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in headers if name.lower() not in _OF_THE_CONNECTION]
    if "server" not in names:
        lines.append("Server: rolepack\r\n")
    return "".join(lines), "date" in names


def ended(begin: tuple[str, bool], framing: str, now: str) -> bytes:
    """A head from its beginning, the lines that say how it ends, and the date."""
    lines, has_date = begin
    dated = "" if has_date else f"Date: {now}\r\n"
    return f"{lines}{dated}{framing}\r\n".encode("latin-1", "replace")


def date(second: int) -> str:
    """A second as HTTP writes it."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second))


def length_of(headers: Pairs) -> int | None:
    """What a Content-Length says, if it is a number."""
    for name, value in headers:
        if len(name) == 14 and name.lower() == "content-length" and value.isascii() and value.isdigit():
            return int(value)
    return None


def without_length(headers: Pairs) -> tuple[tuple[str, str], ...]:
    """Headers without a Content-Length."""
    return tuple(one for one in headers if one[0].lower() != "content-length")
