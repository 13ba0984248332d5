"""The fabric: brings every instance of a run to life, keeps it there, and ends it. One loop owns all state."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import UTC, datetime

from cloudservice.errors import Fault
from cloudservice.files import shown
from cloudservice.instances import Address, Instance, role_environment
from cloudservice.service import Endpoint
from emulator import children, deployment, quotas, versions, wanted
from emulator.balance import Balance
from emulator.beginning import Begun, prepare, write_document
from emulator.console import Console, report
from emulator.feed import Feed
from emulator.launch import Launch
from emulator.member import Member
from emulator.run import Run
from emulator.shell import Command
from emulator.spawn import Popen, spawn
from emulator.wanted import Wanted

PATIENCE = 2.0
"""Seconds of the grace that are waited in silence."""
REMINDER = 20.0
"""Seconds between two words about a start that takes long."""

Work = Callable[[], Coroutine[None, None, None]]
"""Something that is done for as long as the fabric lives."""


class Fabric:
    """All instances of one run."""

    def __init__(self, run: Run, begun: Begun, console: Console, feed: Feed) -> None:
        self.wanted = Wanted(run)
        """What is wanted now; a member may still run what was wanted before."""
        self.deployed = begun.deployed
        self.started = datetime.now(UTC)
        self.faults: tuple[Fault, ...] = ()
        self.refused: tuple[Fault, ...] = ()
        """What is wrong with the configuration file, if it was edited since and could not be applied."""
        self.public = begun.public
        self.public.say = self.say
        self._begun = begun
        self._balance = Balance(self.public, self._ready)
        self._console = console
        self._feed = feed
        self._members: dict[str, Member] = {}
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._addresses = dict(begun.deployed.endpoints)
        """All that the instances have had, so that who gets an endpoint back finds it where its socket is."""
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._is_up = False
        self._is_over = threading.Event()

    @property
    def run(self) -> Run:
        """The version that is wanted, also where not every instance has it."""
        return self.wanted.run

    @property
    def members(self) -> list[Member]:
        """The instances in the order of the definition, those that are about to go last."""
        order = {instance.name: number for number, instance in enumerate(self.deployed.instances)}
        return sorted(self._members.values(), key=lambda member: order.get(member.name, len(order)))

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End every instance, with its grace."""
        self._stopping.set()

    def interrupt(self) -> None:
        """End every instance; asked once more, without grace."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def start(self) -> None:
        """Bring every instance to life."""
        children.watch()
        for text in self._begun.said:
            self.say(text)
        await self._balance.serve()
        for endpoint in self.public.endpoints:
            self._console.say(f"{endpoint.name} is at {endpoint.url}")
        for instance in self.deployed.instances:
            self.add(instance)
        self.keep_version()
        self.kept.add_done_callback(lambda _: self.settled())

    async def live(self, works: Iterable[Work]) -> None:
        """Live, and do the works that have no end, until told to stop."""
        async with asyncio.TaskGroup() as aside:
            tasks = [aside.create_task(self._beside(work)) for work in (self._remind, self._follow_quotas, *works)]
            await self._stopping.wait()
            for task in tasks:
                task.cancel()

    async def _follow_quotas(self) -> None:
        await quotas.follow(lambda: self.deployed.local_resources, self._tell_quota)

    async def _beside(self, work: Work) -> None:
        """Do a work beside the instances; they live on if it fails."""
        try:
            await work()
        except Exception as error:
            self.say(f"a part of the emulator has failed and is missing from now on: {error!r}. Please report this")

    async def end(self) -> None:
        """End every instance; on return no process of any is left."""
        self._stopping.set()
        self._is_over.set()
        try:
            await self._end_all()
        finally:
            for process in self._begun.processes.values():  # of instances that have not even begun to live
                process.kill()
            await self._balance.close(self.public.endpoints)
            self.public.close_all()

    def prepare(self, member: Member) -> Launch:
        """Make an instance's folders and files ready for a start."""
        begun = self._begun.launches.pop(member.name, None)
        if begun:
            return begun
        if member.life.restarts:
            deployment.clean(member.run, self.deployed, member.instance)
        return prepare(member.run, self.deployed, self.public, member.instance)

    def spawn(self, member: Member, command: Command) -> Popen:
        """Start a process of an instance, if it has not begun yet."""
        return self._begun.processes.pop(member.name, None) or spawn(command)

    def show(self, name: str, data: memoryview) -> None:
        """Show what an instance prints."""
        self._console.output(name, data)
        self._feed.output(name, data)

    def changed(self, member: Member, why: str = "") -> None:
        """Tell an instance's state, and send connections where they belong by now."""
        life = member.life
        self._balance.refresh()
        if not member.is_running:
            self._balance.take_over(member.name)
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

    def redirect(self) -> None:
        """Send connections where they belong by now."""
        self._balance.refresh()

    def settled(self) -> None:
        """Note that the service is up when the last instance is."""
        if self._is_up or not self.kept.done() or not all(one.life.is_settled for one in self._members.values()):
            return
        self._is_up = True
        self._console.say("every instance is Ready")
        if self.run.detached:
            report(event="ready")

    def add(self, instance: Instance) -> Member:
        """Bring another instance to life."""
        member = Member(instance, self.wanted.of(instance), self)
        self._members[instance.name] = member
        self._lives[instance.name] = asyncio.create_task(self._live(member))
        return member

    async def remove(self, member: Member) -> None:
        """End an instance for good."""
        member.end()
        await self._lives.pop(member.name)
        del self._members[member.name]
        self._addresses.pop(member.name, None)
        self._balance.take_over(member.name)
        self.public.forget(member.name)

    async def want(self, of_service: Wanted, behind: Iterable[Member] = ()) -> None:
        """Deploy and serve what is wanted from now on; what its instances run is for the caller to change.

        Who is `behind` keeps what it runs, with its endpoints and stores, until its turn comes.
        """
        self.wanted = of_service
        by_now = of_service.but({member.name: member.run for member in behind})
        self.deployed = wanted.deploy(by_now, self.deployed._replace(endpoints=self._addresses))
        for name, addresses in self.deployed.endpoints.items():
            self._addresses[name] = {**self._addresses.get(name, {}), **addresses}
        there = {instance.name for instance in self.deployed.instances}
        for member in self.members:
            member.is_leaving = member.name not in there
        for member in self.members:
            if self._lives[member.name].done():  # it was leaving, and ended before its turn
                await self.remove(member)
        for run in reversed(by_now.versions):  # where several have an endpoint, the one of the service says how it is
            self.public.open(run.service, by_now.of_version(run))
        await self._balance.serve()

    async def close_others(self) -> None:
        """Serve no more what is no endpoint of what is wanted now."""
        others = self.public.endpoints
        for run in self.wanted.versions:
            of_others = self.public.others(run.service, self.wanted.of_version(run))
            others = [one for one in others if one in of_others]
        await self._balance.close(others)
        self.public.close(others)

    def write_document(self, member: Member) -> None:
        """Write the role environment as an instance that has started may see it now."""
        if member.launch and not member.is_leaving:
            document = role_environment(member.run.service, self.deployed, member.instance)
            write_document(member.launch.document_path, document)

    async def _live(self, member: Member) -> None:
        """Let an instance live; a fault of ours ends the emulator, and does not leave it with a silent instance."""
        try:
            await member.live()
        except Exception:
            self._stopping.set()
            raise

    async def _end_all(self) -> None:
        """Ask every instance to end, and kill those that have not when the user is in a hurry."""
        self._console.say("stopping")
        for member in self._members.values():
            member.end()
        ended = asyncio.create_task(_all(self._lives.values()))
        hurry = asyncio.create_task(self._hurry.wait())
        done, _ = await asyncio.wait({ended, hurry}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            late = ", ".join(name for name, life in self._lives.items() if not life.done())
            grace = f"{self.run.grace:g} s for {late}"
            self._console.say(f"waiting up to {grace}; Ctrl-C once more kills at once")
            await asyncio.wait({ended, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not ended.done():
            for member in self._members.values():
                member.kill()
        await ended

    def _tell_quota(self, name: str, text: str) -> None:
        if name in self._members:
            self.note(self._members[name], text)

    def keep_version(self) -> None:
        """Keep a copy of what runs now, for the day that the next version does not."""
        self.kept = asyncio.create_task(self._keep_version())

    async def _keep_version(self) -> Run | None:
        kept = await asyncio.to_thread(versions.keep, self.run, self._is_over)
        used = [kept or self.run, *self.wanted.versions, *(one.run for one in self.members)]
        await asyncio.to_thread(versions.forget, self.run, used)
        return kept

    async def _remind(self) -> None:
        """Say from time to time what a start still waits for."""
        while not self._is_up:
            await asyncio.sleep(REMINDER)
            late = [f"{one.name} ({one.life.state})" for one in self.members if not one.life.is_settled]
            if not self._is_up:
                self.say(f"still waiting for {', '.join(late)}")

    def say(self, text: str) -> None:
        """Say something of the service as a whole."""
        self._console.say(text)
        self._feed.said(text)
        if self.run.detached and not self._is_up:
            report(event="said", text=text)

    def _ready(self, role: str, endpoint: Endpoint) -> Sequence[tuple[str, Address]]:
        """The instances that may get connections for an endpoint, and where; each goes by its own version of that."""
        return [
            (member.name, member.launch.addresses[own.name])
            for member in self._members.values()
            if member.launch and member.instance.role == role
            for own in member.run.service.role(role).endpoints
            if own.name == endpoint.name and own.name in member.launch.addresses
            if member.life.state == "Ready" or (member.life.state == "Busy" and own.ignore_role_instance_status)
            if member.probed.get(own.name, own.probe is None)
        ]


async def _all(lives: Iterable[asyncio.Task[None]]) -> None:
    """Wait for the end of each; if one has failed, only then say so."""
    for ended in await asyncio.gather(*lives, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended
