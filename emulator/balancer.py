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


async def serve(address: str, port: int, ready: Ready, http: bool) -> asyncio.Server:
    """Listen on a port and pass each connection on; OSError if the port is taken.

    Without a Ready instance an HTTP client gets a 503, any other is hung up on.
    """
    return await asyncio.start_server(_Balancer(ready, http).connected, address, port)


class _Balancer:
    def __init__(self, ready: Ready, http: bool) -> None:
        self._ready = ready
        self._http = http
        self._turn = 0
        self._connections: set[asyncio.Task[None] | None] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client to its end."""
        task = asyncio.current_task()
        self._connections.add(task)  # the loop itself holds a task only weakly
        self._turn += 1
        try:
            with contextlib.closing(writer):
                await self._pass_on(reader, writer)
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
