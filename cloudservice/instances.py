"""From a service to its instances, and to the role environment document that each of them reads."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cloudservice.service import LocalStorage, Role, Service

DIAGNOSTIC_STORE = "DiagnosticStore"
_DIAGNOSTICS = LocalStorage(DIAGNOSTIC_STORE, 4096, clean_on_role_recycle=False)
"""The packager of the SDK gave this store to every role that did not declare it."""
FAULT_DOMAINS = 2
"""The fabric spreads instances over two fault domains."""


def stores(role: Role) -> tuple[LocalStorage, ...]:
    """The local stores of a role, the one for diagnostics always among them."""
    declared = {store.name for store in role.local_storage}
    return role.local_storage if DIAGNOSTIC_STORE in declared else (*role.local_storage, _DIAGNOSTICS)


class Instance(NamedTuple):
    """One running copy of a role."""

    role: str
    number: int
    update_domain: int
    fault_domain: int

    @property
    def name(self) -> str:
        """The fabric's name: `web_IN_0`."""
        return f"{self.role}_IN_{self.number}"


def role_of(instance: str) -> str:
    """The role whose instance has this name; empty if it is no name of one."""
    return instance.rpartition("_IN_")[0]


class Address(NamedTuple):
    """Where an endpoint of one instance listens."""

    protocol: str
    address: str
    port: int


class LocalResource(NamedTuple):
    """A local store of one instance: absolute path and size in MB."""

    path: str
    size_in_mb: int


class Deployment(NamedTuple):
    """Everything that is decided when a service is deployed, by instance name and then by endpoint or store."""

    id: str
    emulated: bool
    instances: tuple[Instance, ...]
    endpoints: Mapping[str, Mapping[str, Address]]
    local_resources: Mapping[str, Mapping[str, LocalResource]]


def instances(service: Service, roles: Iterable[str]) -> tuple[Instance, ...]:
    """The instances of the named roles, spread over the update domains by number."""
    return tuple(
        Instance(role.name, number, number % service.update_domains, number % FAULT_DOMAINS)
        for role in service.roles
        if role.name in set(roles)
        for number in range(service.configured[role.name].instances)
    )


def role_environment(service: Service, deployment: Deployment, current: Instance) -> dict[str, Any]:
    """The ROLE_ENVIRONMENT document of one instance, ready for JSON."""
    roles: dict[str, dict[str, list[dict[str, Any]]]] = {}
    there = {instance.role for instance in deployment.instances}
    forbidden = {role: _forbidden(service, current.role, role) for role in there}
    for instance in deployment.instances:
        seen = _seen(deployment, instance)
        for name in forbidden[instance.role]:
            seen["endpoints"].pop(name, None)
        roles.setdefault(instance.role, {"instances": []})["instances"].append(seen)
    stores = deployment.local_resources[current.name]
    here = _seen(deployment, current)
    return {
        "deployment": {"id": deployment.id, "emulated": deployment.emulated},
        "current": {
            **here,
            "role": current.role,
            "settings": dict(service.configured[current.role].settings),
            "local_resources": {name: store._asdict() for name, store in stores.items()},
        },
        "roles": roles,
    }


def _forbidden(service: Service, source: str, role: str) -> set[str]:
    """The endpoints of a role to which the traffic rules let others send, and not the role `source`."""
    ruled: set[str] = set()
    allowed: set[str] = set()
    for rule in service.traffic_rules:
        names = {endpoint for owner, endpoint in rule.destinations if owner == role}
        ruled |= names
        if rule.sources is None or source in rule.sources:
            allowed |= names
    return ruled - allowed


def _seen(deployment: Deployment, instance: Instance) -> dict[str, Any]:
    """What every role may know of an instance."""
    endpoints = deployment.endpoints[instance.name]
    return {
        "id": instance.name,
        "update_domain": instance.update_domain,
        "fault_domain": instance.fault_domain,
        "endpoints": {name: address._asdict() for name, address in endpoints.items()},
    }
