"""How other programs of the user speak to a running emulator: one JSON object a line, over a socket of the user's own.

A Unix socket in a folder that only the user can enter; on Windows a loopback port. Either way the first line must
carry the token, which lies in a file that only the user can read.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

from cloudservice.files import write_whole
from emulator.wishes import Message

TIMEOUT = 10.0
"""Seconds that an emulator may take to answer."""
_LONGEST_REQUEST = 1 << 16
_PREFIX = "rolepack-"
_LONGEST_BASE = 60


def control_file(state: Path) -> Path:
    """The file that says where the emulator of a service listens."""
    return state / "control.json"


class Listener:
    """The emulator's side: `answer` gets each wish and yields what is sent back, a line each."""

    def __init__(self, state: Path, answer: Callable[[Message], AsyncGenerator[Message, None]]) -> None:
        self._file = control_file(state)
        self._answer = answer
        self._token = os.urandom(16).hex()
        self._folder: str | None = None
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen, and say where."""
        self._remove_stale()
        where: dict[str, Any] = {"token": self._token}
        if os.name == "posix":
            # Not in the service's folder: the path of a Unix socket may have little more than 100 characters.
            base = tempfile.gettempdir()
            self._folder = tempfile.mkdtemp(prefix=_PREFIX, dir=base if len(base) < _LONGEST_BASE else "/tmp")  # noqa: S108
            where["path"] = str(Path(self._folder) / "control.sock")
            self._server = await asyncio.start_unix_server(self._serve, where["path"], limit=_LONGEST_REQUEST)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_LONGEST_REQUEST)
            where["port"] = self._server.sockets[0].getsockname()[1]
        write_whole(self._file, json.dumps(where))
        self._file.chmod(0o600)

    def close(self) -> None:
        """Stop listening and leave no file behind."""
        if self._server:
            self._server.close()
        self._file.unlink(missing_ok=True)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _remove_stale(self) -> None:
        """Remove the socket's folder of an emulator that was killed; this one holds the service's lock."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            folder = Path(json.loads(self._file.read_text())["path"]).parent
            if folder.name.startswith(_PREFIX):
                shutil.rmtree(folder, ignore_errors=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            wish = await self._understood(reader)
            if wish is None:
                return
            async with contextlib.aclosing(self._answer(wish)) as answers:
                async for message in answers:
                    writer.write(json.dumps(message).encode() + b"\n")
                    await writer.drain()

    async def _understood(self, reader: asyncio.StreamReader) -> Message | None:
        """The wish that comes with the token; None if anything else comes."""
        from secrets import compare_digest  # which loads OpenSSL

        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            wish = json.loads(await reader.readline())
            if compare_digest(wish.pop("token"), self._token):
                return dict(wish)
        return None


def ask(state: Path, wish: Message, patience: float | None = TIMEOUT) -> Iterator[Message]:
    """Send a wish to the emulator of a service and give its answers as they come; none if it is not running.

    It ends without an error when the emulator does, or when an answer takes more than `patience` seconds.
    """
    try:
        where = json.loads(control_file(state).read_text())
        with _connected(where) as connection:
            connection.settimeout(patience)
            connection.sendall(json.dumps({**wish, "token": where["token"]}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                for line in answers:
                    yield json.loads(line)
    except (OSError, ValueError):
        return


def _connected(where: dict[str, Any]) -> socket.socket:
    if "port" in where:
        return socket.create_connection(("127.0.0.1", where["port"]), TIMEOUT)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(TIMEOUT)
    try:
        connection.connect(where["path"])
    except OSError:
        connection.close()
        raise
    return connection
