"""Text from elsewhere, so that it can be shown: control characters could rewrite what a terminal has printed before."""

from typing import Any


def escaped(text: str) -> str:
    r"""The text with control characters, and what turns its direction, as \x1b or \u202e."""
    return "".join(_escape(char) for char in text)


def everywhere(value: Any) -> Any:
    """A JSON value whose texts are escaped."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, list):
        return [everywhere(one) for one in value]
    if isinstance(value, dict):
        return {escaped(key): everywhere(one) for key, one in value.items()}
    return value


def _escape(char: str) -> str:
    if char.isprintable() or char == "\t":
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
