"""When an instance is ready."""

import asyncio
import socket

from cloudservice.instances import Address

WORKER_LIFE = 1.0
"""Seconds that a worker's program must have lived before its start counts as a success."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2
_STATUS = len("HTTP/1.1 200 ")
_PATIENCE = 5.0
"""Seconds that one answer may take before the question is asked again."""


async def until_answers(site: Address) -> None:
    """Return when the site answers HTTP, with whatever status."""
    pause = _FIRST_PAUSE
    while not await _answers(site):
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


async def _answers(site: Address) -> bool:
    if site.protocol == "https":
        return await asyncio.to_thread(_answers_securely, site)
    return (await status_line(site, "/", _PATIENCE)).startswith(b"HTTP/")


def _answers_securely(site: Address) -> bool:
    import ssl  # which the emulator does without otherwise

    context = ssl._create_unverified_context()  # noqa: S323 - it is our own
    try:
        with (
            socket.create_connection((site.address, site.port), _PATIENCE) as connection,
            context.wrap_socket(connection) as secured,
        ):
            secured.sendall(_request(site, "/"))
            return secured.recv(_STATUS).startswith(b"HTTP/")
    except OSError:
        return False


async def status_line(at: Address, path: str, patience: float) -> bytes:
    """How the answer to a GET begins, as far as `HTTP/1.1 200 `; empty if there is none within some seconds."""
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(at.address, at.port)
            try:
                writer.write(_request(at, path))
                return await reader.readexactly(_STATUS)
            finally:
                writer.close()
    except asyncio.IncompleteReadError as error:
        return error.partial
    except (OSError, TimeoutError):
        return b""


def _request(at: Address, path: str) -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: {at.address}:{at.port}\r\nUser-Agent: Load Balancer Agent\r\n"
    return f"{head}Connection: close\r\n\r\n".encode("latin-1", "replace")
