"""The load balancer's own question to an instance: whether it may get connections."""

import asyncio
from collections.abc import Callable

from cloudservice.checks import Check
from emulator import readiness

_UNTIL_IN = 0.25
"""Seconds between two questions to an instance that has not been in yet; in the cloud it would be the interval."""
_OK = (b"HTTP/1.0 200 ", b"HTTP/1.1 200 ")


async def follow(check: Check, tell: Callable[[bool], None]) -> None:
    """Ask again and again, and tell whether the instance is in: at the start, and at each change."""
    loop = asyncio.get_running_loop()
    is_in: bool | None = None
    answered = loop.time() - check.probe.timeout
    while True:
        began = loop.time()
        if await answers(check):
            answered = began
        now_in = began - answered < check.probe.timeout
        if now_in is not is_in:
            is_in = now_in
            tell(is_in)
        await asyncio.sleep(check.probe.interval if is_in else min(_UNTIL_IN, check.probe.interval))


async def answers(check: Check) -> bool:
    """Whether the instance accepts a connection or, asked by http, answers 200, all within one interval."""
    if check.probe.protocol == "http":
        return await readiness.status_line(check.address, check.probe.path or "/", check.probe.interval) in _OK
    try:
        async with asyncio.timeout(check.probe.interval):
            _, writer = await asyncio.open_connection(check.address.address, check.address.port)
            writer.close()
            return True
    except (OSError, TimeoutError):
        return False
