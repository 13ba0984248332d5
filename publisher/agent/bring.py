"""Makes a service on this host what it is to be: the one way in which anything is stopped, started or changed.

A scheduled task runs this, as LocalSystem, so that a change goes on when the connection breaks that asked for it, and
after a restart of Windows. Whatever ends it, the next run brings the change to its end.
"""

import json
import shutil
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cloudservice import lock
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import write_whole
from publisher.agent import iis, programs, ready, states, steps, system, worker
from publisher.agent.place import Place
from publisher.agent.ready import Patience
from publisher.agent.system import Task
from publisher.agent.values import AGAIN, SLOTS, Done, Instance, Rule, Running, Setup, Slot, State

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
                faults = _make(place, program, wanted, journal)
            states.write_done(place, Done(wanted.serial, faults))


def _make(place: Place, program: Program, wanted: State, journal: "Journal") -> tuple[Fault, ...]:
    """Make a change; what goes wrong with these programs themselves is a fault too, or else nobody would be told."""
    try:
        return _Change(place, program, wanted, journal).make()
    except ServiceError as error:
        return error.faults
    except Exception as error:
        for line in traceback.format_exc().splitlines():
            journal.say(line)
        remedy = "See the lines above; where they speak of rolepack's own programs, report it"
        return (Fault("switch", f"{type(error).__name__}: {error}", remedy),)


class Journal:
    """What is said about a change while it is made, for whoever follows it."""

    def __init__(self, place: Place, serial: int) -> None:
        path = path_of(place, serial)
        for old in place.folder.glob("switch-*.jsonl"):
            if old != path:
                states.patiently(lambda old=old: old.unlink(missing_ok=True))  # type: ignore[misc]
        self._file = path.open("w", encoding="utf-8")

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
    return place.folder / f"switch-{serial}.jsonl"


class Wanted(NamedTuple):
    """What a deployment is to run."""

    letter: str
    slot: str
    running: Running | None
    setup: Setup | None
    before: tuple[Instance, ...]
    rules_before: tuple[Rule, ...]
    stale: frozenset[str]
    """The instances that have to end, or to begin."""
    is_unsure: bool
    """Whether the change before this one was interrupted, or failed."""

    @property
    def told(self) -> Slot:
        """What this host has of it."""
        return self.setup.slots[self.slot] if self.setup else Slot()

    def known(self, name: str) -> list[Instance]:
        """An instance as it was and as it is to be."""
        return [one for one in (*self.before, *self.told.instances) if one.name == name]


class _Change:
    """One change, from what runs to what is wanted."""

    def __init__(self, place: Place, program: Program, state: State, journal: Journal) -> None:
        self._place, self._program, self._state, self._journal = place, program, state, journal
        # Production first, so that it does not wait for what staging does.
        self._wanted = [_wanted(place, state, slot) for slot in SLOTS]

    def make(self) -> tuple[Fault, ...]:
        """Stop, switch, start, and wait; what has not come up. A newer wish ends it early."""
        for one in self._wanted:
            if one.stale:
                self._mark(one)
        for one in self._wanted:
            self._stop(one)
        faults = {one.letter: self._start(one) for one in self._wanted}
        for one in self._wanted:
            faults[one.letter] += self._come_up(one, {fault.where for fault in faults[one.letter]})
        for one in self._wanted:
            # What has not come up is begun anew by the next change, even if that wants the same.
            unsure = tuple(sorted({fault.where for fault in faults[one.letter]}))
            now = one.running._replace(unsure=unsure) if one.running else None
            states.write_running(self._place, one.letter, now)
        return tuple(fault for each in faults.values() for fault in each)

    @property
    def _is_superseded(self) -> bool:
        return states.state(self._place).serial != self._state.serial

    def _mark(self, one: Wanted) -> None:
        """Note that nothing is certain about what is stale, in case this is interrupted."""
        now = states.running(self._place, one.letter) or one.running
        if now is not None:
            unsure = tuple(sorted({*now.unsure, *one.stale}))
            states.write_running(self._place, one.letter, now._replace(unsure=unsure))

    def _stop(self, one: Wanted) -> None:
        there = {instance.name for instance in one.before}
        if ending := sorted(one.stale & there):
            slot = "" if one.slot == SLOTS[0] else f" of {one.slot}"
            self._journal.say(f"stopping {', '.join(ending)}{slot}")
        for name in one.stale:
            worker.ask_to_end(self._place, one.letter, name)
        grace = one.setup.grace if one.setup else 0.0
        for name in sorted(one.stale):
            self._end(one.letter, name, one.known(name), grace)

    def _end(self, letter: str, name: str, known: Sequence[Instance], grace: float) -> None:
        """End an instance, whatever of it is there."""
        place, task = self._place, self._place.task(letter, name)
        if not self._is_gone(letter, name, grace + _AFTER_GRACE):
            system.end_task(task)
            if not self._is_gone(letter, name, _AFTER_GRACE):
                wrong = "its worker does not end, although its scheduled task was ended"
                raise ServiceError(Fault(name, wrong, "End its processes on the host, then publish again"))
        system.delete_task(task)
        for one in known:
            steps.forget(place, letter, one)
            for site in one.sites:
                iis.unbind(site)
            if one.sites:
                iis.forget_applications(one.root)
        if not known or any(one.sites for one in known):
            for site_name in iis.names(place.site(letter, name, "")):
                iis.remove(site_name)

    def _is_gone(self, letter: str, name: str, patience: float) -> bool:
        """Whether the worker of an instance has ended, within some seconds."""
        end = time.monotonic() + patience
        while not lock.is_free(self._place.worker_lock(letter, name)):
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def _start(self, one: Wanted) -> list[Fault]:
        """Start what is stale of a deployment; what cannot be started."""
        self._open_ports(one)
        faults: list[Fault] = []
        for instance in one.told.instances:
            self._write_document(instance)
            if instance.name not in one.stale:
                continue
            try:
                self._begin(one, instance)
            except ServiceError as error:
                faults += (fault._replace(where=instance.name) for fault in error.faults)
                self._show_last(instance)
            except OSError as error:
                faults.append(Fault(instance.name, f"it cannot be started: {error}", AGAIN))
        return faults

    def _come_up(self, one: Wanted, failed: set[str]) -> list[Fault]:
        """Wait until what was started is Ready, and in a slot that is awaited all; what is not."""
        faults = []
        for instance in one.told.instances:
            is_awaited = instance.name in one.stale or one.slot in self._state.awaited
            if one.setup is None or instance.name in failed or not is_awaited:
                continue
            fault = ready.come_up(self._place, one.letter, instance, self._patience(one, instance, one.setup))
            if fault is None:
                self._say(one, instance, "Ready")
            else:
                faults.append(fault)
                if instance.program:  # of a site the answer tells more than any log
                    self._show_last(instance)
        return faults

    def _patience(self, one: Wanted, instance: Instance, setup: Setup) -> Patience:
        return Patience(setup.up_within, lambda: self._is_superseded, lambda text: self._say(one, instance, text))

    def _say(self, one: Wanted, instance: Instance, text: str) -> None:
        """Say something of an instance, and of which if it could be another slot's."""
        slot = "" if one.slot == SLOTS[0] else f" of {one.slot}"
        self._journal.say(f"{instance.name}{slot}: {text}")

    def _open_ports(self, one: Wanted) -> None:
        """Let in what the deployment listens for, and nothing of what it does not any more."""
        name, wanted = f"rolepack {self._place.service} {one.letter}", one.told.rules
        if wanted == one.rules_before and not one.is_unsure:
            return
        if wanted:
            system.let_in(name, wanted)
        else:
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
            self._say(one, instance, command.line)
            call.run(number, command, lambda: self._is_superseded)
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


def _wanted(place: Place, state: State, slot: str) -> Wanted:
    """What the deployment in a slot is to run, against what it does."""
    letter, deployment = state.slots[slot], state.in_slot(slot)
    entry, now = deployment.current, states.running(place, letter)
    was = states.setup(place, letter, now.entry.setup).slots[now.slot] if now else Slot()
    setup = states.setup(place, letter, entry.setup) if entry else None
    after = setup.slots[slot].instances if setup else ()
    running = Running(entry, slot, deployment.recycles) if entry else None
    is_live = bool(setup and not setup.recycles_on_change)
    old = _known(was.instances, now.recycles if now else {}, is_live)
    new = _known(after, deployment.recycles, is_live)
    stale = {name for name in {*old, *new} if old.get(name) != new.get(name)}
    unsure = set(now.unsure) if now else set()
    dead = {one.name for one in after if one.program and lock.is_free(place.worker_lock(letter, one.name))}
    everything = frozenset({*stale, *unsure, *dead})
    return Wanted(letter, slot, running, setup, was.instances, was.rules, everything, bool(unsure))


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


def _lay_folders(instance: Instance) -> None:
    """The local stores of an instance, empty if they are to be, its temporary folder and that of its logs."""
    for store in instance.stores:
        if store.is_cleaned:
            shutil.rmtree(store.path, ignore_errors=True)
        Path(store.path).mkdir(parents=True, exist_ok=True)
    for path in (instance.temp, instance.logs):
        Path(path).mkdir(parents=True, exist_ok=True)
