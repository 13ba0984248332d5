"""Sends a host the content that it lacks, in pieces, through the input of one command."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cloudservice.tells import Report
from publisher.agent import frames
from publisher.agent.store import Piece
from publisher.published import Published, Read
from publisher.session import Session

SMALL = 256 * 1024
"""Bytes that come with the switch, and not before it."""
BATCH = 8 * 1024 * 1024
"""Bytes after which the host says that all has come, so that a full disk is noticed, and progress is certain."""
_WORTH_IT = 0.9
"""What is left of a chunk when it is compressed, if it is worth to compress the rest of a part."""


class Delivery:
    """What a host lacks, and what is to be laid of it, when it is little enough to come with the switch."""

    def __init__(self, published: Published, missing: Mapping[str, int], laying: Mapping[str, Any]) -> None:
        self._published, self._laying = published, laying
        # From the start of each part: whatever breaks, the same may be sent again.
        self._pieces = [(sha256, published.sizes[sha256], 0, published.sizes[sha256]) for sha256 in missing]

    @property
    def is_small(self) -> bool:
        """Whether it may come with the switch, which then takes no longer."""
        return sum(size for _, size, _, _ in self._pieces) <= SMALL

    @property
    def told(self) -> dict[str, Any]:
        """The request's part that tells of it."""
        return {"pieces": self._pieces, **self._laying}

    def frames(self, is_clean: bool) -> Iterator[bytes]:
        """The content, as it travels."""
        return _Reader(self._published.read).frames(self._pieces, is_clean)


class _Reader:
    """Reads pieces of parts, each part but once if they come in order."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._reading: tuple[str, int, Iterator[bytes]] | None = None

    def frames(self, pieces: Iterable[Piece], is_clean: bool) -> Iterator[bytes]:
        """The pieces as they travel."""
        for sha256, _, start, end in pieces:
            level = None
            for chunk in self._chunks(sha256, start, end):
                if level is None:
                    level = _level(chunk)
                yield frames.pack(chunk, level, is_clean)

    def _chunks(self, sha256: str, start: int, end: int) -> Iterator[bytes]:
        """A piece of a part in chunks; the part is read on where the last piece of it has ended."""
        if self._reading is None or self._reading[:2] != (sha256, start):
            self._reading = sha256, start, _from(self._read(sha256), start)
        content = self._reading[2]
        at, rest = start, b""
        while at < end:
            data = rest or next(content)
            chunk, rest = data[: end - at], data[end - at :]
            at += len(chunk)
            yield chunk
        self._reading = sha256, end, _then(rest, content)


class Upload:
    """What one host lacks. Whatever breaks, the next try asks what has come."""

    def __init__(
        self, session: Session, sizes: Mapping[str, int], read: Read, missing: Mapping[str, int], report: Report
    ) -> None:
        self._session, self._sizes, self._read, self._report = session, sizes, read, report
        self._missing = dict(missing)
        self._total = self._left
        self._is_sure = True
        self._reader = _Reader(read)

    def run(self) -> None:
        """Send everything."""
        while self._missing:
            self._session.converse("upload", self._send_batch)
            self._report(f"Uploading to {self._session.host.name}", self._total - self._left, self._total)

    @property
    def _left(self) -> int:
        return sum(self._sizes[sha256] - there for sha256, there in self._missing.items())

    def _send_batch(self) -> dict[str, Any]:
        if not self._is_sure:
            parts = {sha256: self._sizes[sha256] for sha256 in self._missing}
            self._missing = self._session.send("look", (), parts=parts)["missing"]
            self._reader = _Reader(self._read)
        self._is_sure = False
        pieces = list(self._next_pieces())
        content = self._reader.frames(pieces, self._session.is_clean)
        answer = self._session.send("receive", content, pieces=pieces)
        for sha256, size, _, end in pieces:
            if end == size:
                self._missing.pop(sha256, None)
            else:
                self._missing[sha256] = end
        self._is_sure = True
        return answer

    def _next_pieces(self) -> Iterator[Piece]:
        room = BATCH
        for sha256, start in self._missing.items():
            if room <= 0:
                return
            size = self._sizes[sha256]
            end = min(size, start + room)
            room -= max(end - start, 1)
            yield sha256, size, start, end


def _level(chunk: bytes) -> int:
    """Of compression: quick, or none for what is compressed already."""
    return 1 if len(zlib.compress(chunk, 1)) < _WORTH_IT * len(chunk) else 0


def _from(content: Iterator[bytes], start: int) -> Iterator[bytes]:
    """The content from a place on."""
    for chunk in content:
        if start >= len(chunk):
            start -= len(chunk)
            continue
        yield chunk[start:]
        start = 0


def _then(first: bytes, content: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from content
