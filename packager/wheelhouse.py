"""All wheels that the roles of a service need on their targets, as the locks that are kept say, or resolved anew."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import link_whole, sha256_of, write_whole
from cloudservice.names import is_file_name
from packager import locks, pins, store
from packager.locks import Lock
from packager.policy import KEEP, Need, Policy, deviations
from packager.progress import Report

FOLDER = "wheelhouse"
_NOTE = ".rolepack-wheels"
"""Names what was put into such a folder: nothing else in it is ever removed."""
_AT_ONCE = 4
"""Roles that are resolved at the same time: most of it is waiting for the index."""
_Given = TypeVar("_Given")
_Got = TypeVar("_Got")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel in the store."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Wheelhouse:
    """The lock of each role, by the role's name, whose wheels are in the store; and what a user should know of them."""

    roles: Mapping[str, Lock]
    remarks: tuple[str, ...] = ()

    def wheels_of(self, role: str) -> tuple[Wheel, ...]:
        """The wheels of a role, by the names of their packages."""
        entries = self.roles[role].entries
        return tuple(Wheel(store.path_of(entry.sha256, entry.wheel), entry.sha256) for entry in entries)

    @property
    def wheels(self) -> tuple[Wheel, ...]:
        """Every wheel once, by file name."""
        distinct = {wheel for role in self.roles for wheel in self.wheels_of(role)}
        return tuple(sorted(distinct, key=lambda wheel: (wheel.path.name, wheel.sha256)))


def prepare(needs: Mapping[str, Need], report: Report, policy: Policy = KEEP) -> Wheelhouse:
    """The wheels of every role, by the role's name.

    A lock that is kept and still answers what is asked decides; else its versions are kept where they can be.
    ServiceError with every package of every role that cannot be had.
    """
    found = _each(lambda need: _look(need, policy), needs.values())
    looked = dict(zip(needs, found, strict=True))
    made = {role: kept for role, (kept, is_fresh) in looked.items() if kept and is_fresh and _is_whole(kept, policy)}
    remarks: list[str] = []
    rest = {role: (needs[role], *looked[role]) for role in needs if role not in made}
    if rest:
        for role, (lock, told) in _renew(rest, report, policy).items():
            made[role] = lock
            remarks += (f"{role}: {remark}" for remark in (*told, *deviations(needs[role].held, lock.versions)))
    return Wheelhouse({role: made[role] for role in needs}, tuple(remarks))


def write(place: Path, house: Wheelhouse) -> None:
    """Let a folder have the wheels and the lock of each role as `ROLE.lock`; what an earlier call left there goes.

    The wheels are links to those of the store where the file system can. ServiceError if two roles have different
    wheels of one name.
    """
    hashes: dict[str, set[str]] = {}
    for wheel in house.wheels:
        hashes.setdefault(wheel.path.name, set()).add(wheel.sha256)
    faults = [
        Fault(name, "the roles have different wheels of that name", "Give them the same, or package the roles")
        for name, found in hashes.items()
        if len(found) > 1
    ]
    if faults:
        raise ServiceError(*faults)
    place.mkdir(parents=True, exist_ok=True)
    texts = {f"{role}.lock": locks.shipped(lock, role) for role, lock in house.roles.items()}
    for wheel in house.wheels:
        there = place / wheel.path.name
        if not (there.is_file() and sha256_of(there) == wheel.sha256):
            link_whole(wheel.path, there)
    for name, text in texts.items():
        write_whole(place / name, text)
    wanted = {*texts, *hashes}
    note = place / _NOTE
    before = note.read_text("utf-8", "replace").splitlines() if note.is_file() else []
    for name in before:
        if name not in wanted and is_file_name(name):
            (place / name).unlink(missing_ok=True)
    write_whole(note, "".join(f"{name}\n" for name in sorted(wanted)))


def _look(need: Need, policy: Policy) -> tuple[Lock | None, bool]:
    """The lock that is kept, and whether it answers what is asked now and is to stay."""
    if need.asked.is_nothing:
        return Lock(need.target, need.fingerprint, ()), True
    kept = locks.load(need.asked, need.target)
    if kept is None or not policy.keeps:
        return kept, False
    # Whoever has edited the lock cannot have edited away what the lines allow.
    is_allowed = all(pins.is_allowed(need.asked, entry.pin) for entry in kept.entries)
    return kept, is_allowed and kept.asked == need.fingerprint


def _is_whole(lock: Lock, policy: Policy) -> bool:
    """Whether the store has the wheels of a lock, if they are wanted; a folder may have changed without a trace."""
    entries = lock.entries
    return not policy.wheels or all(one.pin.kind != "folder" and store.has(one.sha256, one.wheel) for one in entries)


def _renew(
    roles: Mapping[str, tuple[Need, Lock | None, bool]], report: Report, policy: Policy
) -> dict[str, tuple[Lock, list[str]]]:
    """Resolve, fetch and build for some roles; the lock of each, and what is to be said of it."""
    from packager import index

    with ThreadPoolExecutor(1) as pool:
        asked_pip = pool.submit(index.uv_environ, policy.offline)
        from packager import fetch  # which takes as long as pip takes to tell its settings
        from packager.renewal import Renewal
    around = asked_pip.result()
    renewals = {
        role: Renewal(need, kept, is_fresh, index.with_options(around, need.asked), policy, report)
        for role, (need, kept, is_fresh) in roles.items()
    }
    to_resolve = [role for role, renewal in renewals.items() if renewal.has_to_resolve]
    if to_resolve:
        labels = dict.fromkeys(roles[role][0].target.label for role in to_resolve)
        report(f"Resolving {', '.join(to_resolve)} for {', '.join(labels)}", 0, 0)
    pairs = list(zip(renewals.values(), _each(Renewal.pins, renewals.values(), threads=_AT_ONCE), strict=True))
    wanted = {pin: renewal.access for renewal, some in pairs for pin in some if renewal.wants(pin)}
    fetch.fetch({pin: access for pin, access in wanted.items() if not pin.is_wheel}, report)
    made: list[tuple[Lock, list[str]]] = []
    # What has to be built is built while wheels are fetched.
    work = [
        lambda: fetch.fetch({pin: access for pin, access in wanted.items() if pin.is_wheel}, report),
        lambda: made.extend(_each(lambda pair: pair[0].lock(pair[1]), pairs)),
    ]
    _each(lambda one: one(), work, threads=2)
    return dict(zip(roles, made, strict=True))


def _each(work: Callable[[_Given], _Got], things: Collection[_Given], threads: int = 1) -> list[_Got]:
    """Do the same for every one, and tell the faults of all of them together."""
    faults: list[Fault] = []
    got: list[_Got] = []
    with ThreadPoolExecutor(threads) as pool:
        outcomes = [pool.submit(work, thing) for thing in things]
    for outcome in outcomes:
        try:
            got.append(outcome.result())
        except ServiceError as error:
            faults += error.faults
    if faults:
        raise ServiceError(*faults)
    return got
