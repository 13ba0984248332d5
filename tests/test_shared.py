"""A public port whose connections the kernel hands to the chosen sockets."""

import socket
from collections import Counter

import pytest

from emulator.shared import IS_POSSIBLE, SharedPort

pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason="Linux alone can steer")


@pytest.fixture
def port():
    shared = SharedPort("127.0.0.1", 0)
    yield shared
    shared.close()


def tally(port: SharedPort, count: int = 200, source: str = "127.0.0.1") -> Counter:
    """Which sockets get how many of some connections."""
    where = ("127.0.0.1", port.port)
    clients = [socket.create_connection(where, source_address=(source, 0)) for _ in range(count)]
    found = Counter()
    for number, listening in enumerate(port.sockets):
        while True:
            try:
                connection, _ = listening.accept()
            except BlockingIOError:
                break
            connection.close()
            found[number] += 1
    for client in clients:
        client.close()
    return found


def test_connections_go_to_the_chosen_ones_alone(port):
    slots = [port.add() for _ in range(4)]
    assert tally(port) == {0: 200}
    port.choose(slots[1:3], by_source=False)
    found = tally(port)
    assert set(found) == set(slots[1:3])
    assert min(found.values()) > 50
    port.choose((), by_source=False)
    assert tally(port) == {0: 200}


def test_many_slots(port):
    slots = [port.add() for _ in range(200)]
    port.choose(slots, by_source=False)
    found = tally(port, 1000)
    assert found.total() == 1000
    assert 0 not in found
    assert len(found) > 150


def test_a_client_can_keep_its_instance(port):
    slots = [port.add() for _ in range(3)]
    port.choose(slots, by_source=True)
    homes = {source: tally(port, 20, source) for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")}
    assert all(len(home) == 1 for home in homes.values())
    assert len({next(iter(home)) for home in homes.values()}) == 3


def test_a_taken_port_is_refused_whoever_has_it(port):
    with pytest.raises(OSError, match="in use"):
        SharedPort("127.0.0.1", port.port)
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="in use"):
        SharedPort("127.0.0.1", other.getsockname()[1])
