"""When an instance is ready."""

import asyncio
import ssl

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
    return (await status_line(site, "/", _PATIENCE, tls=site.protocol == "https")).startswith(b"HTTP/")


async def status_line(at: Address, path: str, patience: float, tls: bool = False) -> bytes:
    """How the answer to a GET begins, as far as `HTTP/1.1 200 `; empty if there is none within some seconds."""
    context = ssl._create_unverified_context() if tls else None  # noqa: S323 - it is our own
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(at.address, at.port, ssl=context)
            try:
                writer.write(
                    f"GET {path} HTTP/1.1\r\nHost: {at.address}:{at.port}\r\nUser-Agent: Load Balancer Agent\r\n"
                    "Connection: close\r\n\r\n".encode("latin-1", "replace")
                )
                return await reader.readexactly(_STATUS)
            finally:
                writer.close()
    except asyncio.IncompleteReadError as error:
        return error.partial
    except (OSError, TimeoutError):
        return b""
