"""The shelf of a role: wheels beside what asks for them, which every checkout of the service has."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from cloudservice.files import write_whole
from packager import build, store
from packager.locks import Entry, Lock
from packager.policy import Need


def put(needs: Mapping[str, Need], locks: Mapping[str, Lock]) -> dict[str, list[Path]]:
    """Put what another machine has built onto the shelf of every role that gets it; the files that are new, by role.

    A file of that name which is there already is its user's.
    """
    made: dict[str, list[Path]] = {}
    for role, entry in _built_elsewhere(locks):
        place = needs[role].asked.shelf_folder / entry.wheel
        if not place.exists():
            write_whole(place, store.path_of(entry.sha256, entry.wheel).read_bytes())
            made.setdefault(role, []).append(place)
    return made


def remarks(locks: Mapping[str, Lock]) -> list[str]:
    """Of which wheels that another machine has built the shelf is of no use: a line allows the sdist's hash alone."""
    return [
        f"{role}: {entry.pin.name}=={entry.pin.version} is still taken from its sdist, so that only machines that have "
        f"built it go on; add --hash=sha256:{entry.sha256} to its line"
        for role, entry in _built_elsewhere(locks)
    ]


def _built_elsewhere(locks: Mapping[str, Lock]) -> Iterator[tuple[str, Entry]]:
    """What comes from an sdist by the hands of another machine, with the role."""
    for role, lock in locks.items():
        for entry in lock.entries:
            built = None if entry.pin.is_wheel else build.recall(entry.pin, lock.target)
            if built is not None and built.elsewhere and built.sha256 == entry.sha256:
                yield role, entry
