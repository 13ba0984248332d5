"""What a host keeps of past versions, and what it removes."""

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from cloudservice.files import entries, write_whole
from publisher.agent import states, store
from publisher.agent.place import Place
from publisher.agent.values import DEPLOYMENTS, Entry, State

_OTHERS = {"setups", "instances", "Resources"}
"""Folders of a deployment that are no versions."""


def list_parts(place: Place, version: str, parts: set[str]) -> None:
    """Note that a version is made of these parts, which stay as long as it does."""
    known = listed(place, version)
    if not parts <= known:
        write_whole(_list(place, version), json.dumps(sorted(parts | known)))


def prune(place: Place) -> None:
    """Keep what a deployment runs and ran before, and nothing else."""
    now = states.state(place)
    kept: set[str] = set()
    for letter in DEPLOYMENTS:
        known = _entries(place, now, letter)
        kept |= {entry.version for entry in known}
        for version in set(versions(place, letter)) - {entry.version for entry in known}:
            _remove(place.deployment(letter) / version)
        for half in place.deployment(letter).glob(".*.removed"):
            shutil.rmtree(half, ignore_errors=True)
        _remove_others(place.deployment(letter) / "setups", {entry.setup for entry in known})
    _remove_others(place.folder / "versions", kept)
    store.sweep(place, {sha256 for version in kept for sha256 in listed(place, version)})


def _remove(folder: Path) -> None:
    """Remove a version: first its name, since half of it must never be taken for the whole."""
    half = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.removed")
    with contextlib.suppress(OSError):  # something of it runs still, or is read
        folder.rename(half)
        shutil.rmtree(half, ignore_errors=True)


def _remove_others(folder: Path, kept: set[str]) -> None:
    for path in folder.glob("*.json"):
        if path.stem not in kept:
            path.unlink(missing_ok=True)


def is_settled(place: Place) -> dict[str, bool]:
    """Whether the command that brought what each deployment runs has come to its end, and well."""
    done = {line.get("id") for line in states.history(place) if line.get("result") == "done"}
    now = states.state(place)
    return {name: one.current is None or one.current.token in done for name, one in now.deployments.items()}


def _entries(place: Place, now: State, letter: str) -> list[Entry]:
    """What a deployment keeps, and what it runs although something else is wanted by now."""
    running = states.running(place, letter)
    return [*now.deployments[letter].kept, *([running.entry] if running else [])]


def versions(place: Place, letter: str) -> list[str]:
    """The versions whose folders are there."""
    there = (path.name for path in entries(place.deployment(letter)) if path.is_dir())
    return [name for name in there if name not in _OTHERS and not name.startswith(".")]


def laid(place: Place, letter: str) -> Iterator[str]:
    """The folders of instances that are there, as a/3f2a9c1b2d3e/web_IN_0."""
    for version in versions(place, letter):
        for path in (place.deployment(letter) / version).iterdir():
            if not path.name.startswith("."):
                yield f"{letter}/{version}/{path.name}"


def _list(place: Place, version: str) -> Path:
    return place.folder / "versions" / f"{version}.json"


def listed(place: Place, version: str) -> set[str]:
    """The parts that a version is made of."""
    path = _list(place, version)
    return set(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else set()
