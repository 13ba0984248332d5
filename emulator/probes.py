"""The load balancer's own question to an instance: whether it may get connections."""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from cloudservice.instances import Address
from cloudservice.service import Endpoint, Probe, Role, Service
from emulator import readiness

_UNTIL_IN = 0.25
"""Seconds between two questions to an instance that has not been in yet; in the cloud it would be the interval."""
_OK = (b"HTTP/1.0 200 ", b"HTTP/1.1 200 ")


class Check(NamedTuple):
    """A probe of an endpoint of one instance, and where it asks."""

    endpoint: str
    probe: Probe
    address: Address


def plan(service: Service, role: Role, addresses: Mapping[str, Address]) -> tuple[Check, ...]:
    """The checks of an instance of a role; a probe with a port of its own asks the endpoint that has this port."""
    probes = {probe.name: probe for probe in service.probes}
    checks = []
    for endpoint in role.endpoints:
        probe = probes.get(endpoint.probe or "")
        if probe is not None:
            asked = next((one for one in role.endpoints if _has_port(one, probe.port)), endpoint)
            checks.append(Check(endpoint.name, probe, addresses[asked.name]))
    return tuple(checks)


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


def _has_port(endpoint: Endpoint, port: int | None) -> bool:
    return port is not None and port in {endpoint.local_port, endpoint.port}
