"""Files of a site, served as IIS's StaticFile handler does."""

import os
import re
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO

from emulator.hosts import http1
from emulator.hosts.connection import Exchange
from emulator.hosts.http1 import Headers, Refused, Request
from emulator.hosts.webconfig import Config

_SMALL = 128 * 1024
"""Bytes up to which a file is read at once, and sent with the head of the answer."""
_KEPT = 16 * 1024
"""Bytes up to which a file is kept in memory after it was asked for."""
_CONDITIONS = frozenset(f"HTTP_{one}" for one in ("RANGE", "IF_MATCH", "IF_NONE_MATCH"))
_CONDITIONS |= {"HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE"}
_PLAIN = [("Content-Type", "text/plain; charset=utf-8")]
_RANGES = re.compile(r"bytes=\s*([0-9\-, \t]+)")
_RANGE = re.compile(r"(\d{0,18})-(\d{0,18})")
_MOST_RANGES = 16
_READS = {"GET", "HEAD"}
_EPOCH = 116444736000000000
"""The FILETIME (ticks of 100 ns) of 1970: IIS makes its ETags of the time of change as one."""


def resolve(root: Path, path: str) -> Path | None:
    """The file or folder below `root` that a decoded path leads to, whatever the case of its names; None without one.

    Nothing outside `root` is ever found, by whatever link.
    """
    place = str(root)
    segments = [segment for segment in path.split("/") if segment]
    for segment in segments:
        if segment in {".", ".."} or ":" in segment or segment != segment.rstrip(". "):
            return None  # what Windows would take for another name
    direct = os.path.join(place, *segments)  # noqa: PTH118 - on the way of every request
    if os.path.lexists(direct):
        found = direct
    else:
        found = place
        for segment in segments:
            one = _spelled(found, segment)
            if one is None:
                return None
            found = one
    real, real_root = os.path.realpath(found), os.path.realpath(place)
    if real != real_root and not real.startswith(real_root.rstrip(os.sep) + os.sep):
        return None
    return Path(found) if os.path.exists(real) else None  # noqa: PTH110


def _spelled(folder: str, name: str) -> str | None:
    """An entry of a folder by its name, or by that name in another case."""
    direct = os.path.join(folder, name)  # noqa: PTH118
    if os.path.lexists(direct):
        return direct
    try:
        there = os.listdir(folder)
    except OSError:
        return None
    found = next((one for one in sorted(there) if one.lower() == name.lower()), None)
    return None if found is None else os.path.join(folder, found)  # noqa: PTH118


class Kept:
    """A small file as it was answered last, for as long as it stays what it is."""

    __slots__ = ("_body", "_headers", "_name", "_seen")

    def __init__(self, name: str, told: os.stat_result, headers: Headers, body: bytes) -> None:
        self._name = name
        self._seen = _identity(told)
        self._headers = headers
        self._body = body

    def answers(self, exchange: Exchange) -> bool:
        """Answer a request that asks for nothing but the file; False if that is not for this to do."""
        request = exchange.request
        if request.method != "GET" or not _CONDITIONS.isdisjoint(request.variables):
            return False
        try:
            is_same = _identity(os.stat(self._name)) == self._seen  # noqa: PTH116 - on the way of every request
        except OSError:
            return False
        if is_same:
            exchange.answer(200, self._headers, self._body)
        return is_same


def _identity(told: os.stat_result) -> tuple[int, int, int, int]:
    return told.st_mtime_ns, told.st_size, told.st_ino, told.st_dev


def serve(exchange: Exchange, config: Config, path: str, found: Path | None) -> Kept | None:
    """Answer with the file that a path leads to, or with a default document of its folder; what may be kept of it."""
    request = exchange.request
    if found is None:
        raise Refused(404, "there is no such file")
    if found.is_dir():
        if not path.endswith("/"):
            _, mark, query = request.target.partition("?")
            location = f"/{request.target.partition('?')[0].lstrip('/')}/{mark}{query}"
            exchange.answer(
                301, [("Location", location), ("Content-Type", "text/html; charset=UTF-8")], b"Object Moved"
            )
            return None
        found = _document(found, config)
    elif path.endswith("/"):
        raise Refused(404, "there is no such folder")
    if request.method == "OPTIONS":
        exchange.answer(200, [("Allow", "OPTIONS, GET, HEAD")])
        return None
    if request.method not in _READS:
        exchange.answer(405, [("Allow", "GET, HEAD, OPTIONS"), *_PLAIN], b"405 Method Not Allowed\n")
        return None
    types = dict(config.types)
    kind = types.get(found.suffix.lower() or ".") or types.get(".*")
    if kind is None:
        raise Refused(404, "files of that extension are not served: no mimeMap has it (404.3)")
    if not found.is_file():
        raise Refused(404, "it is no file")
    try:
        file = found.open("rb", buffering=0)
    except OSError:
        raise Refused(403, "the file cannot be read") from None
    return _send(exchange, config, kind, file)


def _document(folder: Path, config: Config) -> Path:
    for name in config.documents:
        place = resolve(folder, name)
        if place is not None and place.is_file():
            return place
    raise Refused(403, "the folder has no default document, and is not listed (403.14)")


def _send(exchange: Exchange, config: Config, kind: str, file: BinaryIO) -> Kept | None:
    told = os.fstat(file.fileno())
    tag = f'"{told.st_mtime_ns // 100 + _EPOCH:x}:0"'
    headers = [("Content-Type", kind), ("Last-Modified", http1.date(told.st_mtime)), ("ETag", tag)]
    headers.append(("Accept-Ranges", "bytes"))
    if config.cache:
        headers.append(("Cache-Control", config.cache))
    if config.expires:
        headers.append(("Expires", re.sub(r"[^\x20-\x7e]", "", config.expires)))
    status = _unconditional(exchange.request, tag, told.st_mtime)
    if status:
        file.close()
        exchange.answer(status, headers, b"" if status == 304 else b"412 Precondition Failed\n")
        return None
    parts = _parts(exchange.request, told.st_size, tag, told.st_mtime)
    if parts is None and told.st_size <= _KEPT and exchange.request.method == "GET":
        with file:
            body = _read(file, 0, told.st_size)
        exchange.answer(200, headers, body)
        return Kept(str(file.name), told, headers, body)
    if parts is None:
        _send_part(exchange, 200, headers, file, (0, told.st_size))
    elif not parts:
        file.close()
        exchange.answer(416, [("Content-Range", f"bytes */{told.st_size}"), *headers])
    elif len(parts) == 1:
        start, end = parts[0]
        headers = [("Content-Range", f"bytes {start}-{end - 1}/{told.st_size}"), *headers]
        _send_part(exchange, 206, headers, file, (start, end))
    else:
        _send_parts(exchange, headers, file, (parts, told.st_size))
    return None


def _send_part(exchange: Exchange, status: int, headers: Headers, file: BinaryIO, part: tuple[int, int]) -> None:
    start, end = part
    if end - start <= _SMALL or exchange.request.method == "HEAD":
        with file:
            if exchange.request.method == "HEAD":
                exchange.begin(status, headers, end - start)
                exchange.finish()
                return
            exchange.answer(status, headers, _read(file, start, end))
        return
    exchange.begin(status, headers, end - start)
    exchange.write_file(file, start, end - start)


def _send_parts(exchange: Exchange, headers: Headers, file: BinaryIO, told: tuple[list[tuple[int, int]], int]) -> None:
    """Several ranges at once, each with a head of its own (RFC 9110, 15.3.7.2)."""
    parts, size = told
    kind = dict(headers)["Content-Type"]
    boundary = "rolepack-part"
    with file:
        begin = f"\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: bytes "
        body = b"".join(
            f"{begin}{start}-{end - 1}/{size}\r\n\r\n".encode() + _read(file, start, end) for start, end in parts
        )
    rest = [one for one in headers if one[0] != "Content-Type"]
    headers = [("Content-Type", f"multipart/byteranges; boundary={boundary}"), *rest]
    exchange.answer(206, headers, body + f"\r\n--{boundary}--\r\n".encode())


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    found = b""
    while len(found) < end - start:
        piece = file.read(end - start - len(found))
        if not piece:
            raise Refused(500, "the file has become shorter")
        found += piece
    return found


def _unconditional(request: Request, tag: str, modified: float) -> int:
    """304 or 412 if a condition of the request says so (RFC 9110, 13.2.2); else 0."""
    seconds = int(modified)
    if wanted := ",".join(request.all("if-match")):
        if not _names(wanted.replace("W/", "w/"), tag):  # a weak one is never the same
            return 412
    elif (since := _moment(request.get("if-unmodified-since"))) is not None and seconds > since:
        return 412
    if known := ",".join(request.all("if-none-match")):
        return 304 if _names(known, tag) else 0
    since = _moment(request.get("if-modified-since"))
    return 304 if since is not None and seconds <= since else 0


def _names(listed: str, tag: str) -> bool:
    return listed.strip() == "*" or tag in {one.strip().removeprefix("W/") for one in listed.split(",")}


def _moment(written: str) -> float | None:
    try:
        return parsedate_to_datetime(written).timestamp() if written else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _parts(request: Request, size: int, tag: str, modified: float) -> list[tuple[int, int]] | None:
    """The ranges that a request wants: none of them if no byte of the file is among them, None for the whole file."""
    unless = request.get("if-range")
    is_same = not unless or unless == tag or _moment(unless) == int(modified)
    match = _RANGES.fullmatch(request.get("range"))
    if match is None or request.method != "GET" or not is_same:
        return None
    found = [_part(one.strip(), size) for one in match[1].split(",")]
    wanted = [part for part in found if part and part[0] < part[1]]
    if None in found or len(wanted) > _MOST_RANGES or sum(end - start for start, end in wanted) > size:
        return None
    return wanted


def _part(written: str, size: int) -> tuple[int, int] | None:
    """Where one range begins and ends; None if it is none, and nothing between the two if the file has none of it."""
    match = _RANGE.fullmatch(written)
    if match is None or written == "-":
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size
