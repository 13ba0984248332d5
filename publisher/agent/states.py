"""What a host keeps of a service: the lock, what it is to run, what it runs, and what happened. Each file is whole."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from cloudservice import lock
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import write_whole
from cloudservice.plain import from_plain, to_plain
from publisher.agent.place import Place
from publisher.agent.values import EMPTY, Done, Held, Instance, Running, Setup, State

T = TypeVar("T")
_TRIES, _PAUSE = 40, 0.05
"""Windows refuses to replace a file in the moment in which somebody reads it."""


def state(place: Place) -> State:
    """What the host is to run."""
    return _read(place.folder / "state.json", State) or EMPTY


def write_state(place: Place, value: State) -> None:
    """Decide what the host is to run; one step, for both deployments and slots."""
    _write(place.folder / "state.json", value)


def done(place: Place) -> Done:
    """How the last change has gone."""
    return _read(place.folder / "done.json", Done) or Done()


def write_done(place: Place, value: Done) -> None:
    """Note how a change has gone."""
    _write(place.folder / "done.json", value)


def running(place: Place, letter: str) -> Running | None:
    """What a deployment was started as; None if nothing of it is known to run."""
    return _read(_running(place, letter), Running)


def write_running(place: Place, letter: str, value: Running | None) -> None:
    """Note what a deployment was started as."""
    if value is None:
        patiently(lambda: _running(place, letter).unlink(missing_ok=True))
    else:
        _write(_running(place, letter), value)


def setup(place: Place, letter: str, sha256: str) -> Setup:
    """A version with a configuration; FileNotFoundError if it was removed."""
    value = _read(place.setup(letter, sha256), Setup)
    if value is None:
        raise FileNotFoundError(place.setup(letter, sha256))
    return value


def instance(place: Place, slot: str, name: str) -> Instance:
    """An instance that is to run in a slot; ServiceError if there is none."""
    there = in_slot(place, slot)
    for one in there:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in there) or "none"
    raise ServiceError(Fault("--instance", f"there is no instance '{name}' in {slot}", f"Instances here: {known}"))


def in_slot(place: Place, slot: str) -> tuple[Instance, ...]:
    """The instances that are to run in a slot."""
    wanted = wanted_in(place, slot)
    return wanted.slots[slot].instances if wanted else ()


def wanted_in(place: Place, slot: str) -> Setup | None:
    """What is to run in a slot, if anything is."""
    now = state(place)
    entry = now.in_slot(slot).current
    return setup(place, now.slots[slot], entry.setup) if entry else None


def held(place: Place) -> Held | None:
    """Who has locked the service."""
    return _read(place.folder / "lock.json", Held)


def hold(place: Place, wanted: Held) -> Held | None:
    """Lock the service; who has it already, if that is somebody else."""
    path = place.folder / "lock.json"
    part = place.folder / f"lock.{wanted.token}.part"
    write_whole(part, json.dumps(to_plain(wanted)))
    try:
        os.link(part, path)  # which fails where the name is taken, and appears with its content
    except FileExistsError:
        there = held(place)
        return None if there is None or there.token == wanted.token else there
    finally:
        part.unlink(missing_ok=True)
    return None


def let_go(place: Place, token: str) -> Held | None:
    """Unlock the service, if a token has it; who had it."""
    there = held(place)
    if there is not None and token == there.token:
        patiently(lambda: (place.folder / "lock.json").unlink(missing_ok=True))
        return there
    return None


@contextmanager
def alone(path: Path, patience: float) -> Iterator[bool]:
    """Whether this process alone has a lock file, while the block lasts."""
    file = lock.take(path, patience)
    try:
        yield file is not None
    finally:
        if file is not None:
            file.close()


def history(place: Place) -> list[dict[str, Any]]:
    """What was done with the service here, the latest last."""
    path = place.folder / "history.jsonl"
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    told = []
    for line in lines:
        with contextlib.suppress(ValueError):  # a line that a loss of power has cut
            told.append(json.loads(line))
    return told


def note(place: Place, line: dict[str, Any]) -> None:
    """Add to the history."""
    with (place.folder / "history.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _running(place: Place, letter: str) -> Path:
    return place.deployment(letter) / "running.json"


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return from_plain(kind, json.loads(patiently(lambda: path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return None


def _write(path: Path, value: Any) -> None:
    content = json.dumps(to_plain(value))
    patiently(lambda: write_whole(path, content))


def patiently(act: Callable[[], T]) -> T:
    """Do what Windows refuses while somebody else reads the file; PermissionError if that goes on."""
    for _ in range(_TRIES):
        try:
            return act()
        except PermissionError:
            time.sleep(_PAUSE)
    return act()
