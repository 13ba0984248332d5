"""What can change while a service runs: one walk over the update domains makes every change."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from cloudservice.errors import Fault
from cloudservice.files import shown
from cloudservice.instances import Instance
from cloudservice.service import RoleConfiguration
from emulator import watch
from emulator.fabric import Fabric, Work
from emulator.member import Member
from emulator.run import Run

MOST_INSTANCES = 1000
"""Of one role, as in a configuration file."""
UP_WITHIN = 300.0
"""Seconds in which an instance must come up while the fabric walks its update domains."""
_NEEDS = {"requirements.txt", "pyproject.toml", "uv.lock", "pylock.toml"}

Tell = Callable[[str], None]
"""Gets a line about the progress of a change."""


class Changes:
    """The changes of one fabric, one at a time."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._written: Mapping[str, RoleConfiguration] = fabric.run.service.configured
        """What the configuration file says, whatever was scaled since."""
        self._one = asyncio.Lock()

    def by_files(self) -> list[Work]:
        """Works that make the changes which edited files ask for."""
        return [self._follow_configuration, *([self._follow_sources] if self._fabric.run.reloads else [])]

    async def _follow_configuration(self) -> None:
        fabric = self._fabric
        await watch.configuration(lambda: (fabric.run.place, fabric.run.configuration), self._apply, self._refuse)

    async def _follow_sources(self) -> None:
        await watch.sources(self._folders, self._reload)

    async def scale(self, counts: Mapping[str, int], tell: Tell) -> tuple[Fault, ...]:
        """Give roles other numbers of instances, for this run; returns what failed."""
        faults = self._unknown_roles(counts)
        faults += [
            Fault("--role", f"'{name}={count}' asks for {count} instances", f"Ask for 1 to {MOST_INSTANCES}")
            for name, count in counts.items()
            if not 1 <= count <= MOST_INSTANCES
        ]
        if faults:
            return tuple(faults)
        async with self._one:
            run = self._fabric.run
            configured = {
                name: of._replace(instances=counts.get(name, of.instances))
                for name, of in run.service.configured.items()
            }
            return await self._walk(run._replace(service=run.service._replace(configured=configured)), {}, tell)

    async def restart(
        self, roles: Collection[str], names: Collection[str], tell: Tell, why: str = "it was asked to restart"
    ) -> tuple[Fault, ...]:
        """Recycle instances, of whole roles or by name, one update domain at a time; returns what failed."""
        async with self._one:
            there = self._fabric.members
            known = [member.name for member in there]
            faults = self._unknown_roles(roles)
            faults += [
                Fault("--instance", f"there is no instance '{name}'", f"Choose from {', '.join(known)}")
                for name in names
                if name not in known
            ]
            if faults:
                return tuple(faults)
            chosen = {one.name for one in there if one.instance.role in roles or one.name in names}
            return await self._walk(self._fabric.run, dict.fromkeys(chosen, why), tell)

    async def configure(self, configured: Mapping[str, RoleConfiguration], tell: Tell) -> tuple[Fault, ...]:
        """Apply a changed configuration: instance counts and settings, one update domain at a time.

        A role that was scaled keeps its number until the file gives another one.
        """
        async with self._one:
            wanted = self._configured(self._fabric.run, configured)
            self._written = configured
            stale = {
                member.name: "its settings have changed"
                for member in self._fabric.members
                if self._has_to_recycle(member, wanted.service.configured[member.instance.role])
            }
            return await self._walk(wanted, stale, tell)

    async def upgrade(self, wanted: Run, tell: Tell) -> tuple[Fault, ...]:
        """Bring every instance to another version of the service, one update domain at a time; returns what failed.

        If a domain does not come up the walk ends, and what has been upgraded goes back to the version before.
        """
        fabric = self._fabric
        async with self._one:
            kept = await fabric.kept
            if kept is None:
                tell("there is no copy of the sources that run now: going back would run them as they are")
            before = fabric.run._replace(sources=kept.sources, sites=kept.sites) if kept else fabric.run
            written = wanted.service.configured
            wanted = self._as_started(self._configured(wanted, written))
            for member in fabric.members:
                member.run = before
            everyone = [member.name for member in fabric.members]
            faults = await self._walk(wanted, dict.fromkeys(everyone, "it was upgraded"), tell)
            if faults:
                upgraded = [member.name for member in fabric.members if member.run is not before]
                tell(f"{faults[0].where} does not come up, so the version before comes back on {', '.join(upgraded)}")
                not_back = await self._walk(before, dict.fromkeys(upgraded, "the upgrade was rolled back"), tell)
                await fabric.close_others()
                tell("the version before runs, from a copy of its sources; mend them, then upgrade again")
                return (*faults, *not_back)
            await fabric.close_others()
            self._written = written
            fabric.keep_version()
            return ()

    def _unknown_roles(self, names: Iterable[str]) -> list[Fault]:
        there = self._fabric.run.roles
        remedy = f"Choose from {', '.join(there)}"
        return [Fault("--role", f"no role '{name}' runs here", remedy) for name in names if name not in there]

    def _as_started(self, run: Run) -> Run:
        """A run with the options with which this emulator was started."""
        now = self._fabric.run
        runtimes = {
            role: runtime._replace(debugger=before.debugger, debug_port=before.debug_port)
            if (before := now.runtimes.get(role))
            else runtime
            for role, runtime in run.runtimes.items()
        }
        return run._replace(
            runtimes=runtimes,
            detached=now.detached,
            grace=now.grace,
            reloads=now.reloads,
            waits_for_debugger=now.waits_for_debugger,
        )

    def _configured(self, run: Run, configured: Mapping[str, RoleConfiguration]) -> Run:
        """A run with what a configuration file says, but for roles that were scaled since and that it leaves alone."""
        now, new = self._fabric.run.service.configured, dict(run.service.configured)
        for name, usual in run.service.configured.items():
            to = configured.get(name, usual)
            is_same = name in self._written and to.instances == self._written[name].instances
            new[name] = to._replace(instances=now[name].instances) if is_same and name in now else to
        return run._replace(service=run.service._replace(configured=new))

    def _has_to_recycle(self, member: Member, wanted: RoleConfiguration) -> bool:
        has = member.run.service.configured[member.instance.role]
        if has.thumbprints != wanted.thumbprints:
            return True  # as in the cloud: other certificates always take an instance offline
        return self._fabric.run.recycles_on_change and has.settings != wanted.settings

    async def _walk(self, wanted: Run, stale: Mapping[str, str], tell: Tell) -> tuple[Fault, ...]:
        """Make the service what is wanted, one update domain at a time; returns what has not come up.

        `stale` names the instances that have to recycle, and why. Nobody else notices more than a new role environment.
        """
        fabric = self._fabric
        await fabric.want(wanted)
        wished = {instance.name: instance for instance in fabric.deployed.instances}
        there = fabric.members
        for member in there:
            if member.name in wished and member.name not in stale:
                member.run = wanted
            fabric.write_document(member)
        domains = {one.update_domain for one in (*wished.values(), *(member.instance for member in there))}
        for domain in sorted(domains):
            if fabric.is_stopping:
                break
            here = [member for member in there if member.instance.update_domain == domain]
            recycled = [member for member in here if member.name in stale and not member.is_leaving]
            for member in recycled:
                member.run, member.instance = wanted, wished[member.name]
                member.recycle(stale[member.name])
            added = self._add([one for one in wished.values() if one.update_domain == domain])
            gone = [member for member in here if member.is_leaving]
            await asyncio.gather(*(fabric.remove(member) for member in gone))
            for member in gone:
                tell(f"{member.name} is gone")
            faults = await _come_up([*recycled, *added], tell)
            if faults:
                return faults
        return ()

    def _add(self, wished: Sequence[Instance]) -> list[Member]:
        known = {member.name for member in self._fabric.members}
        return [self._fabric.add(instance) for instance in wished if instance.name not in known]

    async def _apply(self, configured: Mapping[str, RoleConfiguration]) -> None:
        """Do what an edit of the configuration file asks for."""
        self._fabric.refused = ()
        self._fabric.say(f"{shown(self._fabric.run.configuration)} has changed")
        self._say_all(await self.configure(configured, self._fabric.say))

    def _refuse(self, faults: Sequence[Fault]) -> None:
        """Tell what is wrong with an edit of the configuration file; status tells it until there is a better one."""
        self._fabric.refused = tuple(faults)
        self._say_all(faults)
        self._fabric.say(f"{shown(self._fabric.run.configuration)} is not applied; what it said before stays")

    def _folders(self) -> Mapping[str, Collection[Path]]:
        run = self._fabric.run
        return {role: {run.sources[role], *run.sites[role].values()} for role in run.roles}

    async def _reload(self, roles: Collection[str], paths: Collection[Path]) -> None:
        """Recycle the instances of roles whose files have changed."""
        there = sorted(path for path in paths if path.exists()) or sorted(paths)  # an editor's own files have gone
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        self._fabric.say(f"{shown(there[0])}{more} changed")
        if any(path.name in _NEEDS for path in paths):
            self._fabric.say("what a role needs is installed by `invoke upgrade`, or at the next start")
        self._say_all(await self.restart(roles, (), self._fabric.say, "its files have changed"))

    def _say_all(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            self._fabric.say(str(fault))


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
