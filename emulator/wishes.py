"""What can be wished of a running emulator: the protocol of the control channel.

A wish is a JSON object with its name under `wish` and its fields. The answer is one JSON object a line: a `snapshot`;
or `said` for each step of a change and at its end `faults`, empty if all went well; or what was asked for, or `faults`;
or events without an end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from cloudservice.plain import from_plain, to_plain

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Status:
    """A snapshot."""

    NAME: ClassVar = "status"


@dataclass(frozen=True, slots=True)
class Stop:
    """A snapshot, and the end of everything."""

    NAME: ClassVar = "stop"


@dataclass(frozen=True, slots=True)
class Scale:
    """Other numbers of instances by role, for this run."""

    NAME: ClassVar = "scale"
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Restart:
    """Recycle the instances of these roles, and these instances."""

    NAME: ClassVar = "restart"
    roles: tuple[str, ...]
    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Another version of the service, as emulator.run has written it."""

    NAME: ClassVar = "upgrade"
    run: Path


@dataclass(frozen=True, slots=True)
class Watch:
    """A snapshot, then every event; `output` asks for what the instances print as well."""

    NAME: ClassVar = "watch"
    output: bool


@dataclass(frozen=True, slots=True)
class Inside:
    """The environment and the folder of an instance's program."""

    NAME: ClassVar = "inside"
    instance: str


Wish = Status | Stop | Scale | Restart | Upgrade | Watch | Inside
_KINDS: Mapping[str, type[Wish]] = {kind.NAME: kind for kind in (Status, Stop, Scale, Restart, Upgrade, Watch, Inside)}


def to_message(wish: Wish) -> Message:
    """The wish as it travels."""
    return {"wish": wish.NAME, **to_plain(wish)}


def from_message(message: Message) -> Wish | None:
    """The wish that travelled; None if it is none that is known."""
    fields = dict(message)
    try:
        return from_plain(_KINDS[fields.pop("wish")], fields)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
