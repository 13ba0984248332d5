"""The public side of a deployment: one port of this machine for each input endpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cloudservice.instances import Address
from cloudservice.service import Endpoint, Service
from emulator import launch, ports
from emulator.balancer import Balancer

Ready = Callable[[str, str], Sequence[Address]]
"""The addresses of an endpoint (role, endpoint) at the instances that are Ready now."""
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class PublicEndpoint:
    """An input endpoint and where it is served."""

    name: str
    url: str
    balancer: Balancer


async def open_all(
    service: Service, roles: Sequence[str], ready: Ready, say: Callable[[str], None]
) -> list[PublicEndpoint]:
    """Serve every input endpoint of the named roles; a taken port gives the next free one, and `say` tells."""
    opened = []
    for role in service.roles:
        for endpoint in role.endpoints:
            if role.name not in roles or endpoint.kind != "input" or endpoint.port is None:
                continue
            name = f"{role.name}/{endpoint.name}"
            if endpoint.protocol == "udp":
                say(f"{name}: udp is not balanced; use the ports of its instances (`invoke status`)")
                continue
            if role.kind == "web" and endpoint.protocol != "tcp" and endpoint.name not in launch.served(role):
                say(f"{name}: only the first site of a role is served here, and it is not bound to this endpoint")
                continue
            opened.append(await _open(name, role.name, endpoint, ready, say))
    return opened


async def _open(name: str, role: str, endpoint: Endpoint, ready: Ready, say: Callable[[str], None]) -> PublicEndpoint:
    wanted = ports.public(endpoint.port or 0)
    http = endpoint.protocol in {"http", "https"}
    balancer = Balancer(lambda: ready(role, endpoint.name), http)
    for port in range(wanted, _LAST_PORT + 1):
        try:
            await balancer.open(ports.LOOPBACK, port)
        except OSError:
            continue
        if port != wanted:
            say(f"{name}: port {wanted} is taken, so {port} is used")
        return PublicEndpoint(name, f"{'http' if http else 'tcp'}://{ports.LOOPBACK}:{port}", balancer)
    raise OSError(f"no port from {wanted} upwards is free")
