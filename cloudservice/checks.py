"""Which probe asks which instance, and where."""

from collections.abc import Mapping
from typing import NamedTuple

from cloudservice.instances import Address
from cloudservice.service import Endpoint, Probe, Role, Service


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


def _has_port(endpoint: Endpoint, port: int | None) -> bool:
    return port is not None and port in {endpoint.local_port, endpoint.port}
