"""What each host is told to run: paths, environments, documents, sites, ports. Pure."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cloudservice import checks, xpath
from cloudservice.errors import Fault, ServiceError
from cloudservice.instances import DIAGNOSTIC_STORE, Address, Deployment, LocalResource, role_environment, stores
from cloudservice.plain import to_plain
from cloudservice.service import Variable, Virtual
from publisher import placement
from publisher.agent.values import (
    SLOTS,
    Below,
    Binding,
    Certificate,
    Command,
    Instance,
    Listening,
    Question,
    Setup,
    Site,
    Slot,
    Store,
)
from publisher.hosts import Host, Hosts
from publisher.placement import Placed
from publisher.published import Published

_LONGEST_PATH = 240
"""Characters of a path that every program of Windows can open are 259; folders are laid under a longer name first."""


class Plan(NamedTuple):
    """A service on its hosts: the instances on each, and where they listen in each slot."""

    published: Published
    hosts: Hosts
    placed: tuple[Placed, ...]
    addresses: Mapping[str, Mapping[str, Mapping[str, Address]]]

    def on(self, host: Host) -> list[Placed]:
        """The instances of a host."""
        return [one for one in self.placed if one.host.name == host.name]


def plan(published: Published, hosts: Hosts) -> Plan:
    """Place everything; ServiceError with all that does not fit."""
    service = published.service
    placed = placement.place(service, list(published.files), hosts)
    found = {slot: placement.addresses(service, placed, hosts, slot) for slot in SLOTS}
    made = Plan(published, hosts, placed, found)
    faults = [*placement.check_addresses(service, placed, hosts), *_too_long(made)]
    if faults:
        raise ServiceError(*faults)
    return made


def setup(made: Plan, host: Host, letter: str) -> Setup:
    """What a host is told for one of its deployments."""
    service, hosts = made.published.service, made.hosts
    slots = {}
    for slot in SLOTS:
        there = tuple(_Laid(made, one, letter, slot).instance() for one in made.on(host))
        slots[slot] = Slot(there, placement.rules(service, made.placed, host, made.addresses[slot]))
    return Setup(
        service.name,
        service.configuration,
        slots,
        tuple(certificates(made, host)),
        hosts.grace,
        hosts.up_within,
        hosts.steady,
        made.published.recycles_on_change,
    )


def render(value: Setup) -> tuple[str, str]:
    """A setup as text, always the same for the same, and its SHA-256."""
    text = json.dumps(to_plain(value), sort_keys=True)
    return text, hashlib.sha256(text.encode()).hexdigest()


def root(host: Host, service: str, letter: str) -> str:
    """The folder of a deployment on a host; see publisher.agent.place."""
    return rf"{host.root}\{service}\{letter}"


class _Laid:
    """An instance in a deployment and a slot, with its paths on the host."""

    def __init__(self, made: Plan, placed: Placed, letter: str, slot: str) -> None:
        self._made, self._one = made, placed.instance
        self._service = made.published.service
        self._role = self._service.role(placed.instance.role)
        self._deployment = f"deployment-{letter}"
        self._folder = root(placed.host, self._service.name, letter)
        self._root = rf"{self._folder}\{made.published.version}\{placed.instance.name}"
        self._addresses = made.addresses[slot]
        self._document = self._role_environment()

    def instance(self) -> Instance:
        """All that its start needs."""
        role, own = self._role, self._addresses[self._one.name]
        environ = self._environ()
        return Instance(
            self._one.name,
            role.name,
            role.kind,
            self._one.update_domain,
            self._root,
            environ,
            environ["ROLE_ENVIRONMENT"],
            self._document,
            tuple(Store(self._store(one.name), one.clean_on_role_recycle) for one in stores(role)),
            environ["TEMP"],
            rf"{self._store(DIAGNOSTIC_STORE)}\LogFiles",
            tuple(
                Command(
                    one.command_line, one.execution_context == "elevated", self._values(one.environment), one.task_type
                )
                for one in role.tasks
            ),
            self._program(),
            tuple(self._sites()),
            {name: Listening(*at) for name, at in own.items()},
            tuple(self._questions()),
        )

    def _program(self) -> Command | None:
        role = self._role
        if role.kind == "web" or not role.entry_point:
            return None
        return Command(role.entry_point, role.execution_context == "elevated", self._values(role.environment))

    def _environ(self) -> dict[str, str]:
        """What every process of the instance sees, as in the cloud."""
        name, deployment = self._one.name, self._deployment
        return {
            "EMULATED": "false",
            "RoleRoot": self._root,
            "RoleName": self._role.name,
            "RoleInstanceID": name,
            "RoleInstanceId": name,
            "RoleDeploymentID": deployment,
            "RoleDeploymentId": deployment,
            "RdRoleId": f"{deployment}.{name}",
            DIAGNOSTIC_STORE: self._store(DIAGNOSTIC_STORE),
            "ROLE_ENVIRONMENT": rf"{self._folder}\instances\{name}\role-environment.json",
            **dict.fromkeys(("TEMP", "TMP"), rf"{self._folder}\Resources\temp\{name}"),
        }

    def _role_environment(self) -> dict[str, Any]:
        there = tuple(one.instance for one in self._made.placed)
        resources = {one.name: LocalResource(self._store(one.name), one.size_in_mb) for one in stores(self._role)}
        deployed = Deployment(self._deployment, False, there, self._addresses, {self._one.name: resources})
        return role_environment(self._service, deployed, self._one)

    def _store(self, name: str) -> str:
        return rf"{self._folder}\Resources\Directory\{self._deployment}.{self._one.name}.{name}"

    def _values(self, variables: Sequence[Variable]) -> dict[str, str]:
        return {
            one.name: one.value or "" if one.xpath is None else xpath.evaluate(one.xpath, self._document)
            for one in variables
        }

    def _sites(self) -> Iterator[Site]:
        directories = self._made.published.directories[self._role.name]
        own = self._addresses[self._one.name]
        thumbprints = self._service.configured[self._role.name].thumbprints
        certificates = {one.name: thumbprints.get(one.certificate or "", "") for one in self._role.endpoints}
        places = {one.name: one.store_name for one in self._role.certificates}
        there = {one.name: places.get(one.certificate or "", "My") for one in self._role.endpoints}
        for site in self._role.sites:
            bindings = tuple(
                Binding(*own[one.endpoint][::2], one.host_header, certificates[one.endpoint], there[one.endpoint])
                for one in site.bindings
            )
            below = tuple(self._below((site.name,), site.below, directories))
            yield Site(site.name, rf"{self._root}\{directories[(site.name,)]}", bindings, below)

    def _below(
        self, above: tuple[str, ...], ones: Sequence[Virtual], directories: Mapping[tuple[str, ...], str]
    ) -> Iterator[Below]:
        for one in ones:
            names = (*above, one.name)
            path = "".join(f"/{name}" for name in names[1:])
            yield Below(path, rf"{self._root}\{directories[names]}", one.is_application)
            yield from self._below(names, one.below, directories)

    def _questions(self) -> Iterator[Question]:
        """What the load balancer would ask."""
        for one in checks.plan(self._service, self._role, self._addresses[self._one.name]):
            probe = one.probe
            yield Question(one.endpoint, probe.protocol, probe.path or "/", one.address.port, float(probe.timeout))


def certificates(made: Plan, host: Host) -> list[Certificate]:
    """What the roles of a host want in the stores of Windows, as far as a thumbprint says which it is."""
    service, roles = made.published.service, {one.instance.role for one in made.on(host)}
    wanted = [role for role in service.roles if role.name in roles]
    return [
        Certificate(one.name, thumbprints[one.name], one.store_location, one.store_name)
        for role in wanted
        for thumbprints in [service.configured[role.name].thumbprints]
        for one in role.certificates
        if thumbprints.get(one.name)
    ]


def _too_long(made: Plan) -> Iterator[Fault]:
    """Files that would lie too deep, the first of each instance."""
    for one in made.placed:
        base = len(root(one.host, made.published.service.name, "a")) + len(
            f"\\{made.published.version}\\{one.instance.name}"
        )
        paths = (path for path in made.published.files[one.instance.role] if base + len(path) > _LONGEST_PATH)
        longest = max(paths, key=len, default=None)
        if longest:
            wrong = f"{longest} would have {base + len(longest)} characters on host '{one.host.name}'"
            remedy = f"Give the host a shorter `root`, or the file a shorter path: {_LONGEST_PATH} is the most"
            yield Fault(f"role '{one.instance.role}'", wrong, remedy)
