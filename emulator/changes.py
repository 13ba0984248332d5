"""What can change while a service runs; the walk over the update domains makes every change."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from cloudservice.errors import Fault
from cloudservice.failure import OnFailure
from cloudservice.files import shown
from cloudservice.service import RoleConfiguration
from cloudservice.tells import Tell
from emulator import walk, watch
from emulator.fabric import Fabric, Work
from emulator.member import Member
from emulator.run import Run
from emulator.wanted import Wanted

MOST_INSTANCES = 1000
"""Of one role, as in a configuration file."""
_NEEDS = {"requirements.txt", "pyproject.toml", "uv.lock", "pylock.toml"}


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
            return await walk.walk(self._fabric, self._fabric.wanted.each(lambda run: _scaled(run, counts)), {}, tell)

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
            return await walk.walk(self._fabric, self._fabric.wanted, dict.fromkeys(chosen, why), tell)

    async def configure(self, configured: Mapping[str, RoleConfiguration], tell: Tell) -> tuple[Fault, ...]:
        """Apply a changed configuration: instance counts and settings, one update domain at a time.

        A role that was scaled keeps its number until the file gives another one.
        """
        async with self._one:
            wanted = self._fabric.wanted.each(lambda run: self._with_file(run, configured))
            self._written = configured
            there = {instance.name for instance in wanted.instances}
            stale = {
                member.name: "its settings have changed"
                for member in self._fabric.members
                if member.name in there and self._has_to_recycle(member, wanted.of(member.instance))
            }
            return await walk.walk(self._fabric, wanted, stale, tell)

    async def upgrade(self, wanted: Run, on_failure: OnFailure, tell: Tell) -> tuple[Fault, ...]:
        """Bring every instance to another version of the service, one update domain at a time; returns what failed.

        If a domain does not come up the walk ends, and `on_failure` says what goes back to the version before.
        """
        fabric = self._fabric
        async with self._one:
            before = await self._from_copy(tell)
            written = wanted.service.configured
            new = Wanted(self._as_started(self._configured(wanted, written, fabric.run)))
            turns = walk.turns(fabric, new)
            faults = await walk.walk(fabric, new, dict.fromkeys(turns, "it was upgraded"), tell)
            if not faults:
                self._note_upgrade(written)
                await fabric.close_others()
                return ()
            failed = turns[faults[0].where]
            stay = [one for one in fabric.members if one.run is new.run and turns[one.name] != failed]
            if on_failure == "rollback" or not stay:
                return (*faults, *await self._roll_back(faults[0].where, before, tell))
            mixed = _mixed(new.run, before, fabric.members, stay, turns)
            not_back = await self._stop_at(faults[0].where, mixed, tell)
            self._note_upgrade(written)
            await self._from_copy(tell)
            return (*faults, *not_back)

    async def _from_copy(self, tell: Tell) -> Wanted:
        """What is wanted, but from a copy of its sources: so every instance starts from now on."""
        fabric = self._fabric
        kept = await fabric.kept
        if kept is None:
            tell("there is no copy of the sources that run now: going back would run them as they are")
        else:
            now, copy = fabric.run, fabric.run._replace(sources=kept.sources, sites=kept.sites)
            fabric.wanted = fabric.wanted.each(lambda run: copy if run is now else run)
        there = {instance.name for instance in fabric.wanted.instances}
        for member in fabric.members:
            if member.name in there:
                member.run = fabric.wanted.of(member.instance)
        return fabric.wanted

    def _note_upgrade(self, written: Mapping[str, RoleConfiguration]) -> None:
        """Note what the configuration file of the version says that is wanted now, and keep a copy of that version."""
        self._written = written
        self._fabric.keep_version()

    async def _roll_back(self, failed: str, before: Wanted, tell: Tell) -> tuple[Fault, ...]:
        """Bring the version before back everywhere; returns what does not come up."""
        upgraded = [one.name for one in self._fabric.members if one.run is self._fabric.run]
        tell(f"{failed} does not come up, so the version before comes back on {', '.join(upgraded)}")
        faults = await walk.walk(self._fabric, before, dict.fromkeys(upgraded, "the upgrade was rolled back"), tell)
        await self._fabric.close_others()
        tell("the version before runs, from a copy of its sources; mend them, then upgrade again")
        return faults

    async def _stop_at(self, failed: str, mixed: Wanted, tell: Tell) -> tuple[Fault, ...]:
        """Bring the version before back where it is to stay; returns what does not come up."""
        fabric = self._fabric
        back = [one.name for one in fabric.members if one.run is not mixed.of(one.instance)]
        tell(f"{failed} does not come up, so the upgrade stops, and its update domain goes back")
        faults = await walk.walk(fabric, mixed, dict.fromkeys(back, "the upgrade was stopped"), tell)
        await fabric.close_others()
        new = [one.name for one in fabric.members if one.run is mixed.run]
        old = [one.name for one in fabric.members if one.run is not mixed.run]
        others = f", on {', '.join(old)} what ran there before" if old else ""
        tell(f"on {', '.join(new)} the new version runs{others}; mend the new one, then upgrade again")
        return faults

    def _unknown_roles(self, names: Iterable[str]) -> list[Fault]:
        there = self._fabric.wanted.roles
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

    def _configured(self, run: Run, configured: Mapping[str, RoleConfiguration], now: Run) -> Run:
        """A run with what a configuration file says, but for roles that were scaled since and that it leaves alone."""
        scaled, new = now.service.configured, dict(run.service.configured)
        for name, usual in run.service.configured.items():
            to = configured.get(name, usual)
            is_same = name in self._written and to.instances == self._written[name].instances
            new[name] = to._replace(instances=scaled[name].instances) if is_same and name in scaled else to
        return _with(run, new)

    def _with_file(self, run: Run, configured: Mapping[str, RoleConfiguration]) -> Run:
        """A version that runs with what a changed file says.

        The file is that of the version which is wanted; another one gets the values that it knows, and no others.
        """
        new = self._configured(run, configured, run)
        if run is self._fabric.run:
            return new
        known = run.service.configured
        return _with(run, {name: _known_to(known[name], to) for name, to in new.service.configured.items()})

    def _has_to_recycle(self, member: Member, of_member: Run) -> bool:
        role = member.instance.role
        has, wanted = member.run.service.configured[role], of_member.service.configured[role]
        if has.thumbprints != wanted.thumbprints:
            return True  # as in the cloud: other certificates always take an instance offline
        return self._fabric.run.recycles_on_change and has.settings != wanted.settings

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


def _with(run: Run, configured: Mapping[str, RoleConfiguration]) -> Run:
    return run._replace(service=run.service._replace(configured=configured))


def _scaled(run: Run, counts: Mapping[str, int]) -> Run:
    """A run with other numbers of instances."""
    configured = run.service.configured.items()
    return _with(run, {name: of._replace(instances=counts.get(name, of.instances)) for name, of in configured})


def _known_to(known: RoleConfiguration, to: RoleConfiguration) -> RoleConfiguration:
    """What a configuration says of the settings and certificates that a role knows."""
    return to._replace(
        settings={name: to.settings.get(name, value) for name, value in known.settings.items()},
        thumbprints={name: to.thumbprints.get(name, value) for name, value in known.thumbprints.items()},
    )


def _mixed(
    new: Run, before: Wanted, there: Iterable[Member], stay: Collection[Member], turns: Mapping[str, int]
) -> Wanted:
    """The new version where it is to `stay`, and elsewhere what was wanted before."""
    back = [member for member in there if member not in stay]
    return Wanted(
        new,
        {**{member.name: before.of(member.instance) for member in back}, **{member.name: new for member in stay}},
        {turns[member.name]: before.of(member.instance) for member in back},
    )
