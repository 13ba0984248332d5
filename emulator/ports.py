"""Free ports of the loopback address."""

import os
import random
import socket
from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
_INSTANCE_PORTS = range(20000, 32000)
"""Below the range that systems give to outgoing connections, so that none of these takes an instance's port."""


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on the port of an IPv4 address now."""
    with stream() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def some(host: str) -> int:
    """A port of an IPv4 address that is free now."""
    with stream() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def stream() -> socket.socket:
    """A socket for tcp that will be bound and listen; its connections send small packets at once.

    On Windows SO_REUSEADDR would let it share a taken port.
    """
    made = socket.socket()
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if os.name == "posix":
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def for_instances() -> Iterator[int]:
    """Free ports, each once, from a random start so that emulators side by side seldom meet."""
    start = random.randrange(len(_INSTANCE_PORTS))  # noqa: S311 - nothing secret
    for offset in range(len(_INSTANCE_PORTS)):
        port = _INSTANCE_PORTS[(start + offset) % len(_INSTANCE_PORTS)]
        if is_free(port):
            yield port


def public(declared: int) -> int:
    """Where a declared public port is tried first: those that only an administrator may open are moved by 8000."""
    return declared + 8000 if declared < 1024 else declared
