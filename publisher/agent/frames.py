"""How requests, content and answers travel: lines of ASCII, since a console's code page must not matter."""

import base64
import binascii
import json
import zlib
from typing import Any

CHUNK = 192 * 1024
"""Bytes of content in one line, before it is compressed."""
MOST = 64 * 1024 * 1024
"""Bytes that a line may have then."""


class FrameError(Exception):
    """A line that was not made here."""


def encode(value: Any) -> bytes:
    """A JSON value as one line."""
    return pack(json.dumps(value).encode(), 6)


def decode(line: bytes) -> Any:
    """The value of a line; FrameError if it is none."""
    try:
        return json.loads(unpack(line))
    except ValueError as error:
        raise FrameError(str(error)) from None


def pack(content: bytes, level: int) -> bytes:
    """Some bytes as one line; level 0 only wraps what is compressed already."""
    return base64.b64encode(zlib.compress(content, level)) + b"\n"


def unpack(line: bytes) -> bytes:
    """The bytes of a line; FrameError if it is none, or more than any that was made here."""
    unpacking = zlib.decompressobj()
    try:
        content = unpacking.decompress(base64.b64decode(line.strip(), validate=True), MOST)
    except (binascii.Error, zlib.error) as error:
        raise FrameError(str(error)) from None
    if not unpacking.eof:
        message = "it is cut off, or too long"
        raise FrameError(message)
    return content
