"""The walk over the update domains of a service, which makes it what is wanted."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from cloudservice.errors import Fault
from cloudservice.instances import Instance
from cloudservice.tells import Tell
from emulator.fabric import Fabric
from emulator.member import Member
from emulator.wanted import Wanted

UP_WITHIN = 300.0
"""Seconds in which an instance must come up while the fabric walks its update domains."""


def turns(fabric: Fabric, wanted: Wanted) -> dict[str, int]:
    """The update domain with which the turn of each instance comes; who is there has the one that it has now."""
    return {one.name: one.update_domain for one in (*wanted.instances, *(m.instance for m in fabric.members))}


async def walk(fabric: Fabric, wanted: Wanted, stale: Mapping[str, str], tell: Tell) -> tuple[Fault, ...]:
    """Make the service what is wanted, one update domain at a time; returns what has not come up.

    `stale` names the instances that have to recycle, and why. Nobody else notices more than a new role environment.
    """
    wished = {instance.name: instance for instance in wanted.instances}
    turn_of = turns(fabric, wanted)
    for domain in sorted(set(turn_of.values())):
        if fabric.is_stopping:
            break
        here = {name for name, turn in turn_of.items() if turn == domain}
        behind = [one for one in fabric.members if one.name in stale and turn_of[one.name] > domain]
        for member in fabric.members:
            if member.name in wished and member not in behind:
                member.run = wanted.of(wished[member.name])
                if member.name in stale:
                    member.instance = wished[member.name]
        await fabric.want(wanted, behind)
        faults = await _take_turn(fabric, here, stale, tell)
        if faults:
            return faults
    return ()


async def _take_turn(fabric: Fabric, here: Collection[str], stale: Mapping[str, str], tell: Tell) -> tuple[Fault, ...]:
    """Change the instances of one update domain as they are wanted by now; returns what has not come up."""
    for member in fabric.members:
        fabric.write_document(member)
    there = [member for member in fabric.members if member.name in here]
    recycled = [member for member in there if member.name in stale and not member.is_leaving]
    for member in recycled:
        member.recycle(stale[member.name])
    added = _add(fabric, [one for one in fabric.deployed.instances if one.name in here])
    gone = [member for member in there if member.is_leaving]
    await asyncio.gather(*(fabric.remove(member) for member in gone))
    for member in gone:
        tell(f"{member.name} is gone")
    return await _come_up([*recycled, *added], tell)


def _add(fabric: Fabric, wished: Sequence[Instance]) -> list[Member]:
    known = {member.name for member in fabric.members}
    return [fabric.add(instance) for instance in wished if instance.name not in known]


async def _come_up(started: Sequence[Member], tell: Tell) -> tuple[Fault, ...]:
    """Wait until instances are up; returns which are not, and why."""
    faults = []
    for member in started:
        try:
            async with asyncio.timeout(UP_WITHIN):
                why = await member.come_up()
        except TimeoutError:
            why = f"it is not up after {UP_WITHIN:g} s"
        if why is None:
            tell(f"{member.name} is Ready")
        else:
            first, *printed = why.split("\n")
            for line in printed:
                tell(f"{member.name} | {line}")
            faults.append(Fault(member.name, f"it does not come up: {first}", "See `invoke logs`, and mend that"))
    return tuple(faults)
