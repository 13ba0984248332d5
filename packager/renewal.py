"""The lock of one role, made anew: what is asked for resolved, its files found, what has to be built built."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from cloudservice.errors import Fault, ServiceError
from cloudservice.tells import Report
from packager import build, elsewhere, fetch, index, resolve, store
from packager.index import Access
from packager.locks import Entry, Lock
from packager.pins import Pin
from packager.policy import Need, Policy
from packager.resolve import Wishes


@dataclass(frozen=True)
class Renewal:
    """What is needed, the lock that was kept of it, and how to go about it.

    `environ` is uv's environment, with what the requirements file says about indexes. With `is_fresh` the kept lock
    answers what is asked and is to stay: only files of it are missing.
    """

    need: Need
    kept: Lock | None
    is_fresh: bool
    environ: Mapping[str, str]
    policy: Policy
    report: Report

    @property
    def has_to_resolve(self) -> bool:
        """Whether uv is asked: for versions, or for where the files of a fresh lock are."""
        return not self.is_fresh or bool(self._missing)

    def pins(self) -> tuple[Pin, ...]:
        """What the role gets, with addresses where something is missing; ServiceError if that cannot be had."""
        if not self.is_fresh:
            return self._resolve()
        missing = self._missing
        there = {pin.name: pin for pin in self._located(missing)} if missing else {}
        gone = [entry for name, entry in missing.items() if not _is_same(entry.pin, there.get(name))]
        if gone:
            raise ServiceError(*map(self._gone, gone))
        urls = {name: there[name].url for name in missing}
        return tuple(replace(entry.pin, url=urls.get(name, entry.pin.url)) for name, entry in self._kept.items())

    def wants(self, pin: Pin) -> bool:
        """Whether the file of a pin is needed: a wheel as such, or what a wheel has still to be built from."""
        if pin.kind != "file":
            return False
        return self.policy.wheels if pin.is_wheel else self._built(pin) is None

    @functools.cached_property
    def access(self) -> Access:
        """How the role's files are fetched."""
        return index.access(self.environ)

    def lock(self, pins: Iterable[Pin]) -> tuple[Lock, list[str]]:
        """The lock of what was resolved, its wheels in the store, and what is to be said of it.

        What the target cannot run and cannot be built for it is taken in an older version that has a wheel, if there is
        one; ServiceError otherwise.
        """
        entries, refused = self._entries(pins)
        if refused:
            entries = self._older(refused)
        lock = Lock(self.need.target, self.need.fingerprint, tuple(entries))
        instead = [
            f"{pin.name} {lock.versions[pin.name]} instead of {pin.version}, which has no wheel for it"
            for pin in refused
            if pin.name in lock.versions
        ]
        return lock, [*instead, *(remark for entry in entries for remark in self._remarks(entry))]

    def lacking(self, pins: Iterable[Pin]) -> list[Pin]:
        """The sdists, which the store has, that have no wheel for Windows and give none here."""
        _, refused = self._entries(pins)
        return [pin for pin in refused if self._may_be_built_elsewhere(pin)]

    @functools.cached_property
    def _kept(self) -> dict[str, Entry]:
        """What the kept lock says, by package."""
        return {entry.pin.name: entry for entry in self.kept.entries} if self.kept else {}

    def _resolve(self, unbuilt: frozenset[str] = frozenset()) -> tuple[Pin, ...]:
        """Ask uv, held to the versions of the need if these exist, and near to those of the lock that was kept."""
        renewed = self._kept.keys() if self.policy.upgrade is None else {*self.policy.upgrade, *unbuilt}
        near = {name: entry for name, entry in self._kept.items() if name not in renewed}
        versions = {name: entry.pin.version for name, entry in near.items()}
        files = {name: entry.pin.sha256 for name, entry in near.items() if entry.pin.sha256}
        held = self.need.held
        # uv looks for a preference in the first index that has the version, even if that has no file for the target; so
        # what should stay is demanded first. A version of the target may not exist for this machine at all.
        stays = Wishes({**versions, **held}, {}, files, unbuilt)
        for wishes in (stays, Wishes(held, versions, files, unbuilt)) if versions or held else ():
            try:
                return resolve.resolve(self.need.asked, self.need.target, self.environ, wishes)
            except resolve.UnreachableError:
                raise
            except ServiceError:
                continue
        free = Wishes({}, {**held, **versions}, files, unbuilt)
        return resolve.resolve(self.need.asked, self.need.target, self.environ, free)

    @property
    def _missing(self) -> dict[str, Entry]:
        """What the kept lock names and the store lacks, by package."""
        return {name: entry for name, entry in self._kept.items() if not self._is_here(entry)}

    def _located(self, missing: Mapping[str, Entry]) -> tuple[Pin, ...]:
        """Where the files of the fresh lock are, whatever the index says of their needs by now."""
        if self.need.asked.locked is not None:
            return self._resolve()
        pins = [entry.pin for entry in missing.values()]
        try:
            found = resolve.locate(self.need.asked, pins, self.need.target, self.environ)
        except ServiceError:
            found = ()
        there = {pin.name: pin for pin in found}
        if all(_is_same(pin, there.get(pin.name)) for pin in pins):
            return found
        try:
            return self._resolve()  # one may be at an address that only another package names
        except ServiceError:
            if not found:
                raise
            return found

    def _is_here(self, entry: Entry) -> bool:
        """Whether the store, or a folder, has all that the package needs."""
        if entry.pin.kind == "folder" or self._built(entry.pin) is not None:
            return True
        return entry.pin.kind == "file" and (
            (entry.pin.is_wheel and not self.policy.wheels) or store.has(entry.pin.sha256, entry.pin.filename)
        )

    def _gone(self, entry: Entry) -> Fault:
        pin = entry.pin
        wrong = f"the lock names {pin.filename or pin.name} with the SHA-256 {pin.sha256}, and it is nowhere to be had"
        remedy = f"Put it into {self.need.asked.shelf_shown}, or run `invoke lock --upgrade {pin.name}`"
        return self.need.asked.fault(pin.name, wrong, remedy)

    def _entries(self, pins: Iterable[Pin]) -> tuple[list[Entry], dict[Pin, build.RefusedError]]:
        """The packages with their wheels, and those of which the target can have none.

        ServiceError with all of which it cannot be told.
        """
        entries: list[Entry] = []
        refused: dict[Pin, build.RefusedError] = {}
        faults: list[Fault] = []
        for pin in pins:
            try:
                entries.append(self._entry(pin))
            except build.RefusedError as error:
                refused[pin] = error
            except ServiceError as error:
                faults += error.faults
        if faults:
            raise ServiceError(*dict.fromkeys(faults))
        return entries, refused

    def _older(self, refused: Mapping[Pin, build.RefusedError]) -> list[Entry]:
        """The packages with wheels alone in place of what was refused."""
        first = ServiceError(*(fault for error in refused.values() for fault in error.faults))
        if self.is_fresh or any(pin.kind != "file" for pin in refused):
            raise first
        try:
            older = self._resolve(frozenset(pin.name for pin in refused))
            fetch.fetch({pin: self.access for pin in older if self.wants(pin)}, self.report)
        except ServiceError:
            raise first from None
        entries, still = self._entries(older)
        if still:
            raise first
        return entries

    def _entry(self, pin: Pin) -> Entry:
        if pin.is_wheel:
            return Entry(pin, pin.filename, pin.sha256)
        built = self._built(pin) or self._build(pin)
        found = replace(pin, version=built.version)
        return Entry(found, built.filename, built.sha256, built.using, built.without_compiler)

    def _build(self, pin: Pin) -> build.Built:
        """Build here, and where that gives nothing, elsewhere."""
        what = f"{pin.name} {pin.version}".strip()
        self.report(f"Building {what}", 0, 0)
        before = self._kept.get(pin.name)
        using = before.using if before and replace(before.pin, url=pin.url) == pin else ""
        try:
            return build.build(pin, self.need.asked, self.need.target, self.environ, using)
        except build.RefusedError as refused:
            if self.policy.builder is None or not self._may_be_built_elsewhere(pin):
                raise
            self.report(f"Building {what} elsewhere", 0, 0)
            where = refused.faults[0].where
            return elsewhere.build(pin, self.need, self.policy.builder, where)

    def _may_be_built_elsewhere(self, pin: Pin) -> bool:
        """A wheel of a project would stay as it is with every edit."""
        return pin.kind == "file" and self.need.target.is_windows

    def _built(self, pin: Pin) -> build.Built | None:
        """The wheel of what has to be built, if the store has it: before any other, the one of the fresh lock."""
        if pin.is_wheel:
            return None
        entry = self._kept.get(pin.name) if self.is_fresh else None
        if entry is not None and entry.sha256 and store.has(entry.sha256, entry.wheel):
            return build.Built(entry.wheel, entry.sha256, entry.using)
        return build.recall(pin, self.need.target)

    def _remarks(self, entry: Entry) -> Iterator[str]:
        """What is to be said of a wheel that was built: that it lacks a part, or is not the same as before."""
        if entry.without_compiler:
            named = f"{entry.pin.name}=={entry.pin.version}"
            yield f"{named} goes without its compiled part, which had to be left out"
        before = self._kept.get(entry.pin.name) if self.is_fresh else None
        if before is not None and before.sha256 not in {"", entry.sha256}:
            shelf = self.need.asked.shelf_shown
            yield f"{entry.wheel} was built again, and not to the same bytes as before; put one into {shelf} to keep it"


def _is_same(wanted: Pin, found: Pin | None) -> bool:
    """Whether what was found is what a lock names."""
    return found is not None and found.kind == wanted.kind and found.sha256 == wanted.sha256
