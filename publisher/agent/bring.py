"""Makes a service on this host what it is to be: the one way in which anything is stopped, started or changed.

A scheduled task runs this, as LocalSystem, so that a change goes on when the connection breaks that asked for it, and
after a restart of Windows. Whatever ends it, the next run brings the change to its end.
"""

import json
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cloudservice import lock
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import write_whole
from publisher.agent import iis, programs, ready, states, steps, system, worker
from publisher.agent.place import Place
from publisher.agent.system import Task
from publisher.agent.values import DEPLOYMENTS, Done, Instance, Running, Setup, Slot, State

_PATIENCE = 900.0
_AFTER_GRACE = 15.0
"""Seconds that the end of a worker may take longer than its grace."""


class Program(NamedTuple):
    """How these programs are called: the interpreter, and the archive that they are in."""

    python: str
    archive: str

    def arguments(self, *words: str) -> str:
        """The arguments of the interpreter, as a scheduled task has them."""
        return " ".join(["-I", "-B", "-u", f'"{self.archive}"', *words])


def bring(place: Place, program: Program) -> None:
    """Make what is wanted, until nothing new is."""
    with states.alone(place.switch_lock, _PATIENCE) as is_alone:
        while is_alone and (wanted := states.state(place)).serial > states.done(place).serial:
            with Journal(place, wanted.serial) as journal:
                faults = _Change(place, program, wanted, journal).make()
            states.write_done(place, Done(wanted.serial, faults))


class Journal:
    """What is said about a change while it is made, for whoever follows it."""

    def __init__(self, place: Place, serial: int) -> None:
        self._file = path_of(place, serial).open("w", encoding="utf-8")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def say(self, text: str) -> None:
        """Add a line."""
        self._file.write(json.dumps(text) + "\n")
        self._file.flush()


def path_of(place: Place, serial: int) -> Path:
    """Where the lines about a change are."""
    return place.folder / f"switch-{serial % 4}.jsonl"


class Wanted(NamedTuple):
    """What a deployment is to run."""

    letter: str
    slot: str
    running: Running | None
    setup: Setup | None
    before: tuple[Instance, ...]
    stale: frozenset[str]
    """The instances that have to end, or to begin."""

    @property
    def told(self) -> Slot:
        """What this host has of it."""
        return self.setup.slots[self.slot] if self.setup else Slot()

    @property
    def everyone(self) -> dict[str, list[Instance]]:
        """The instances of before and of now, by name."""
        found: dict[str, list[Instance]] = {}
        for one in (*self.before, *self.told.instances):
            found.setdefault(one.name, []).append(one)
        return found


class _Change:
    """One change, from what runs to what is wanted."""

    def __init__(self, place: Place, program: Program, state: State, journal: Journal) -> None:
        self._place, self._program, self._state, self._journal = place, program, state, journal
        self._wanted = [_wanted(place, state, letter) for letter in DEPLOYMENTS]

    def make(self) -> tuple[Fault, ...]:
        """Stop, switch, start; what has not come up."""
        changing = [one for one in self._wanted if one.stale]
        for one in changing:
            self._mark(one)
        for one in changing:
            self._stop(one)
        faults: list[Fault] = []
        for one in self._wanted:
            faults += self._start(one)
        for one in self._wanted:
            states.write_running(self._place, one.letter, one.running)
        return tuple(faults)

    def _mark(self, one: Wanted) -> None:
        """Note that nothing is certain about what is stale, in case this is interrupted."""
        now = states.running(self._place, one.letter) or one.running
        if now is not None:
            states.write_running(self._place, one.letter, now._replace(unsure=tuple(sorted(one.stale))))

    def _stop(self, one: Wanted) -> None:
        leaving = [(name, known) for name, known in one.everyone.items() if name in one.stale]
        if not leaving:
            return
        there = {one.name for one in one.before}
        if ending := [name for name, _ in leaving if name in there]:
            self._journal.say(f"stopping {', '.join(ending)}")
        for name, _ in leaving:
            worker.ask_to_end(self._place, one.letter, name)
        grace = one.setup.grace if one.setup else 0.0
        for name, known in leaving:
            self._end(one.letter, name, known, grace)

    def _end(self, letter: str, name: str, known: Iterable[Instance], grace: float) -> None:
        """End an instance, whatever of it is there."""
        place, task = self._place, self._place.task(letter, name)
        lock_file = place.worker_lock(letter, name)
        end = time.monotonic() + grace + _AFTER_GRACE
        while not lock.is_free(lock_file) and time.monotonic() < end:
            time.sleep(0.05)
        if not lock.is_free(lock_file):
            system.end_task(task)
        system.delete_task(task)
        for one in known:
            steps.forget(place, letter, one)
            for site in one.sites:
                iis.remove(place.site(letter, name, site.name))
            if one.sites:
                iis.forget_applications(one.root)

    def _start(self, one: Wanted) -> list[Fault]:
        """Start what is stale of a deployment, and wait until it is Ready."""
        self._open_ports(one)
        faults: list[Fault] = []
        started = []
        for instance in one.told.instances:
            self._write_document(instance)
            if instance.name not in one.stale:
                continue
            try:
                self._begin(one, instance)
                started.append(instance)
            except ServiceError as error:
                faults += error.faults
                self._show_last(instance)
            except OSError as error:
                faults.append(Fault(instance.name, f"it cannot be started: {error}", "Mend that, then publish again"))
        for instance in one.told.instances if one.slot in self._state.awaited else started:
            if instance.name in {fault.where for fault in faults}:
                continue
            assert one.setup is not None  # noqa: S101 - it has instances
            fault = ready.come_up(self._place, one.letter, one.setup, instance)
            if fault is None:
                self._journal.say(f"{instance.name} is Ready")
            else:
                faults.append(fault)
                self._show_last(instance)
        return faults

    def _open_ports(self, one: Wanted) -> None:
        """Let in what the deployment listens for, and nothing of what it does not any more."""
        name = f"rolepack {self._place.service} {one.letter}"
        before = states.running(self._place, one.letter)
        old = _rules(self._place, one.letter, before)
        if one.told.rules != old or one.stale:
            if one.told.rules:
                system.let_in(name, one.told.rules)
            elif old:
                system.keep_out(name)

    def _write_document(self, instance: Instance) -> None:
        """The ROLE_ENVIRONMENT, replaced as a whole."""
        path, content = Path(instance.document_path), json.dumps(instance.document, indent=2)
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            states.patiently(lambda: write_whole(path, content))

    def _begin(self, one: Wanted, instance: Instance) -> None:
        """Lay an instance's folders, run its startup tasks, start its sites or its worker."""
        _lay_folders(instance)
        place, letter = self._place, one.letter
        assert one.running is not None  # noqa: S101 - it has instances
        call = steps.Call(place, self._program, letter, one.running.entry.setup, one.slot, instance)
        for number, command in enumerate(instance.tasks):
            self._journal.say(f"{instance.name}: {command.line}")
            call.run(number, command)
        for site in instance.sites:
            iis.put(place.site(letter, instance.name, site.name), site)
        for site in instance.sites:
            iis.start(place.site(letter, instance.name, site.name))
        if instance.program:
            worker.let_begin(place, letter, instance.name)
            account = system.SYSTEM if instance.program.is_elevated else system.SERVICE
            name = place.task(letter, instance.name)
            words = call.words("run")
            system.create_task(Task(name, self._program.python, words, account), place.folder)
            system.start_task(name)

    def _show_last(self, instance: Instance) -> None:
        for line in programs.last_lines(instance):
            self._journal.say(f"{instance.name} | {line}")


def _wanted(place: Place, state: State, letter: str) -> Wanted:
    """What a deployment is to run, against what it does."""
    slot, deployment = states.slot_of(state, letter), state.deployments[letter]
    entry, now = deployment.current, states.running(place, letter)
    before = states.instances(place, letter, now)
    setup = states.setup(place, letter, entry.setup) if entry else None
    after = setup.slots[slot].instances if setup else ()
    running = Running(entry, slot, deployment.recycles) if entry else None
    is_live = bool(setup and not setup.recycles_on_change)
    old = _known(before, now.recycles if now else {}, is_live)
    new = _known(after, deployment.recycles, is_live)
    stale = {name for name in {*old, *new} if old.get(name) != new.get(name)}
    stale |= set(now.unsure if now else ()) & {*old, *new}
    return Wanted(letter, slot, running, setup, before, frozenset(stale))


def _known(instances: Iterable[Instance], recycles: Mapping[str, int], is_live: bool) -> dict[str, Any]:
    """What an instance must be started again for, by name: everything but where the others are.

    Nor for its settings, where those are seen live.
    """
    return {
        one.name: (one._replace(document=_seen(one.document, is_live)), recycles.get(one.name, 0)) for one in instances
    }


def _seen(document: Mapping[str, Any], is_live: bool) -> dict[str, Any]:
    own = {key: value for key, value in document.items() if key != "roles"}
    if is_live:
        own["current"] = {key: value for key, value in own["current"].items() if key != "settings"}
    return own


def _rules(place: Place, letter: str, now: Running | None) -> tuple[Any, ...]:
    return states.setup(place, letter, now.entry.setup).slots[now.slot].rules if now else ()


def _lay_folders(instance: Instance) -> None:
    """The local stores of an instance, empty if they are to be, its temporary folder and that of its logs."""
    for store in instance.stores:
        if store.is_cleaned:
            shutil.rmtree(store.path, ignore_errors=True)
        Path(store.path).mkdir(parents=True, exist_ok=True)
    for path in (instance.temp, instance.logs):
        Path(path).mkdir(parents=True, exist_ok=True)
