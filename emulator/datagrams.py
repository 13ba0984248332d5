"""A public udp port: each client's datagrams go to one Ready instance, and its answers back."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence

from cloudservice.instances import Address

_IDLE = 60.0
"""Seconds without a datagram in either direction after which a client is forgotten."""
_MOST_CLIENTS = 1000
"""Each costs a socket; beyond them the one that has been silent longest is forgotten."""


class DatagramBalancer(asyncio.DatagramProtocol):
    """One public port."""

    def __init__(self) -> None:
        self._backends: Sequence[Address] = ()
        self._turn = 0
        self._public: asyncio.DatagramTransport | None = None
        self._clients: dict[tuple[str, int], _Client] = {}

    def direct(self, backends: Sequence[Address]) -> None:
        """Let clients go to these instances in turn, also those of any other."""
        self._backends = backends

    async def open(self, bound: socket.socket) -> None:
        """Serve the datagrams of a bound socket."""
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=bound)
        self._public = transport

    async def close(self) -> None:
        """Serve nothing any more."""
        if self._public:
            self._public.close()
        for client in list(self._clients.values()):
            client.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Pass a client's datagram on; while no instance is Ready it is lost, as udp may be."""
        client = self._clients.pop(addr, None)
        if client and client.backend not in self._backends:
            client.close()
            client = None
        if client is None:
            client = self._connected(addr)
        if client:
            self._clients[addr] = client  # the one that has spoken last is the last
            client.send(data)

    def answer(self, data: bytes, addr: tuple[str, int]) -> None:
        """Give a client what its instance says."""
        if self._public:
            self._public.sendto(data, addr)

    def forget(self, addr: tuple[str, int]) -> None:
        """A client has been silent for long, or its instance has gone."""
        self._clients.pop(addr, None)

    def _connected(self, addr: tuple[str, int]) -> "_Client | None":
        if not self._backends:
            return None
        if len(self._clients) >= _MOST_CLIENTS:
            next(iter(self._clients.values())).close()
        self._turn += 1
        return _Client(self, addr, self._backends[self._turn % len(self._backends)])


class _Client:
    """A client, and a socket of our own that speaks to its instance in its place."""

    def __init__(self, balancer: DatagramBalancer, addr: tuple[str, int], backend: Address) -> None:
        self.backend = backend
        self._balancer = balancer
        self._addr = addr
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect((backend.address, backend.port))
        self._loop.add_reader(self._socket, self._readable)
        self._idle = self._loop.call_later(_IDLE, self.close)

    def send(self, data: bytes) -> None:
        """Pass a datagram on to the instance."""
        self._spoke()
        with contextlib.suppress(OSError):  # its buffer is full, or it does not listen: a datagram may be lost
            self._socket.send(data)

    def close(self) -> None:
        """Forget the client."""
        self._idle.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._balancer.forget(self._addr)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(65536)
        except OSError:  # the instance does not listen at the moment
            return
        self._spoke()
        self._balancer.answer(data, self._addr)

    def _spoke(self) -> None:
        self._idle.cancel()
        self._idle = self._loop.call_later(_IDLE, self.close)
