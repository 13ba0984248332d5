"""Free ports of the loopback address."""

import random
import socket
from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
_INSTANCE_PORTS = range(20000, 32000)
"""Below the range that systems give to outgoing connections, so that none of these takes an instance's port."""


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


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
