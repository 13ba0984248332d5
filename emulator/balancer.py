"""A public port: each connection goes to the next Ready instance of the role."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence

from cloudservice.instances import Address
from emulator.shared import BACKLOG

_CHUNK = 1 << 16
_PATIENCE = 5.0
"""Seconds for the head of a request that can only be refused."""
_NONE_READY = b"no instance of the role is Ready\n"
_UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_NONE_READY), _NONE_READY)
)


class Balancer:
    """One public port."""

    def __init__(self, is_http: bool) -> None:
        self.backends: Sequence[Address] = ()
        """Where connections go, in turn."""
        self._is_http = is_http
        self._turn = 0
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self, listening: socket.socket) -> None:
        """Accept the connections of a bound socket."""
        self._server = await asyncio.start_server(self._connected, sock=listening, backlog=BACKLOG)

    def accept_from(self, listening: socket.socket) -> None:
        """Serve what waits at another socket now."""
        with contextlib.suppress(OSError):  # nothing waits any more
            while True:
                connection, _ = listening.accept()
                connection.setblocking(False)
                self._keep(asyncio.ensure_future(self._serve(connection)))

    async def close(self) -> None:
        """Hang up on everyone and stop listening."""
        if self._server:
            self._server.close()
        ended = list(self._connections)
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client to its end. Without a Ready instance it gets a 503 if it speaks HTTP, else nothing."""
        self._keep(asyncio.current_task())
        self._turn += 1
        with contextlib.suppress(asyncio.CancelledError), contextlib.closing(writer):
            # close() wants a cancellation; asyncio's own callback would print a traceback
            await self._pass_on(reader, writer)

    def _keep(self, task: "asyncio.Task[None] | None") -> None:
        """The loop itself holds a task only weakly."""
        if task:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        await self._connected(reader, writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        backend = await _connect(self.backends, self._turn)
        if backend:
            with contextlib.closing(backend[1]):
                await asyncio.gather(_copy(reader, backend[1]), _copy(backend[0], writer))
        elif self._is_http:
            await _refuse(reader, writer)


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request that no instance can answer; its head is read first, else the client would see a reset."""
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(_PATIENCE):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(_UNAVAILABLE)


async def _connect(backends: Sequence[Address], turn: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """A connection to the instance whose turn it is, or to the next that accepts one."""
    for offset in range(len(backends)):
        backend = backends[(turn + offset) % len(backends)]
        try:
            return await asyncio.open_connection(backend.address, backend.port)
        except OSError:
            continue
    return None


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction until its end, then say so to the other side; a broken connection ends both."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
