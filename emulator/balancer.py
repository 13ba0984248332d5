"""A public port: each connection goes to the next Ready instance of the role."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from cloudservice.instances import Address

Ready = Callable[[], Sequence[Address]]
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

    def __init__(self, ready: Ready, http: bool) -> None:
        self._ready = ready
        self._http = http
        self._turn = 0
        self._connections: set[asyncio.Task[None] | None] = set()
        self._server: asyncio.Server | None = None

    async def open(self, address: str, port: int) -> int:
        """Listen on a port, 0 for any, and return it; OSError if it is taken."""
        self._server = await asyncio.start_server(self._connected, address, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Hang up on everyone and stop listening."""
        if self._server:
            self._server.close()
        ended = [task for task in self._connections if task]
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client to its end. Without a Ready instance it gets a 503 if it speaks HTTP, else nothing."""
        task = asyncio.current_task()
        self._connections.add(task)  # the loop itself holds a task only weakly
        self._turn += 1
        try:
            with contextlib.closing(writer):
                await self._pass_on(reader, writer)
        except asyncio.CancelledError:
            pass  # close() wants it; asyncio's own callback would print a traceback
        finally:
            self._connections.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        backend = await _connect(self._ready(), self._turn)
        if backend:
            with contextlib.closing(backend[1]):
                await asyncio.gather(_copy(reader, backend[1]), _copy(backend[0], writer))
        elif self._http:
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
