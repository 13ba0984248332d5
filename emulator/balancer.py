"""A public port: each connection goes to the next Ready instance of the role."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence

from cloudservice.instances import Address
from emulator.shared import BACKLOG

_CHUNK = 1 << 16
_PATIENCE = 10.0
"""Seconds that a connection waits for an instance that is Ready: as long as most need to come back."""
_HEAD = 5.0
"""Seconds for the head of a request that can only be refused."""
_RETRY = 0.02
"""Seconds until instances that should be Ready, but accept nothing, are tried again."""
_NONE_READY = b"no instance of the role is Ready\n"
_UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_NONE_READY), _NONE_READY)
)


class Balancer:
    """One public port."""

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._backends: Sequence[Address] = ()
        self._has_backends = asyncio.Event()
        self.is_http = False
        """Whether a client that cannot be served is told so."""
        self._patience = patience
        self._turn = 0
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def direct(self, backends: Sequence[Address]) -> None:
        """Let new connections, and those that wait, go to these instances in turn."""
        self._backends = backends
        if backends:
            self._has_backends.set()
        else:
            self._has_backends.clear()

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
        await asyncio.gather(*ended, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client to its end. If no instance gets Ready, it is told by a 503 if it speaks HTTP."""
        self._keep(asyncio.current_task())
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
        try:
            async with asyncio.timeout(self._patience):
                from_backend, to_backend = await self._backend()
        except TimeoutError:
            if self.is_http:
                await _refuse(reader, writer)
            return
        with contextlib.closing(to_backend):
            await asyncio.gather(_copy(reader, to_backend), _copy(from_backend, writer))

    async def _backend(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the instance whose turn it is, or to the next that accepts one, as soon as one does."""
        while True:
            await self._has_backends.wait()
            self._turn += 1
            there = self._backends
            for offset in range(len(there)):
                backend = there[(self._turn + offset) % len(there)]
                with contextlib.suppress(OSError):
                    return await asyncio.open_connection(backend.address, backend.port)
            await asyncio.sleep(_RETRY)


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request that no instance can answer; its head is read first, else the client would see a reset."""
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(_HEAD):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(_UNAVAILABLE)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction until its end, then say so to the other side; a broken connection ends both."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
