"""The address that a request names: taken apart, decoded and made canonical, as http.sys does it."""

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from emulator.hosts.http1 import Refused
from emulator.hosts.remembered import Remembered

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Url(NamedTuple):
    """An address: `path` is decoded text without dot segments; `raw` and `query` are latin-1 of the bytes that came.

    `host` is the one that an absolute address names.
    """

    path: str
    query: str
    raw: str
    host: str = ""


def text_of(path: str) -> str:
    """Latin-1 of the bytes of UTF-8, as text; bytes that are no UTF-8 stay what they are."""
    return path if path.isascii() else path.encode("latin-1").decode("utf-8", "surrogateescape")


def path_of(text: str) -> str:
    """The other way round."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("latin-1")


def parse(target: str) -> Url:
    """The address of a request's first line; Refused if it is none."""
    return _PARSED[target]


def _parse(target: str) -> Url:
    if not target.startswith("/"):
        if target == "*":
            return Url("/", "", target)
        scheme, _, rest = target.partition("://")
        if scheme.lower() not in {"http", "https"}:
            raise Refused(400, "its address is none of this server")
        end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
        return parse(f"/{rest[end:].removeprefix('/')}")._replace(host=rest[:end])
    target = target.partition("#")[0]
    raw, _, query = target.partition("?")
    if _BAD_ESCAPE.search(raw):
        raise Refused(400, "its address has a % without two digits")
    path = unquote_to_bytes(raw.encode("latin-1")).decode("latin-1") if "%" in raw else raw
    if _CONTROL.search(path):
        raise Refused(400, "its address has a control character")
    return Url(text_of(canonical(path)), query, target)


_PARSED = Remembered(_parse)


def canonical(path: str) -> str:
    """A path without dot segments; Refused if it leads above the root."""
    path = path.replace("\\", "/")
    if "/." not in path:
        return path
    found: list[str] = []
    *folders, last = path.split("/")[1:]
    for segment in folders:
        _enter(found, segment)
    if last in {".", ".."}:
        _enter(found, last)
        last = ""
    return "/".join(["", *found, last])


def _enter(found: list[str], segment: str) -> None:
    if segment == "..":
        if not found:
            raise Refused(400, "its address leads above the root")
        found.pop()
    elif segment != ".":
        found.append(segment)
