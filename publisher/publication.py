"""A version of a service comes to its hosts: what they lack, then one update domain after the other."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cloudservice.errors import Fault, ServiceError
from cloudservice.failure import OnFailure
from cloudservice.tells import Report, Tell
from publisher import certificates, known, setup
from publisher.agent.values import Deployment, Entry, Held
from publisher.fleet import Fleet
from publisher.hosts import Host
from publisher.known import Known
from publisher.passwords import Passwords
from publisher.published import Published
from publisher.session import Session
from publisher.setup import Plan
from publisher.upload import Delivery, Upload
from publisher.walk import Change, Walk

KEPT = 3
"""Versions that stay on a host, for each of its deployments."""
_MOST_ENTRIES = 10
_ENVIRONMENT = 3
"""How many times a role's own size it needs when its packages are installed."""


class Step(NamedTuple):
    """What one host gets, against what it runs now; of the parts that it lacks, how many bytes it has, and of all."""

    host: Host
    letter: str
    runs: Entry | None
    instances: Mapping[str, Mapping[str, str]]
    """The files of the instances whose folders it lacks."""
    missing: Mapping[str, int]
    size: int
    change: Change
    is_new: bool
    """Whether it does not run this already."""

    def unchanged(self, slot: str) -> "Step":
        """The same, where the host goes on with what it has."""
        before = self.change.before
        return self._replace(change=self.change._replace(after=before._replace(awaited=(slot,))))


class Publication:
    """A plan on hosts that are locked and known, for a slot."""

    def __init__(self, fleet: Fleet, plan: Plan, slot: str, held: Held) -> None:
        self.slot, self.version = slot, plan.published.version
        self._fleet, self._plan, self._held = fleet, plan, held
        self.steps: dict[str, Step] = {}

    def prepare(self, there: Mapping[str, Known], only_configuration: bool = False) -> None:
        """Find out what each host lacks; ServiceError with all that keeps hosts from getting it."""
        faults: list[Fault] = []
        self.steps = {host.name: self._step(host, there[host.name]) for host in self._fleet.hosts}
        if not any(step.is_new for step in self.steps.values()):
            # The same runs everywhere: it is seen to, and the history of versions stays as it is.
            self.steps = {name: step.unchanged(self.slot) for name, step in self.steps.items()}
        for name, step in self.steps.items():
            laid = sum(self._size(files) for files in step.instances.values())
            faults += known.faults(name, there[name], step.size + laid * _ENVIRONMENT)
            faults += self._other_version(step.host, there[name]) if only_configuration else ()
        if faults:
            raise ServiceError(*faults)

    def instances(self, host: Host) -> Iterator[str]:
        """The names of the instances that a host runs then."""
        yield from (one.instance.name for one in self._plan.on(host))

    def certify(self, passwords: Passwords) -> None:
        """Install the certificates that hosts lack."""
        certificates.install(self._fleet, self._plan, passwords)

    def upload(self, report: Report) -> None:
        """Send hosts what they lack, and let them unpack and check it; little goes with the switch."""
        large = [name for name, step in self.steps.items() if step.instances and not self._delivery(step).is_small]

        def send(session: Session) -> None:
            step = self.steps[session.host.name]
            content = self._plan.published
            Upload(session, content.sizes, content.read, step.missing, report).run()
            session.ask("lay", "unpacking", **_laying(step, self._plan.published))
            self.steps[session.host.name] = step._replace(instances={})

        self._fleet.each(send, large)

    def switch(self, on_failure: OnFailure, tell: Tell) -> None:
        """Walk the update domains; ServiceError if one does not come up, when what ran before is back."""
        deliveries = {name: self._delivery(step) for name, step in self.steps.items() if step.instances}
        changes = {name: step.change for name, step in self.steps.items()}
        Walk(self._fleet, self._held.token, changes, tell, deliveries).go(on_failure)

    def _delivery(self, step: Step) -> Delivery:
        return Delivery(self._plan.published, step.missing, _laying(step, self._plan.published))

    def _step(self, host: Host, there: Known) -> Step:
        published, letter = self._plan.published, there.state.slots[self.slot]
        text, sha256 = setup.render(setup.setup(self._plan, host, letter))
        entry = Entry(published.version, sha256, self._held.who, self._held.since, self._held.token)
        instances = {
            one.instance.name: published.files[one.instance.role]
            for one in self._plan.on(host)
            if f"{letter}/{published.version}/{one.instance.name}" not in there.laid
        }
        needed = {sha for files in instances.values() for sha in files.values()}
        missing = {sha: count for sha, count in there.missing.items() if sha in needed}
        size = sum(published.sizes[sha] - count for sha, count in missing.items())
        now, before = there.state.deployments[letter].current, there.settled(self.slot)
        after = before._replace(
            deployments={**before.deployments, letter: followed(before.deployments[letter], entry)},
            awaited=(self.slot,),
        )
        change = Change(before, after, ((letter, text),))
        is_new = now is None or now[:2] != entry[:2] or not there.is_settled[letter]
        return Step(host, letter, now, instances, missing, size, change, is_new)

    def _size(self, files: Mapping[str, str]) -> int:
        return sum(self._plan.published.sizes[sha256] for sha256 in files.values())

    def _other_version(self, host: Host, there: Known) -> Iterator[Fault]:
        entry, version = there.entry(self.slot), self._plan.published.version
        if entry is None or entry.version != version:
            runs = f"runs version {entry.version}" if entry else "runs nothing"
            wrong = f"its {self.slot} {runs}, and the bundle is {version}"
            yield Fault(
                f"host '{host.name}'", wrong, "Name the bundle that runs, or publish without --configuration-only"
            )


def asked(plan: Plan, host: Host, slot: str) -> dict[str, Any]:
    """What a host is asked about: the content that its instances need, with sizes, and where its sites listen."""
    published, here = plan.published, [one.instance for one in plan.on(host)]
    return {
        "parts": {sha256: published.sizes[sha256] for one in here for sha256 in published.files[one.role].values()},
        "bindings": [
            f"*:{plan.addresses[slot][one.name][binding.endpoint].port}:{binding.host_header}"
            for one in here
            for site in published.service.role(one.role).sites
            for binding in site.bindings
        ],
    }


def _laying(step: Step, published: Published) -> dict[str, Any]:
    return {"letter": step.letter, "version": published.version, "instances": step.instances}


def followed(now: Deployment, entry: Entry) -> Deployment:
    """A deployment in which an entry comes after what is current; as many versions are kept as may be."""
    kept: list[Entry] = []
    seen = {entry.version}
    for one in (now.current, *now.previous):
        if one is None:
            continue
        seen.add(one.version)
        if len(seen) > KEPT or len(kept) == _MOST_ENTRIES:
            break
        kept.append(one)
    return now._replace(current=entry, previous=tuple(kept), undone=None)
