"""What can be done with versions that are on the hosts already: go back, exchange the slots, forget one, unlock."""

from collections.abc import Mapping

from cloudservice.errors import Fault, ServiceError
from publisher import known
from publisher.agent.values import SLOTS, Entry, State
from publisher.known import Known
from publisher.walk import Change

_OTHERWISE = "Publish the version that you want; what a swap brought goes back by another swap"


def back(there: Mapping[str, Known], slot: str) -> dict[str, Change]:
    """Each host goes back to what its slot ran before; ServiceError if that is not the same version everywhere."""
    before = {name: one.state.in_slot(slot).previous[:1] for name, one in there.items()}
    faults = [
        Fault(f"host '{name}'", f"its {slot} has run nothing before", _OTHERWISE)
        for name, entries in before.items()
        if not entries
    ]
    if faults:
        raise ServiceError(*faults)
    _must_agree({name: entries[0] for name, entries in before.items()})
    return {name: Change(one.state, _back(one.state, slot)) for name, one in there.items()}


def exchange(there: Mapping[str, Known]) -> dict[str, Change]:
    """Each host exchanges its slots; those that a swap has left behind, when it was interrupted, follow it.

    ServiceError where staging runs nothing.
    """
    slots = known.agreed(there)
    is_interrupted = any(one.state.slots != slots for one in there.values())
    empty = [] if is_interrupted else [name for name, one in there.items() if one.entry(SLOTS[1]) is None]
    if empty:
        remedy = "Publish a version with --slot staging first"
        raise ServiceError(*(Fault(f"host '{name}'", "its staging runs nothing", remedy) for name in empty))
    others = dict(zip(SLOTS, (slots[SLOTS[1]], slots[SLOTS[0]]), strict=True))
    before, after = (others, slots) if is_interrupted else (slots, others)
    swaps = max(one.state.swaps for one in there.values()) + 1
    return {
        name: Change(
            one.state._replace(slots=before, awaited=SLOTS[:1]),
            one.state._replace(slots=after, swaps=swaps, awaited=SLOTS[:1]),
        )
        for name, one in there.items()
    }


def retired(there: Mapping[str, Known], given: str) -> str:
    """The version that a name, or its beginning, means; ServiceError if it runs on a host, or none has it."""
    kept = sorted(known.versions(there.values()))
    meant = [version for version in kept if version.startswith(given)]
    if len(meant) != 1:
        wrong = f"{'several versions begin' if meant else 'no host has a version that begins'} with '{given}'"
        raise ServiceError(Fault("retire", wrong, f"There are {', '.join(kept) or 'none'}"))
    faults = [
        Fault(f"host '{name}'", f"version {meant[0]} runs in {slot}", "Publish another one first, or go back")
        for name, one in there.items()
        for slot in SLOTS
        if (entry := one.entry(slot)) and entry.version == meant[0]
    ]
    if faults:
        raise ServiceError(*faults)
    return meant[0]


def _back(state: State, slot: str) -> State:
    letter = state.slots[slot]
    now = state.deployments[letter]
    changed = now._replace(current=now.previous[0], previous=now.previous[1:], undone=now.current)
    return state._replace(deployments={**state.deployments, letter: changed}, awaited=(slot,))


def _must_agree(before: Mapping[str, Entry]) -> None:
    """Every command brings something to every host, so that all of them go back from the same, and to the same."""
    if len({entry.token for entry in before.values()}) > 1:
        told = "; ".join(f"{name}: {entry.version} of {entry.when}" for name, entry in before.items())
        wrong = f"the hosts have run different things before ({told})"
        raise ServiceError(Fault("rollback", wrong, "Publish the bundle of the version that you want"))
