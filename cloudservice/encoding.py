"""The characters of an XML file, whatever its encoding, and the bytes of an edited one."""

import codecs
import re
from dataclasses import dataclass

_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_UNMARKED = {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
_DECLARED = re.compile(rb"""\s*<\?xml\b[^>]*?\bencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_NOT_FOR_FILES = {"idna", "raw-unicode-escape", "raw_unicode_escape"}
_SYNTAX = "<?xml version='1.0' encoding=\"x\"?><a:b/>\r\n\\~"


@dataclass(frozen=True, slots=True)
class Encoding:
    """How characters are bytes in a file: a codec of Python's and the mark before the first character."""

    codec: str
    bom: bytes = b""

    def decode(self, content: bytes) -> str:
        """The characters of the file, without the mark. UnicodeDecodeError if they are not in this encoding."""
        return content[len(self.bom) :].decode(self.codec)

    def encode(self, text: str) -> bytes:
        """The bytes of the file; a character that the encoding lacks becomes a character reference."""
        return self.bom + text.encode(self.codec, "xmlcharrefreplace")


def detect(content: bytes) -> Encoding | None:
    """The encoding that the first bytes show: by mark, by width, by declaration, else UTF-8; None for an unknown one.

    What the bytes are outweighs what they declare: .NET writes `encoding="utf-16"` into files that are not.
    """
    for bom, codec in _BOMS.items():
        if content.startswith(bom):
            return Encoding(codec, bom)
    if content[:2] in _UNMARKED:
        return Encoding(_UNMARKED[content[:2]])
    declared = _DECLARED.match(content[:1000])
    if declared is None:
        return Encoding("utf-8")
    name = declared[1].decode().lower()
    if name == "unicode" or name.startswith(("utf-16", "utf16", "utf-32", "ucs-", "iso-10646-ucs")):
        return Encoding("utf-8")
    return Encoding(name) if _keeps_syntax(name) else None


def _keeps_syntax(codec: str) -> bool:
    """Whether Python knows the codec for one of text, and it writes XML's own characters as ASCII does."""
    try:
        known = codecs.lookup(codec).name
        return known not in _NOT_FOR_FILES and _SYNTAX.encode(known) == _SYNTAX.encode("ascii")
    except (LookupError, UnicodeError):
        return False
