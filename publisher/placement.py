"""Which host runs which instance, and at which ports it listens. Pure."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.instances import Address, Instance, instances, role_of
from cloudservice.names import similar
from cloudservice.service import Endpoint, Role, Service
from publisher.agent.values import SLOTS, Rule
from publisher.hosts import Host, Hosts

_FIRST_PORT, _LAST_PORT = 20000, 65535
"""Endpoints whose port the fabric would choose get one from the first on."""


class Placed(NamedTuple):
    """An instance on its host; its update domain is that of the host."""

    instance: Instance
    host: Host


def place(service: Service, roles: Sequence[str], hosts: Hosts) -> tuple[Placed, ...]:
    """Spread the instances of each role over the hosts that name it, in turn; ServiceError if one has no host."""
    able = {role: [one for one in hosts.machines if role in one.roles] for role in roles}
    where = shown(hosts.path)
    faults = [
        Fault(where, f"no host runs role '{role}'", "Add it to the roles of one")
        for role, ones in able.items()
        if not ones
    ]
    faults += unknown(hosts, roles)
    if faults:
        raise ServiceError(*faults)
    placed = []
    for one in instances(service, roles):
        host = able[one.role][one.number % len(able[one.role])]
        placed.append(Placed(one._replace(update_domain=host.update_domain), host))
    return tuple(placed)


def unknown(hosts: Hosts, roles: Sequence[str]) -> Iterator[Fault]:
    """The roles that hosts name and that are not among these."""
    for one in hosts.machines:
        for role in one.roles:
            if role not in roles:
                near = similar(role, roles)
                remedy = f"Write '{near}', if that was meant" if near else f"Choose from {', '.join(roles)}"
                yield Fault(shown(hosts.path), f"host '{one.name}' names a role '{role}', which is not there", remedy)


def addresses(
    service: Service, placed: Sequence[Placed], hosts: Hosts, slot: str
) -> Mapping[str, Mapping[str, Address]]:
    """Where each instance listens in a slot, by endpoint; ServiceError if two would listen at one port of a host."""
    taken: dict[tuple[str, bool, int], str] = {}
    found: dict[str, dict[str, Address]] = {}
    faults: list[Fault] = []
    offset = hosts.offset if slot == SLOTS[1] else 0
    for one in placed:
        role = service.role(one.instance.role)
        there = found.setdefault(one.instance.name, {})
        for endpoint in role.endpoints:
            port = _port(endpoint, one, offset, taken)
            key = (one.host.name, endpoint.protocol == "udp", port)
            faults += _conflict(service, one, port, taken.setdefault(key, one.instance.name))
            if port > _LAST_PORT:
                wrong = f"endpoint '{endpoint.name}' of role '{role.name}' would have port {port} in {slot}"
                faults.append(Fault(shown(hosts.path), wrong, "Give a smaller staging_offset"))
            there[endpoint.name] = Address(endpoint.protocol, one.host.internal_address, port)
    if faults:
        raise ServiceError(*dict.fromkeys(faults))
    return found


def rules(
    service: Service, placed: Sequence[Placed], host: Host, found: Mapping[str, Mapping[str, Address]]
) -> tuple[Rule, ...]:
    """The ports that a host's firewall lets through: public ones for all, internal ones for the other hosts."""
    others = tuple(sorted({one.host.internal_address for one in placed} - {host.internal_address}))
    ruled = {}
    for one in placed:
        if one.host != host:
            continue
        for endpoint in service.role(one.instance.role).endpoints:
            is_internal = endpoint.kind == "internal"
            if is_internal and not others:
                continue  # nobody but this machine, which no firewall keeps from itself
            protocol = "UDP" if endpoint.protocol == "udp" else "TCP"
            port = found[one.instance.name][endpoint.name].port
            ruled[protocol, port] = Rule(protocol, port, others if is_internal else ())
    return tuple(ruled[key] for key in sorted(ruled))


def check_addresses(service: Service, placed: Sequence[Placed], hosts: Hosts) -> Iterator[Fault]:
    """Internal endpoints are for the other hosts alone, which a firewall knows by their IP addresses."""
    has_internal = any(
        endpoint.kind == "internal" for one in placed for endpoint in service.role(one.instance.role).endpoints
    )
    used = {one.host.name: one.host for one in placed}
    if not has_internal or len(used) < 2:
        return
    for host in used.values():
        try:
            ipaddress.ip_address(host.internal_address)
        except ValueError:
            wrong = f"host '{host.name}' has internal endpoints to reach, and no IP address that a firewall could know"
            yield Fault(shown(hosts.path), wrong, "Give its IP address as internal_address")


def _port(endpoint: Endpoint, one: Placed, offset: int, taken: Mapping[tuple[str, bool, int], str]) -> int:
    """Its fixed port, or else the next free one of those that it may have."""
    if endpoint.kind == "instance-input":
        return endpoint.ports[0].first + one.instance.number + offset
    if endpoint.port is not None:
        return endpoint.port + offset
    allowed = [range(each.first, each.last + 1) for each in endpoint.ports] or [range(_FIRST_PORT, _LAST_PORT)]
    is_udp = endpoint.protocol == "udp"
    free = (port + offset for ports in allowed for port in ports if (one.host.name, is_udp, port + offset) not in taken)
    return next(free, allowed[0].start + offset)


def _conflict(service: Service, one: Placed, port: int, other: str) -> Iterator[Fault]:
    """What is wrong if another instance of the host has the port already."""
    if other == one.instance.name:
        return
    mine, theirs = (service.role(role_of(name)) for name in (one.instance.name, other))
    if mine != theirs and _headers(mine) and _headers(theirs) and not _headers(mine) & _headers(theirs):
        return  # IIS tells them apart
    wrong = f"{other} and {one.instance.name} would both listen at port {port} of host '{one.host.name}'"
    yield Fault(f"role '{mine.name}'", wrong, "Let fewer instances run, or name more hosts for the role")


def _headers(role: Role) -> set[str]:
    """The host headers of a role whose sites all have one."""
    found = {binding.host_header.lower() for site in role.sites for binding in site.bindings}
    return set() if "" in found else found
