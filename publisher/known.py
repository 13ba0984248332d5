"""What hosts have told of themselves when they were looked at."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cloudservice.errors import Fault
from cloudservice.plain import from_plain
from publisher.agent.values import Entry, Held, State

_SKEW = 300.0
"""Seconds that two clocks may differ, as for Kerberos."""
_ROOM = 200 * 1024 * 1024
"""Bytes that stay free beside what is published."""


class Known(NamedTuple):
    """One host: its facts, what it is to run, and which parts it lacks, with how many bytes of each it has."""

    facts: Mapping[str, Any]
    state: State
    missing: Mapping[str, int]
    laid: frozenset[str]
    instances: Mapping[str, Sequence[str]]
    """The names of the instances that are to run, by slot."""
    is_settled: Mapping[str, bool]
    """Whether what each deployment runs was brought by a command that came to its end, and well."""
    taken: Mapping[str, str]
    """The bindings that were asked for and that a site has which is not ours, with its name."""
    held: Held | None
    skew: float
    """Seconds that its clock is ahead."""

    def settled(self, slot: str) -> State:
        """What the host is to run, without what an interrupted command has left in a slot: that is gone back from."""
        letter = self.state.slots[slot]
        now = self.state.deployments[letter]
        if self.is_settled[letter]:
            return self.state
        before = now._replace(current=now.previous[0] if now.previous else None, previous=now.previous[1:])
        return self.state._replace(deployments={**self.state.deployments, letter: before})

    def entry(self, slot: str) -> Entry | None:
        """What runs in a slot."""
        return self.state.in_slot(slot).current


def of(answer: Mapping[str, Any]) -> Known:
    """What a host has answered to a look, just now."""
    held = answer.get("held")
    facts = answer["facts"]
    return Known(
        facts,
        from_plain(State, answer["state"]),
        answer["missing"],
        frozenset(answer["laid"]),
        answer["instances"],
        answer["is_settled"],
        answer["taken"],
        from_plain(Held, held) if held else None,
        float(facts["clock"]) - time.time(),
    )


def faults(host: str, known: Known, needed: int) -> Iterator[Fault]:
    """What keeps a host from getting so many bytes of a version."""
    where = f"host '{host}'"
    if not known.facts["is_administrator"]:
        yield Fault(where, "the account is no administrator there", "Add it to the group Administrators")
    if known.facts["free"] < needed + _ROOM:
        free, wanted = (round(count / 1e6) for count in (known.facts["free"], needed + _ROOM))
        wrong = f"its disk has {free} MB free, and this needs {wanted} MB"
        yield Fault(where, wrong, "Make room there, or retire old versions with `invoke retire VERSION`")
    for binding, site in known.taken.items():
        wrong = f"port {binding.split(':')[1]} belongs to the site '{site}' of its IIS"
        yield Fault(where, wrong, f'Stop it there (appcmd stop site "{site}"), or give the endpoint another port')
    if abs(known.skew) > _SKEW:
        way = "ahead" if known.skew > 0 else "behind"
        yield Fault(where, f"its clock is {abs(known.skew):.0f} s {way}", "Set it: w32tm /resync")


def agreed(known: Mapping[str, Known]) -> Mapping[str, str]:
    """Which deployment each slot has, as the host says whose slots were exchanged most often."""
    newest = max(known.values(), key=lambda one: one.state.swaps)
    return newest.state.slots


def versions(known: Iterable[Known]) -> set[str]:
    """All that is kept anywhere."""
    return {
        entry.version for one in known for deployment in one.state.deployments.values() for entry in deployment.kept
    }
