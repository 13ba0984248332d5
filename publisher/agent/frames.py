"""How requests, content and answers travel.

Requests and answers are lines of ASCII, which survive every console. Content is bytes as they are, where a probe has
shown that the connection keeps them all, and else lines too, which are a third longer.
"""

import base64
import binascii
import json
import zlib
from typing import IO, Any

CHUNK = 192 * 1024
"""Bytes of content in one frame, before it is compressed."""
MOST = 64 * 1024 * 1024
"""Bytes that a line or a frame may have then."""
_EVERY = bytes(byte for byte in range(256) if byte != ord("\n"))
_END = b"end of probe\n"
_LONGEST_PROBE = 4096


class FrameError(Exception):
    """Something that was not made here."""


def encode(value: Any) -> bytes:
    """A JSON value as one line."""
    return _line(json.dumps(value).encode(), 6)


def decode(line: bytes) -> Any:
    """The value of a line; FrameError if it is none."""
    try:
        return json.loads(_of_line(line))
    except ValueError as error:
        raise FrameError(str(error)) from None


def probe() -> bytes:
    """Every byte, for the other side to see whether they all arrive, and its end in ASCII."""
    return _EVERY + b"\n" + _END


def is_clean(incoming: IO[bytes]) -> bool:
    """Whether a probe has arrived as it was sent; it is read to its end."""
    came = b""
    while not came.endswith(_END) and len(came) < _LONGEST_PROBE and (line := incoming.readline()):
        came += line
    return came == probe()


def pack(content: bytes, level: int, is_clean: bool) -> bytes:
    """Some content as a frame, compressed at a level; 0 leaves alone what is compressed already."""
    if not is_clean:
        return _line(content, level)
    packed = zlib.compress(content, level) if level else content
    return b"#%d %d\n" % (len(packed), level) + packed


def unpack(incoming: IO[bytes]) -> bytes:
    """The content of the next frame; FrameError if that is none, or more than any that was made here."""
    line = incoming.readline()
    if not line.startswith(b"#"):  # which no line of base64 does
        return _of_line(line)
    try:
        size, level = map(int, line[1:].split())
    except ValueError as error:
        raise FrameError(str(error)) from None
    packed = incoming.read(min(size, MOST))
    if len(packed) != size:
        message = "it is cut off, or too long"
        raise FrameError(message)
    return _inflated(packed) if level else packed


def _line(content: bytes, level: int) -> bytes:
    return base64.b64encode(zlib.compress(content, level)) + b"\n"


def _of_line(line: bytes) -> bytes:
    try:
        return _inflated(base64.b64decode(line.strip(), validate=True))
    except binascii.Error as error:
        raise FrameError(str(error)) from None


def _inflated(packed: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    try:
        content = unpacking.decompress(packed, MOST)
    except zlib.error as error:
        raise FrameError(str(error)) from None
    if not unpacking.eof:
        message = "it is cut off, or too long"
        raise FrameError(message)
    return content
