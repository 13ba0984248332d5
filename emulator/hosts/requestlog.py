"""The W3C extended log of a site: one file a day (UTC), one line a request, written a moment later."""

import re
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from emulator.hosts.connection import Exchange
from emulator.hosts.loop import Timer
from emulator.hosts.remembered import Remembered

_WRITTEN_AFTER = 0.1
"""Seconds that a line waits for others."""
_AT_ONCE = 500_000
"""Characters of clients that are written without a wait: how much is kept is not for clients to say."""
_FIELDS = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port c-ip cs(User-Agent) sc-status sc-bytes time-taken"
Asked = tuple[tuple[str, str, int], str, str, str, str]
"""The endpoint of the instance, method, target, client and its agent."""
Answered = tuple[Asked, int, int, float]
"""What was asked, status, bytes of the body, seconds."""


class RequestLog:
    """The log in a folder."""

    def __init__(self, folder: Path, later: Callable[[float, Callable[[], None]], Timer]) -> None:
        """`later` is the one of a loop."""
        self._folder = folder
        self._later = later
        self._answered: list[Answered] = []
        self._size = 0
        self._timer: Timer | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, exchange: Exchange) -> None:
        """Note what was answered."""
        request, connection = exchange.request, exchange.connection
        asked = (
            connection.place,
            request.method,
            request.target,
            connection.variables["REMOTE_ADDR"],
            request.variables.get("HTTP_USER_AGENT", ""),
        )
        self.note(asked, exchange.status, exchange.sent, time.monotonic() - exchange.began)

    def note(self, asked: Asked, status: int, sent: int, taken: float) -> None:
        """Note what was answered, elsewhere perhaps."""
        self._answered.append((asked, status, sent, taken))
        self._size += len(asked[2]) + len(asked[4])
        if self._size > _AT_ONCE:
            self.flush()
        elif self._timer is None:
            self._timer = self._later(_WRITTEN_AFTER, self.flush)

    def flush(self) -> None:
        """Write what is waiting; the site answers on, whatever becomes of its log."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._size = 0
        answered, self._answered = self._answered, []
        if not answered:
            return
        now = time.gmtime()
        moment = time.strftime("%Y-%m-%d %H:%M:%S", now)
        text = "".join(
            f"{moment} {_ASKED[asked]} {status} {size} {int(taken * 1000)}\n" for asked, status, size, taken in answered
        )
        try:
            with (self._folder / time.strftime("u_ex%y%m%d.log", now)).open("ab") as file:
                head = "" if file.tell() else f"#Software: rolepack\n#Version: 1.0\n#Fields: {_FIELDS}\n"
                file.write((head + text).encode("utf-8", "replace"))
        except OSError:
            traceback.print_exc()


def _asked(asked: Asked) -> str:
    """The fields that say what was asked."""
    (_, address, port), method, target, client, agent = asked
    path, _, query = target.partition("?")
    stem = quote(path, safe="/~%", encoding="latin-1", errors="replace") or "-"
    return " ".join((address, _field(method), stem, _field(query), str(port), client or "-", _field(agent)))


_ASKED = Remembered(_asked)


def _field(text: str) -> str:
    """A text as a field of the log: without blanks, which part fields, and never empty."""
    if not text.isprintable():
        text = re.sub(r"[\x00-\x1f\x7f]+", "+", text)
    return text.replace(" ", "+") or "-"
