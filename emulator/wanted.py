"""What is wanted of a running service: one version of it or, where an upgrade has stopped half way, several."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from cloudservice.instances import Address, Deployment, Instance, instances
from emulator import deployment, ports
from emulator.run import Run

_NONE: Mapping[Any, Run] = MappingProxyType({})


class Wanted(NamedTuple):
    """A run of the service, and other runs for some instances.

    `names` has what these instances run; one that is in neither gets what its update domain has in `domains`.
    """

    run: Run
    names: Mapping[str, Run] = _NONE
    domains: Mapping[int, Run] = _NONE

    @property
    def versions(self) -> list[Run]:
        """Every run of it once, the one of the service first."""
        return list({id(run): run for run in (self.run, *self.names.values(), *self.domains.values())}.values())

    @property
    def roles(self) -> list[str]:
        """The roles that any of the versions runs."""
        return list(dict.fromkeys(role for run in self.versions for role in run.roles))

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The instances in the order of the definition; an instance is there if the version that is its own has it."""
        there: dict[str, Instance] = {}
        for run in self.versions:
            for instance in self.of_version(run):
                there.setdefault(instance.name, instance)
        order = self.roles
        return tuple(sorted(there.values(), key=lambda one: (order.index(one.role), one.number)))

    def of(self, instance: Instance) -> Run:
        """What an instance is to run."""
        return self.names.get(instance.name) or self.domains.get(instance.update_domain, self.run)

    def of_version(self, run: Run) -> list[Instance]:
        """The instances of one of the versions."""
        return [one for one in instances(run.service, run.roles) if self.of(one) is run]

    def each(self, change: Callable[[Run], Run]) -> "Wanted":
        """The same with every version changed."""
        changed = {id(run): change(run) for run in self.versions}
        return Wanted(
            changed[id(self.run)],
            {name: changed[id(run)] for name, run in self.names.items()},
            {domain: changed[id(run)] for domain, run in self.domains.items()},
        )

    def but(self, names: Mapping[str, Run]) -> "Wanted":
        """The same, but that these instances run something else."""
        return self._replace(names={**self.names, **names})


def deploy(wanted: Wanted, before: Deployment) -> Deployment:
    """Each instance with the endpoints and local stores of its own version; what `before` has decided stays."""
    known = before._replace(endpoints=_addresses(wanted, before.endpoints))
    parts = {id(run): deployment.deploy(run, known) for run in wanted.versions}
    there = wanted.instances
    return Deployment(
        before.id,
        before.emulated,
        there,
        {one.name: parts[id(wanted.of(one))].endpoints[one.name] for one in there},
        {one.name: parts[id(wanted.of(one))].local_resources[one.name] for one in there},
    )


def _addresses(wanted: Wanted, before: Mapping[str, Mapping[str, Address]]) -> dict[str, dict[str, Address]]:
    """The addresses that are known, and new ones: they are chosen here for all versions, so that no two meet."""
    free = ports.for_instances()
    known = {name: dict(addresses) for name, addresses in before.items()}
    for one in wanted.instances:
        mine = known.setdefault(one.name, {})
        for endpoint in wanted.of(one).service.role(one.role).endpoints:
            if endpoint.name not in mine:
                mine[endpoint.name] = Address(endpoint.protocol, ports.LOOPBACK, next(free))
    return known
