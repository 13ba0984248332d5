"""The fabric: brings every instance of a run to life, keeps it there, and ends it. One loop owns all state."""

import asyncio
import json
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cloudservice.errors import Fault
from cloudservice.files import shown, write_whole
from cloudservice.instances import Address, Deployment, Instance, role_environment
from cloudservice.service import Endpoint, RoleConfiguration
from emulator import children, deployment, quotas, versions, watch
from emulator.console import Console, report
from emulator.feed import Feed
from emulator.launch import Launch, plan
from emulator.member import Member
from emulator.public import PublicSide
from emulator.run import Run

PATIENCE = 2.0
"""Seconds of the grace that are waited in silence."""
REMINDER = 20.0
"""Seconds between two words about a start that takes long."""
MOST_INSTANCES = 1000
"""Of one role, as in a configuration file."""
UP_WITHIN = 300.0
"""Seconds in which an instance must come up while the fabric walks its update domains."""

_NEEDS = {"requirements.txt", "pyproject.toml", "uv.lock", "pylock.toml"}

Tell = Callable[[str], None]
"""Gets a line about the progress of a change."""


class Fabric:
    """All instances of one run."""

    def __init__(self, run: Run, console: Console, feed: Feed) -> None:
        self.run = run
        """What is wanted now; a member may still run what was wanted before."""
        self.deployed: Deployment = deployment.deploy(run)
        self.started = datetime.now(UTC)
        self.faults: tuple[Fault, ...] = ()
        self.public = PublicSide(self._say)
        self._written: Mapping[str, RoleConfiguration] = run.service.configured
        """What the configuration file says, whatever was scaled since."""
        self._console = console
        self._feed = feed
        self._members: dict[str, Member] = {}
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._changing = asyncio.Lock()
        self._is_up = False
        self._is_over = threading.Event()

    @property
    def members(self) -> list[Member]:
        """The instances in the order of the definition, those that are about to go last."""
        order = {instance.name: number for number, instance in enumerate(self.deployed.instances)}
        return sorted(self._members.values(), key=lambda member: order.get(member.name, len(order)))

    def stop(self) -> None:
        """End every instance, with its grace."""
        self._stopping.set()

    def interrupt(self) -> None:
        """End every instance; asked once more, without grace."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def live(self) -> None:
        """Live until told to stop; on return no process of any instance is left."""
        for role in self.run.roles:  # what can never start is told at once, and not again and again
            first = next(instance for instance in self.deployed.instances if instance.role == role)
            deployment.lay(self.run, self.deployed, first)
            plan(self.run, self.deployed, first)
        children.watch()
        await self.public.open(self.run.service, self.deployed.instances)
        for endpoint in self.public.endpoints:
            self._console.say(f"{endpoint.name} is at {endpoint.url}")
        for instance in self.deployed.instances:
            self._add(instance)
        self._kept = asyncio.create_task(self._keep_version())
        self._kept.add_done_callback(lambda _: self.settled())
        try:
            async with asyncio.TaskGroup() as aside:
                stores = quotas.follow(lambda: self.deployed.local_resources, self._tell_quota)
                works = [self._remind(), self._follow_configuration(), stores]
                if self.run.reloads:
                    works.append(watch.sources(self._folders, self._reload))
                tasks = [aside.create_task(work) for work in works]
                await self._stopping.wait()
                for task in tasks:
                    task.cancel()
        finally:
            self._is_over.set()
            await self._end_all()
            await self.public.close()

    async def scale(self, counts: dict[str, int], tell: Tell) -> tuple[Fault, ...]:
        """Give roles other numbers of instances, for this run; returns what failed."""
        faults = self._unknown_roles(counts)
        faults += [
            Fault("--role", f"'{name}={count}' asks for {count} instances", f"Ask for 1 to {MOST_INSTANCES}")
            for name, count in counts.items()
            if not 1 <= count <= MOST_INSTANCES
        ]
        if faults:
            return tuple(faults)
        async with self._changing:
            service = self.run.service
            configured = {
                name: of._replace(instances=counts.get(name, of.instances)) for name, of in service.configured.items()
            }
            return await self._walk(replace(self.run, service=service._replace(configured=configured)), {}, tell)

    async def restart(self, roles: Collection[str], names: Collection[str], tell: Tell) -> tuple[Fault, ...]:
        """Recycle instances, of whole roles or by name, one update domain at a time; returns what failed."""
        async with self._changing:
            faults = self._unknown_roles(roles)
            faults += [
                Fault("--instance", f"there is no instance '{name}'", f"Choose from {', '.join(self._members)}")
                for name in names
                if name not in self._members
            ]
            if faults:
                return tuple(faults)
            chosen = {one.name for one in self.members if one.instance.role in roles or one.name in names}
            return await self._walk(self.run, dict.fromkeys(chosen, "it was asked to restart"), tell)

    def _unknown_roles(self, names: Iterable[str]) -> list[Fault]:
        remedy = f"Choose from {', '.join(self.run.roles)}"
        return [Fault("--role", f"no role '{name}' runs here", remedy) for name in names if name not in self.run.roles]

    async def configure(self, configured: Mapping[str, RoleConfiguration], tell: Tell) -> tuple[Fault, ...]:
        """Apply a changed configuration: instance counts and settings, one update domain at a time.

        A role that was scaled keeps its number until the file gives another one.
        """
        async with self._changing:
            wanted = self._configured(self.run, configured)
            self._written = configured
            stale = {
                member.name: "its settings have changed"
                for member in self.members
                if self._has_to_recycle(member, wanted.service.configured[member.instance.role])
            }
            return await self._walk(wanted, stale, tell)

    async def upgrade(self, wanted: Run, tell: Tell) -> tuple[Fault, ...]:
        """Bring every instance to another version of the service, one update domain at a time; returns what failed.

        If a domain does not come up the walk ends, and what has been upgraded goes back to the version before.
        """
        async with self._changing:
            kept = await self._kept
            if kept is None:
                tell("there is no copy of the sources that run now: going back would run them as they are")
            before = replace(self.run, sources=kept.sources, sites=kept.sites) if kept else self.run
            written = wanted.service.configured
            wanted = self._as_started(self._configured(wanted, written))
            for member in self.members:
                member.run = before
            faults = await self._walk(wanted, dict.fromkeys(self._members, "it was upgraded"), tell)
            if faults:
                upgraded = [member.name for member in self.members if member.run is not before]
                tell(f"{faults[0].where} does not come up, so the version before comes back on {', '.join(upgraded)}")
                not_back = await self._walk(before, dict.fromkeys(upgraded, "the upgrade was rolled back"), tell)
                await self.public.close_others(before.service, self.deployed.instances)
                return (*faults, *not_back)
            await self.public.close_others(wanted.service, self.deployed.instances)
            self._written = written
            self._kept = asyncio.create_task(self._keep_version())
            return ()

    def _as_started(self, run: Run) -> Run:
        """A run with the options with which this emulator was started."""
        now = self.run
        runtimes = {
            role: replace(runtime, debugger=before.debugger, debug_port=before.debug_port)
            if (before := now.runtimes.get(role))
            else runtime
            for role, runtime in run.runtimes.items()
        }
        return replace(
            run,
            runtimes=runtimes,
            detached=now.detached,
            grace=now.grace,
            reloads=now.reloads,
            waits_for_debugger=now.waits_for_debugger,
        )

    def _configured(self, run: Run, configured: Mapping[str, RoleConfiguration]) -> Run:
        """A run with what a configuration file says, but for roles that were scaled since and that it leaves alone."""
        now, new = self.run.service.configured, dict(run.service.configured)
        for name, usual in run.service.configured.items():
            to = configured.get(name, usual)
            is_same = name in self._written and to.instances == self._written[name].instances
            new[name] = to._replace(instances=now[name].instances) if is_same and name in now else to
        return replace(run, service=run.service._replace(configured=new))

    def _has_to_recycle(self, member: Member, wanted: RoleConfiguration) -> bool:
        has = member.run.service.configured[member.instance.role]
        if has.thumbprints != wanted.thumbprints:
            return True  # as in the cloud: other certificates always take an instance offline
        return self.run.recycles_on_change and has.settings != wanted.settings

    def prepare(self, member: Member) -> Launch:
        """Make an instance's folders and files ready for a start."""
        deployment.lay(member.run, self.deployed, member.instance)
        if member.life.restarts:
            deployment.clean(member.run, self.deployed, member.instance)
        sockets = tuple(self.public.sockets(member.run.service, self.deployed, member.instance))
        launch = plan(member.run, self.deployed, member.instance, sockets)
        write_whole(launch.document_path, json.dumps(launch.document), durable=False)
        return launch

    def show(self, name: str, data: memoryview) -> None:
        """Show what an instance prints."""
        self._console.output(name, data)
        self._feed.output(name, data)

    def changed(self, member: Member, why: str = "") -> None:
        """Tell an instance's state, and send connections where they belong by now."""
        life = member.life
        self.public.refresh(self._ready)
        if not member.is_running:
            self.public.take_over(member.name)
        # The console has shown the output that stands in the further lines of a reason.
        self._console.state(member.name, life.state, why.partition("\n")[0])
        self._feed.state(member.name, life.state, why)
        if self.run.detached and not self._is_up:
            report(event="state", instance=member.name, state=life.state, why=why)
            if life.failed and not self._stopping.is_set():
                wrong = f"{member.name} ended {life.exits_before_settled} times before it was Ready"
                remedy = "What it printed last stands above, all of it in `invoke logs`; mend that and start again"
                self.faults = (Fault(shown(self.run.folder), wrong, remedy),)
                self.stop()

    def note(self, member: Member, text: str) -> None:
        """Tell something about an instance that is no change of its state."""
        self._console.state(member.name, text)
        self._feed.said(f"{member.name}: {text}")

    def probed(self) -> None:
        """Send connections where they belong after what a probe has found."""
        self.public.refresh(self._ready)

    def settled(self) -> None:
        """Note that the service is up when the last instance is."""
        if self._is_up or not self._kept.done() or not all(one.life.is_settled for one in self._members.values()):
            return
        self._is_up = True
        self._console.say("every instance is Ready")
        if self.run.detached:
            report(event="ready")

    def _add(self, instance: Instance) -> Member:
        member = Member(instance, self.run, self)
        self._members[instance.name] = member
        self._lives[instance.name] = asyncio.create_task(self._live(member))
        return member

    async def _live(self, member: Member) -> None:
        """Let an instance live; a fault of ours ends the emulator, and does not leave it with a silent instance."""
        try:
            await member.live()
        except Exception:
            self._stopping.set()
            raise

    async def _remove(self, member: Member) -> None:
        member.end()
        await self._lives.pop(member.name)
        del self._members[member.name]
        self.public.take_over(member.name)
        self.public.forget(member.name)

    async def _walk(self, wanted: Run, stale: dict[str, str], tell: Tell) -> tuple[Fault, ...]:
        """Make the service what is wanted, one update domain at a time; returns what has not come up.

        `stale` names the instances that have to recycle, and why. Nobody else notices more than a new role environment.
        """
        self.run, self.deployed = wanted, deployment.deploy(wanted, self.deployed)
        await self.public.open(wanted.service, self.deployed.instances)
        instances = {instance.name: instance for instance in self.deployed.instances}
        there = self.members
        for member in there:
            if member.name in instances and member.name not in stale:
                member.run = wanted
            self._write_document(member)
        everyone = [*instances.values(), *(member.instance for member in there)]
        for domain in sorted({instance.update_domain for instance in everyone}):
            if self._stopping.is_set():
                break
            here = [member for member in there if member.instance.update_domain == domain]
            gone = [member for member in here if member.name not in instances]
            started = []
            for member in here:
                if member.name in stale and member.name in instances:
                    member.run, member.instance = wanted, instances[member.name]
                    member.recycle(stale[member.name])
                    started.append(member)
            for name, instance in instances.items():
                if instance.update_domain == domain and name not in self._members:
                    started.append(self._add(instance))
            await asyncio.gather(*(self._remove(member) for member in gone))
            for member in gone:
                tell(f"{member.name} is gone")
            faults = await self._come_up(started, tell)
            if faults:
                return faults
        return ()

    async def _come_up(self, started: Sequence[Member], tell: Tell) -> tuple[Fault, ...]:
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
                first, *_ = why.split("\n")
                faults.append(Fault(member.name, f"it does not come up: {first}", "See `invoke logs`, and mend that"))
        return tuple(faults)

    def _write_document(self, member: Member) -> None:
        """Write the role environment as an instance that has started may see it now."""
        if member.launch and member.name in self.deployed.endpoints:
            document = role_environment(member.run.service, self.deployed, member.instance)
            write_whole(member.launch.document_path, json.dumps(document), durable=False)

    async def _end_all(self) -> None:
        """Ask every instance to end, and kill those that have not when the user is in a hurry."""
        self._console.say("stopping")
        for member in self._members.values():
            member.end()
        ended = asyncio.create_task(_all(self._lives.values()))
        hurry = asyncio.create_task(self._hurry.wait())
        done, _ = await asyncio.wait({ended, hurry}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            late = ", ".join(member.name for member in self.members if member.is_running)
            grace = f"{self.run.grace:g} s for {late}"
            self._console.say(f"waiting up to {grace}; Ctrl-C once more kills at once")
            await asyncio.wait({ended, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not ended.done():
            for member in self._members.values():
                member.kill()
        await ended

    def _folders(self) -> Mapping[str, Collection[Path]]:
        run = self.run
        return {role: {run.sources[role], *run.sites[role].values()} for role in run.roles}

    async def _reload(self, roles: Collection[str], paths: Collection[Path]) -> None:
        """Recycle the instances of roles whose files have changed."""
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        self._say(f"{shown(sorted(paths)[0])}{more} changed")
        if any(path.name in _NEEDS for path in paths):
            self._say("what a role needs is installed by `invoke upgrade`, or at the next start")
        self._say_all(await self.restart(roles, (), self._say))

    def _tell_quota(self, name: str, text: str) -> None:
        if name in self._members:
            self.note(self._members[name], text)

    async def _keep_version(self) -> Run | None:
        """Keep the version that runs, for the day that the next one does not."""
        kept = await asyncio.to_thread(versions.keep, self.run, self._is_over)
        await asyncio.to_thread(versions.forget, self.run, [kept or self.run, *(one.run for one in self.members)])
        return kept

    async def _follow_configuration(self) -> None:
        async def apply(configured: Mapping[str, RoleConfiguration]) -> None:
            self._say(f"{shown(self.run.configuration)} has changed")
            self._say_all(await self.configure(configured, self._say))

        await watch.configuration(lambda: (self.run.place, self.run.configuration), apply, self._say)

    async def _remind(self) -> None:
        """Say from time to time what a start still waits for."""
        while not self._is_up:
            await asyncio.sleep(REMINDER)
            late = [f"{one.name} ({one.life.state})" for one in self.members if not one.life.is_settled]
            if not self._is_up:
                self._say(f"still waiting for {', '.join(late)}")

    def _say_all(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            self._say(str(fault))

    def _say(self, text: str) -> None:
        self._console.say(text)
        self._feed.said(text)
        if self.run.detached and not self._is_up:
            report(event="said", text=text)

    def _ready(self, role: str, endpoint: Endpoint) -> Sequence[tuple[str, Address]]:
        """The instances that may get connections for an endpoint, and where."""
        return [
            (member.name, member.launch.addresses[endpoint.name])
            for member in self._members.values()
            if member.launch and member.instance.role == role and endpoint.name in member.launch.addresses
            if member.life.state == "Ready" or (member.life.state == "Busy" and endpoint.ignore_role_instance_status)
            if member.probed.get(endpoint.name, endpoint.probe is None)
        ]


async def _all(lives: Iterable[asyncio.Task[None]]) -> bool:
    await asyncio.gather(*lives)
    return True
