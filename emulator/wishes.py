"""What can be wished of a running emulator: the protocol of the control channel.

A wish is a JSON object with its name, that of its class in lower case, under `wish`, and its fields. The answer
is one JSON object a line: a `snapshot`; or `said` for each step of a change and at its end `faults`, empty if all went
well; or what was asked for, or `faults`; or events without an end.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cloudservice.failure import OnFailure
from cloudservice.plain import from_plain, to_plain

Message = dict[str, Any]


class Status(NamedTuple):
    """A snapshot."""


class Stop(NamedTuple):
    """A snapshot, and the end of everything."""


class Scale(NamedTuple):
    """Other numbers of instances by role, for this run."""

    counts: Mapping[str, int]


class Restart(NamedTuple):
    """Recycle the instances of these roles, and these instances."""

    roles: tuple[str, ...]
    instances: tuple[str, ...]


class Upgrade(NamedTuple):
    """Another version of the service, as emulator.run has written it."""

    run: Path
    on_failure: OnFailure = "rollback"


class Watch(NamedTuple):
    """A snapshot, then every event; `output` asks for what the instances print as well."""

    output: bool


class Inside(NamedTuple):
    """The environment and the folder of an instance's program."""

    instance: str


Wish = Status | Stop | Scale | Restart | Upgrade | Watch | Inside
_KINDS: Mapping[str, type[Wish]] = {
    kind.__name__.lower(): kind for kind in (Status, Stop, Scale, Restart, Upgrade, Watch, Inside)
}


def to_message(wish: Wish) -> Message:
    """The wish as it travels."""
    return {"wish": type(wish).__name__.lower(), **to_plain(wish)}


def from_message(message: Message) -> Wish | None:
    """The wish that travelled; None if it is none that is known."""
    fields = dict(message)
    try:
        return from_plain(_KINDS[fields.pop("wish")], fields)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
