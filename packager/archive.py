"""A zip whose every byte follows from its entries: written so, and read with nothing taken on trust.

Source: PKWARE's APPNOTE.TXT. Of what a zip can say, only this much is used: names in ASCII, entries one right behind
the other, stored or deflated, no dates, no attributes. An entry that is deflated carries the CRC-32 of its deflated
bytes in an extra field, since the last bits of a deflated stream count for nothing and a flip there would go unseen.

What deflates is libdeflate, which its package brings along: zlib is another one on other systems, with other bytes.
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import IO, BinaryIO

import deflate

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_EXTRA = struct.Struct("<2HL")
_EXTRA_ID = 0x5052
_VERSION, _VERSION_64 = 20, 45
_IN_UTF_8 = 1 << 11
_UNIX, _FILE = 3 << 8, 0o100000
_DATE = 0x0021
"""The first day of 1980, zip's first."""
STORED, DEFLATED = 0, 8
_LEVEL = 6
_MOST = 0xFFFFFFFF
"""Bytes of an archive; Azure took 600 MB."""
_MANY = 0xFFFF
MOST_DEFLATED = 16 * 1024 * 1024
"""Bytes of the largest content that is deflated, which takes place in memory; a larger one is stored."""
_CHUNK = 1 << 17
_NAME = 4096


class ArchiveError(Exception):
    """What is wrong with an archive, and where."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive: its name, its method, CRC-32 and size, and those of what stands in the archive."""

    name: str
    method: int
    crc: int
    size: int
    packed_crc: int
    packed_size: int
    offset: int
    mode: int = 0
    """Permissions of Unix, where they are told."""

    @property
    def _name(self) -> bytes:
        return self.name.encode()

    @property
    def _extra(self) -> bytes:
        return b"" if self.method == STORED else _EXTRA.pack(_EXTRA_ID, 4, self.packed_crc)

    @property
    def _middle(self) -> tuple[int, ...]:
        """What both headers have: version, flags, method, time, date, CRC, both sizes, lengths of name and extra."""
        flags = 0 if self.name.isascii() else _IN_UTF_8
        sizes = (self.crc, self.packed_size, self.size, len(self._name), len(self._extra))
        return (_VERSION, flags, self.method, 0, _DATE, *sizes)

    @property
    def local(self) -> bytes:
        """The header before the content."""
        return _LOCAL.pack(b"PK\3\4", *self._middle) + self._name + self._extra

    @property
    def central(self) -> bytes:
        """The header in the directory at the end."""
        made_by = _VERSION | _UNIX if self.mode else _VERSION
        attributes = (_FILE | self.mode) << 16 if self.mode else 0
        head = _CENTRAL.pack(b"PK\1\2", made_by, *self._middle, 0, 0, 0, attributes, self.offset)
        return head + self._name + self._extra

    @property
    def end(self) -> int:
        """Where the next entry begins."""
        return self.offset + len(self.local) + self.packed_size


class Writer:
    """Writes an archive to a file that can be sought in."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._entries: list[Entry] = []
        self._offset = 0

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self._file.write(directory(self._entries))

    def add(self, name: str, content: bytes, mode: int = 0) -> None:
        """Add an entry, deflated if that makes it smaller; a bundle's has no mode, and a name in ASCII."""
        packed = deflate.deflate_compress(content, _LEVEL) if len(content) <= MOST_DEFLATED else content
        method = DEFLATED if len(packed) < len(content) else STORED
        packed = packed if method == DEFLATED else content
        self._begin(Entry(name, method, zlib.crc32(content), len(content), zlib.crc32(packed), len(packed), 0, mode))
        self._file.write(packed)

    def add_stored(self, name: str, source: IO[bytes], see: Callable[[bytes], object]) -> None:
        """Add what a stream has, as it is, and let `see` have it too."""
        start, crc, size = self._file.tell(), 0, 0
        self._file.write(Entry(name, STORED, 0, 0, 0, 0, self._offset).local)
        while chunk := source.read(_CHUNK):
            see(chunk)
            crc, size = zlib.crc32(chunk, crc), size + len(chunk)
            self._file.write(chunk)
        end = self._file.tell()
        self._file.seek(start)
        self._begin(Entry(name, STORED, crc, size, crc, size, 0))
        self._file.seek(end)

    def _begin(self, entry: Entry) -> None:
        placed = replace(entry, offset=self._offset)
        if placed.end > _MOST:
            message = f"it would be larger than {_MOST:,} bytes"
            raise ArchiveError(message)
        self._file.write(placed.local)
        self._entries.append(placed)
        self._offset = placed.end


def directory(entries: list[Entry]) -> bytes:
    """What stands behind the last entry: all headers again, and where they begin."""
    central = b"".join(entry.central for entry in entries)
    start, count = (entries[-1].end if entries else 0), len(entries)
    far = b""
    if count > _MANY or start + len(central) > _MOST:
        end = start + len(central)
        many = (count, count, len(central), start)
        far = _END_64.pack(b"PK\6\6", _END_64.size - 12, _VERSION_64, _VERSION_64, 0, 0, *many)
        far += _LOCATOR_64.pack(b"PK\6\7", 0, end, 1)
    few = min(count, _MANY)
    return central + far + _END.pack(b"PK\5\6", 0, 0, few, few, len(central), min(start, _MOST), 0)


class Reader:
    """Reads an archive that `Writer` wrote; ArchiveError where it is not one to the last bit."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._length = file.seek(0, os.SEEK_END)

    def entries(self) -> Iterator[Entry]:
        """Every entry in its order, once its header is as it must be; its content has not been looked at.

        Behind the last one the directory is compared.
        """
        found: list[Entry] = []
        offset = 0
        while (entry := self._entry(offset)) is not None:
            yield entry
            found.append(entry)
            offset = entry.end
        self._file.seek(offset)
        rest = directory(found)
        if self._length - offset != len(rest) or self._file.read(len(rest)) != rest:
            self._tell_directory(offset, found)

    def content(self, entry: Entry) -> Iterator[bytes]:
        """The content of an entry in pieces, checked against its sizes and both CRCs."""
        self._file.seek(entry.offset + len(entry.local))
        crc = packed_crc = size = 0
        unpack = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == DEFLATED else None
        for packed in self._pieces(entry):
            packed_crc = zlib.crc32(packed, packed_crc)
            for piece in _unpacked(unpack, packed, entry):
                crc, size = zlib.crc32(piece, crc), size + len(piece)
                if size > entry.size:
                    break
                yield piece
        is_whole = unpack is None or (unpack.eof and not unpack.unused_data)
        if (crc, size, packed_crc) != (entry.crc, entry.size, entry.packed_crc) or not is_whole:
            message = f"the content of {entry.name} is damaged"
            raise ArchiveError(message)

    def _pieces(self, entry: Entry) -> Iterator[bytes]:
        left = entry.packed_size
        while left:
            piece = self._file.read(min(_CHUNK, left))
            if not piece:
                message = f"it ends within {entry.name}"
                raise ArchiveError(message)
            left -= len(piece)
            yield piece

    def _entry(self, offset: int) -> Entry | None:
        """The entry at an offset; None if there is none, which is right behind the last one."""
        self._file.seek(offset)
        head = self._file.read(_LOCAL.size)
        if len(head) < _LOCAL.size or head[:4] != b"PK\3\4":
            return None
        _, _, _, method, _, _, crc, packed_size, size, name_length, extra_length = _LOCAL.unpack(head)
        name, extra = self._file.read(min(name_length, _NAME)), self._file.read(min(extra_length, _NAME))
        packed_crc = _EXTRA.unpack(extra)[2] if len(extra) == _EXTRA.size else crc
        shown = name.decode("ascii", "backslashreplace")
        try:
            entry = Entry(name.decode("ascii"), method, crc, size, packed_crc, packed_size, offset)
        except UnicodeDecodeError:
            entry = None
        is_possible = method == DEFLATED or (method == STORED and packed_size == size)
        if entry is None or not is_possible or entry.local != head + name + extra or entry.end > self._length:
            message = f"the header of {shown or 'an entry'} at byte {offset:,} is damaged"
            raise ArchiveError(message)
        return entry

    def _tell_directory(self, offset: int, found: list[Entry]) -> None:
        """Name what in the directory is not as the entries have it."""
        self._file.seek(offset)
        if self._file.read(4) != b"PK\1\2":
            message = f"what stands at byte {offset:,} is damaged"
            raise ArchiveError(message)
        self._file.seek(offset)
        for entry in found:
            if self._file.read(len(entry.central)) != entry.central:
                message = f"the directory at the end is damaged at {entry.name}"
                raise ArchiveError(message)
        message = "the end of the file is damaged, or something was added to it"
        raise ArchiveError(message)


def _unpacked(unpack: "zlib._Decompress | None", packed: bytes, entry: Entry) -> Iterator[bytes]:
    """A piece of an entry as it was before it was deflated, in pieces of limited size."""
    if unpack is None:
        yield packed
        return
    try:
        while packed and not unpack.eof:
            yield unpack.decompress(packed, _CHUNK)
            packed = unpack.unconsumed_tail
    except zlib.error as error:
        message = f"the content of {entry.name} is damaged"
        raise ArchiveError(message) from error
