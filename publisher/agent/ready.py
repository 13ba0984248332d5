"""Whether an instance on this host is Ready: its program lives, its sites answer, its probes are content."""

import html
import http.client
import re
import socket
import ssl
import time
from collections.abc import Callable
from typing import NamedTuple

from cloudservice import lock
from cloudservice.errors import Fault
from publisher.agent import iis, worker
from publisher.agent.place import Place
from publisher.agent.values import AGAIN, Instance, Question

_PATIENCE = 5.0
"""Seconds that one answer may take."""
_PAUSE = 0.1
_BROKEN = 500
_MOST_READ, _MOST_TOLD = 64 * 1024, 400
"""Bytes of an answer that are read, and characters of it that are told."""
_BETWEEN = 15.0
"""Seconds after which it is told again what something waits for."""
_MOST_ENDS = 3
"""Of a program that comes up again and again, and never for good."""
HERE = "127.0.0.1"
"""Sites listen at every address."""


class Get(NamedTuple):
    """A request: where it goes, and the host that it is for if that is another."""

    protocol: str
    at: str
    port: int
    path: str
    host: str = ""
    patience: float = _PATIENCE


class Patience(NamedTuple):
    """How many seconds something may take, whether it is still wanted, and who is told what it waits for."""

    seconds: float
    is_over: Callable[[], bool]
    say: Callable[[str], None]


def come_up(place: Place, letter: str, instance: Instance, patience: Patience) -> Fault | None:
    """Wait until an instance is Ready; else what keeps it from that."""
    begin = told_at = time.monotonic()
    end = begin + patience.seconds
    while True:
        life = worker.told(place, letter, instance.name)
        if instance.program and (life.has_failed or life.restarts >= _MOST_ENDS):
            return Fault(instance.name, f"it does not come up: {life.reason}", AGAIN)
        waits = why_not(place, letter, instance)
        if waits is None:
            return None
        if patience.is_over():
            return Fault(instance.name, f"it was not Ready when something else was wanted: {waits}", AGAIN)
        if time.monotonic() > end:
            return Fault(instance.name, f"it is not Ready after {patience.seconds:g} s: {waits}", AGAIN)
        if time.monotonic() - told_at > _BETWEEN:
            told_at = time.monotonic()
            patience.say(f"waiting, for {told_at - begin:.0f} of {patience.seconds:g} s: {waits}")
        time.sleep(_PAUSE)


def why_not(place: Place, letter: str, instance: Instance) -> str | None:
    """What keeps an instance from being Ready at this moment."""
    if instance.program:
        life = worker.told(place, letter, instance.name)
        if life.state != "Ready":
            return life.reason or f"its program is {life.state}"
        if lock.is_free(place.worker_lock(letter, instance.name)):
            return "its worker has died"
    for site in instance.sites:
        if not iis.is_started(place.site(letter, instance.name, site.name)):
            return f"site {site.name} is stopped"
        for binding in site.bindings:
            status, text = answer(Get(binding.protocol, HERE, binding.port, "/", binding.host))
            if status is None or status >= _BROKEN:
                told = "nothing answers" if status is None else f"the answer is {status}: {_told(text)}"
                return f"site {site.name}, port {binding.port}: {told}"
    return next((why for one in instance.questions if (why := _ask(instance, one))), None)


def _ask(instance: Instance, question: Question) -> str | None:
    """What a probe says against an instance."""
    at = HERE if instance.sites else instance.endpoints[question.endpoint].address
    told = f"the probe of {question.endpoint} at port {question.port}"
    if question.protocol == "tcp":
        return None if _listens(at, question) else f"{told} finds nobody there"
    status, _ = answer(Get("http", at, question.port, question.path, patience=question.timeout))
    return None if status == 200 else f"{told} got {status or 'no answer'} for {question.path}"


def _listens(at: str, question: Question) -> bool:
    try:
        socket.create_connection((at, question.port), question.timeout).close()
    except OSError:
        return False
    return True


def answer(get: Get) -> tuple[int | None, str]:
    """The status of the answer to a GET, and the beginning of its text; None if there is none."""
    connection = (
        http.client.HTTPSConnection(get.at, get.port, timeout=get.patience, context=_unverified())
        if get.protocol == "https"
        else http.client.HTTPConnection(get.at, get.port, timeout=get.patience)
    )
    try:
        about = {"Host": get.host or f"{get.at}:{get.port}", "User-Agent": "Load Balancer Agent"}
        connection.request("GET", get.path, headers=about)
        got = connection.getresponse()
        return got.status, got.read(_MOST_READ).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return None, ""
    finally:
        connection.close()


def _told(page: str) -> str:
    """The end of what a page says, where a traceback has its error."""
    text = html.unescape(re.sub(r"<(style|script|head)\b.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL | re.IGNORECASE))
    return " ".join(text.split())[-_MOST_TOLD:] or "it says nothing"


def _unverified() -> ssl.SSLContext:
    """The certificate is for the names of the service, and this asks the loopback address."""
    return ssl._create_unverified_context()  # noqa: S323
