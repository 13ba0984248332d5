"""Edits of a definition or configuration that keep every other byte of the file."""

import codecs
import re
from xml.parsers import expat

_PREFIXED = re.compile(rb"<[^\s/>:]+:")
_EMPTY_TAG = re.compile(rb"""<([^\s/>]+)((?:[^"'>]|"[^"]*"|'[^']*')*?)\s*/>""")


def append_to_root(content: bytes, fragment: str, namespace: str) -> bytes:
    r"""The file with an XML fragment put before the end of its root element.

    `content` must be a document that has been read and found well-formed. `fragment` is ASCII lines ended by `\n`,
    indented as they should stand; it takes on the encoding and the line ends of the file. Its first element says
    `namespace` itself where the root has a prefix, so that it is in it in any case.
    """
    encoding = _encoding(content)
    text = content.decode(encoding).encode()
    newline = b"\r\n" if b"\r\n" in text else b"\n"
    start, end = _root(text)
    if _PREFIXED.match(text, start):
        fragment = re.sub(r"(<[\w.-]+)", rf'\1 xmlns="{namespace}"', fragment, count=1)
    lines = fragment.encode().replace(b"\n", newline)
    empty = _EMPTY_TAG.match(text, start)
    if empty:
        tag = b"<" + empty[1] + empty[2] + b">" + newline + lines + b"</" + empty[1] + b">"
        edited = text[:start] + tag + text[empty.end() :]
    else:
        line_start = text.rfind(b"\n", 0, end) + 1
        own_line = not text[line_start:end].strip()
        at, added = (line_start, lines) if own_line else (end, newline + lines)
        edited = text[:at] + added + text[at:]
    return edited.decode().encode(encoding)


def _root(text: bytes) -> tuple[int, int]:
    """Offsets of the root's start tag and end tag in UTF-8 text."""
    parser = expat.ParserCreate("utf-8")
    starts, ends = [], []
    parser.StartElementHandler = lambda _name, _attributes: starts.append(parser.CurrentByteIndex)
    parser.EndElementHandler = lambda _name: ends.append(parser.CurrentByteIndex)
    parser.Parse(text, True)
    return starts[0], ends[-1]


def _encoding(content: bytes) -> str:
    """An encoding that carries every byte there and back; only UTF-16 needs to be the right one."""
    for start, name in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if content.startswith((start, "<".encode(name))):
            return name
    try:
        content.decode()
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"
