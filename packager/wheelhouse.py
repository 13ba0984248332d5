"""All wheels that the roles of a service need on their targets, as the locks that are kept say, or resolved anew."""

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import link_whole, sha256_of, write_whole
from cloudservice.names import is_file_name
from cloudservice.tells import Report
from packager import locks, pins, store
from packager.locks import Lock
from packager.pins import Pin
from packager.policy import KEEP, Need, Policy, deviations
from packager.target import Target

if TYPE_CHECKING:
    from packager.index import Access
    from packager.renewal import Renewal

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


@dataclass(frozen=True, slots=True)
class Lacking:
    """An sdist in the store, of which only another machine may make a wheel for the target of some roles."""

    name: str
    version: str
    sdist: Path
    target: Target
    roles: tuple[str, ...]


def prepare(needs: Mapping[str, Need], report: Report, policy: Policy = KEEP) -> Wheelhouse:
    """The wheels of every role, by the role's name.

    A lock that is kept and still answers what is asked decides; else its versions are kept where they can be.
    ServiceError with every package of every role that cannot be had.
    """
    looked = _look(needs, policy)
    made = {role: one.kept for role, one in looked.items() if one.kept and one.is_done(policy)}
    remarks: list[str] = []
    rest = {role: one for role, one in looked.items() if role not in made}
    if rest:
        for role, (lock, told) in _renew(rest, report, policy).items():
            made[role] = lock
            remarks += (f"{role}: {remark}" for remark in (*told, *deviations(needs[role].held, lock.versions)))
    return Wheelhouse({role: made[role] for role in needs}, tuple(remarks))


def lacking(needs: Mapping[str, Need], report: Report, policy: Policy = KEEP) -> tuple[Lacking, ...]:
    """What `prepare` would refuse, or take in an older version, because no build here gives a wheel for its target.

    What can be built here has been when this returns. ServiceError with what cannot be resolved or fetched at all.
    """
    rest = {role: one for role, one in _look(needs, policy).items() if not one.is_done(policy)}
    if not rest:
        return ()
    begun = _begin(rest, report, replace(policy, wheels=False, builder=None))
    found = _each(lambda one: one.renewal.lacking(one.pins), begun.values())
    roles: dict[tuple[Pin, Target], list[str]] = {}
    for role, pins_lacking in zip(begun, found, strict=True):
        for pin in pins_lacking:
            roles.setdefault((replace(pin, url=""), needs[role].target), []).append(role)
    return tuple(
        Lacking(pin.name, pin.version, store.path_of(pin.sha256, pin.filename), target, tuple(names))
        for (pin, target), names in roles.items()
    )


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


class _Looked(NamedTuple):
    """What a role needs, the lock that is kept of it, and whether that answers what is asked now and is to stay."""

    need: Need
    kept: Lock | None
    is_fresh: bool

    def is_done(self, policy: Policy) -> bool:
        """Whether nothing is left to do: the store has the wheels, if they are wanted.

        A folder may have changed without a trace.
        """
        if self.kept is None or not self.is_fresh:
            return False
        entries = self.kept.entries if policy.wheels else ()
        return all(one.pin.kind != "folder" and store.has(one.sha256, one.wheel) for one in entries)


def _look(needs: Mapping[str, Need], policy: Policy) -> dict[str, _Looked]:
    """What there is of each role; ServiceError with the faults of all locks."""
    return dict(zip(needs, _each(lambda need: _look_at(need, policy), needs.values()), strict=True))


def _look_at(need: Need, policy: Policy) -> _Looked:
    if need.asked.is_nothing:
        return _Looked(need, Lock(need.target, need.fingerprint, ()), True)
    kept = locks.load(need.asked, need.target)
    if kept is None or not policy.keeps:
        return _Looked(need, kept, False)
    # Whoever has edited the lock cannot have edited away what the lines allow.
    is_allowed = all(pins.is_allowed(need.asked, entry.pin) for entry in kept.entries)
    return _Looked(need, kept, is_allowed and kept.asked == need.fingerprint)


class _Begun(NamedTuple):
    """The renewal of a role, and what it gets."""

    renewal: "Renewal"
    pins: tuple[Pin, ...]


def _begin(roles: Mapping[str, _Looked], report: Report, policy: Policy) -> dict[str, _Begun]:
    """Resolve for some roles, and fetch what has to be built."""
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
        labels = dict.fromkeys(roles[role].need.target.label for role in to_resolve)
        report(f"Resolving {', '.join(to_resolve)} for {', '.join(labels)}", 0, 0)
    found = _each(Renewal.pins, renewals.values(), threads=_AT_ONCE)
    begun = {role: _Begun(renewals[role], some) for role, some in zip(renewals, found, strict=True)}
    fetch.fetch(_wanted(begun.values(), wheels=False), report)
    return begun


def _wanted(begun: Iterable[_Begun], wheels: bool) -> "dict[Pin, Access]":
    """How to fetch the files that roles need: wheels, or what wheels are built from."""
    return {
        pin: renewal.access for renewal, some in begun for pin in some if pin.is_wheel == wheels and renewal.wants(pin)
    }


def _renew(roles: Mapping[str, _Looked], report: Report, policy: Policy) -> dict[str, tuple[Lock, list[str]]]:
    """Resolve, fetch and build for some roles; the lock of each, and what is to be said of it."""
    begun = _begin(roles, report, policy)
    from packager import fetch

    wheels = _wanted(begun.values(), wheels=True)
    made: list[tuple[Lock, list[str]]] = []
    # What has to be built is built while wheels are fetched.
    work = [
        lambda: fetch.fetch(wheels, report),
        lambda: made.extend(_each(lambda one: one.renewal.lock(one.pins), begun.values())),
    ]
    _each(lambda one: one(), work, threads=2)
    return dict(zip(begun, made, strict=True))


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
