"""What is wanted of the packages of a role, and how its lock is treated."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packager.requirements import Asked
from packager.target import Target

Builder = Callable[[Path, Target], Path]
"""Gives the wheel that another machine has built of an sdist for a target; ServiceError if that cannot be."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a role needs, on which target, and the versions that it should have there if it can."""

    asked: Asked
    target: Target
    held: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Changes when other packages may be meant."""
        held = (f"held {name}=={version}" for name, version in sorted(self.held.items()))
        return self.asked.fingerprint(self.target, *held)


def deviations(held: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Which versions differ between the target, whose are `held`, and this machine, in words."""
    return [
        f"{name} {version} here, {held[name]} on the target"
        for name, version in here.items()
        if held.get(name, version) != version
    ]


@dataclass(frozen=True, slots=True)
class Policy:
    """How locks are treated: the packages to renew (None: all of them), no network, and whether wheels are wanted.

    Without `wheels` what has to be built is built, since that may fail, but nothing else is fetched. `builder` is asked
    for wheels for Windows that no build here gives.
    """

    upgrade: Collection[str] | None = ()
    offline: bool = False
    wheels: bool = True
    builder: Builder | None = None

    @property
    def keeps(self) -> bool:
        """Whether every lock that answers what is asked stays as it is."""
        return self.upgrade is not None and not self.upgrade


KEEP = Policy()
