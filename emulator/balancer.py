"""A public port: each connection goes to the next Ready instance of the role."""

import asyncio
from collections.abc import Callable, Sequence

from cloudservice.instances import Address

Ready = Callable[[], Sequence[Address]]
_CHUNK = 1 << 16
_NONE_READY = b"no instance of the role is Ready\n"
_UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_NONE_READY), _NONE_READY)
)


async def serve(address: str, port: int, ready: Ready, http: bool) -> asyncio.Server:
    """Listen on a port and pass each connection on; OSError if the port is taken.

    Without a Ready instance an HTTP client gets a 503, any other is hung up on.
    """
    turn = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turn
        turn += 1
        try:
            backend = await _connect(ready(), turn)
            if backend is None:
                writer.write(_UNAVAILABLE if http else b"")
                return
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass_on(reader, backend[1]))
                both.create_task(_pass_on(backend[0], writer))
        finally:
            writer.close()

    return await asyncio.start_server(connected, address, port)


async def _connect(backends: Sequence[Address], turn: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """A connection to the instance whose turn it is, or to the next that accepts one."""
    for offset in range(len(backends)):
        backend = backends[(turn + offset) % len(backends)]
        try:
            return await asyncio.open_connection(backend.address, backend.port)
        except OSError:
            continue
    return None


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction until its end, then say so to the other side; a broken connection ends both."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()
