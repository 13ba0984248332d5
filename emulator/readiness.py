"""When an instance is ready."""

import asyncio
import ssl

from cloudservice.instances import Address

WORKER_LIFE = 1.0
"""Seconds that a worker's program must have lived before its start counts as a success."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2
_PATIENCE = 5.0
"""Seconds that one answer may take before the question is asked again."""


async def until_answers(site: Address) -> None:
    """Return when the site answers HTTP, with whatever status."""
    pause = _FIRST_PAUSE
    while not await _answers(site):
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


async def _answers(site: Address) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE):
            tls = ssl._create_unverified_context() if site.protocol == "https" else None  # noqa: S323 - it is our own
            reader, writer = await asyncio.open_connection(site.address, site.port, ssl=tls)
            try:
                host = f"{site.address}:{site.port}"
                writer.write(
                    f"GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Load Balancer Agent\r\n"
                    "Connection: close\r\n\r\n".encode()
                )
                return (await reader.read(5)) == b"HTTP/"
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
