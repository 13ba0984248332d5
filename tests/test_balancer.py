"""A public port passes each connection to the next Ready instance."""

import asyncio
import socket

from cloudservice.instances import Address
from emulator.balancer import Balancer


async def backend(name: bytes, port: int = 0) -> tuple[asyncio.Server, Address]:
    """A server that answers everything it got, with its name, once the client has said its all."""

    async def answer(reader, writer):
        writer.write(name + b":" + await reader.read())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    return server, Address("tcp", "127.0.0.1", server.sockets[0].getsockname()[1])


class Public:
    """A balancer on a free port, closed at the end of a block."""

    def __init__(self, balancer: Balancer, port: int) -> None:
        self.balancer, self.port = balancer, port

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.balancer.close()


async def opened(backends, http: bool, patience: float = 10) -> Public:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    balancer = Balancer(patience)
    balancer.is_http = http
    balancer.direct(backends)
    await balancer.open(listening)
    return Public(balancer, port)


async def ask(public: Public, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", public.port)
    writer.write(text)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def test_connections_take_turns_and_a_dead_instance_is_passed_over():
    async def scenario():
        (one, first), (two, second) = await backend(b"one"), await backend(b"two")
        public = await opened([first, second], http=False)
        async with one, two, public:
            answers = [await ask(public, b"x") for _ in range(4)]
            two.close()
            await two.wait_closed()
            return answers, [await ask(public, b"y") for _ in range(4)]

    both, alone = asyncio.run(scenario())
    assert sorted(both) == [b"one:x", b"one:x", b"two:x", b"two:x"]
    assert alone == [b"one:y"] * 4


def test_large_bodies_pass_whole_in_both_directions():
    async def scenario():
        server, address = await backend(b"")
        public = await opened([address], http=False)
        async with server, public:
            return await ask(public, b"0123456789" * 500_000)

    assert asyncio.run(scenario()) == b":" + b"0123456789" * 500_000


def test_without_a_ready_instance_an_http_client_is_told_and_any_other_hung_up_on():
    async def scenario(http, text):
        async with await opened([], http, patience=0.1) as public:
            return await ask(public, text)

    answer = asyncio.run(scenario(True, b"GET / HTTP/1.1\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert asyncio.run(scenario(False, b"")) == b""


def test_a_connection_waits_for_an_instance_that_comes_back():
    async def scenario():
        server, address = await backend(b"one")
        server.close()
        await server.wait_closed()
        public = await opened([], http=True)
        async with public:
            asked = asyncio.create_task(ask(public, b"x"))
            while not public.balancer._connections:
                await asyncio.sleep(0)
            public.balancer.direct([address])  # which does not listen yet
            again, _ = await backend(b"again", address.port)
            async with again:
                return await asked

    assert asyncio.run(scenario()) == b"again:x"


def test_a_client_that_vanishes_leaves_the_others_alone():
    async def scenario():
        server, address = await backend(b"one")
        public = await opened([address], http=False)
        async with server, public:
            for _ in range(20):
                _, writer = await asyncio.open_connection("127.0.0.1", public.port)
                writer.write(b"half")
                writer.transport.abort()
            return await ask(public, b"x")

    assert asyncio.run(scenario()) == b"one:x"


def test_closing_hangs_up_on_idle_clients(caplog):
    async def scenario():
        server, address = await backend(b"one")
        public = await opened([address], http=False)
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", public.port)
            while not public.balancer._connections:
                await asyncio.sleep(0)
            await asyncio.wait_for(public.balancer.close(), 10)
            rest = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return rest

    assert asyncio.run(scenario()) == b""
    assert not caplog.records


def test_connections_that_wait_at_another_socket_are_taken_over():
    async def scenario():
        server, address = await backend(b"one")
        public = await opened([address], http=False)
        with socket.create_server(("127.0.0.1", 0)) as waiting:
            waiting.setblocking(False)
            clients = [await asyncio.open_connection(*waiting.getsockname()) for _ in range(3)]
            async with server, public:
                public.balancer.accept_from(waiting)
                for _, writer in clients:
                    writer.write(b"x")
                    writer.write_eof()
                answers = [await asyncio.wait_for(reader.read(), 10) for reader, _ in clients]
                for _, writer in clients:
                    writer.close()
                return answers

    assert asyncio.run(scenario()) == [b"one:x"] * 3
