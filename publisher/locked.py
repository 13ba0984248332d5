"""Hosts that one command has for itself, and what they tell of themselves then."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cloudservice.plain import from_plain, to_plain
from cloudservice.tells import Tell
from publisher import holding, known
from publisher.agent.values import Held
from publisher.fleet import Fleet
from publisher.hosts import Host
from publisher.known import Known
from publisher.session import Session

Asked = Callable[[Host], Mapping[str, Any]]
"""What a host is asked about: the `parts` that it needs, and the `bindings` of its sites."""


def nothing(_host: Host) -> Mapping[str, Any]:
    """Ask about nothing but what the host is and runs."""
    return {}


def look(fleet: Fleet, about: Asked) -> dict[str, Known]:
    """What hosts tell, without anything being changed there."""
    return fleet.each(lambda session: ask(session, about))


def ask(session: Session, about: Asked) -> Known:
    """What one host tells."""
    found: Known = _asked(session, "look", about)
    return found


class Locked:
    """Hosts that a command has for itself, and what they have told since."""

    def __init__(self, fleet: Fleet, held: Held, known: Mapping[str, Known]) -> None:
        self.held, self.known = held, known
        self._fleet = fleet
        self._noted: set[str] = set()

    def finish(self, line: Mapping[str, Any], prunes: bool) -> None:
        """Note on every host what was done, remove what it needs no more if it `prunes`, and unlock it.

        What cannot be noted keeps nothing from being done.
        """
        about: dict[str, Any] = {"token": self.held.token, "line": dict(line), "prunes": prunes}
        done, _ = self._fleet.attempt(lambda session: session.ask("finish", "noting", **about))
        self._noted |= set(done)

    def let_go(self, tell: Tell) -> None:
        """Unlock every host that was asked, and is not unlocked yet."""
        there = [name for name in self._fleet.asked if name not in self._noted]
        _, faults = self._fleet.attempt(
            lambda session: session.ask("let_go", "unlocking", token=self.held.token), there
        )
        for name in faults:
            tell(f"host '{name}' could not be unlocked: `invoke deploy-unlock --host {name}` does that")


@contextmanager
def locked(fleet: Fleet, held: Held, folder: Path, about: Asked, tell: Tell) -> Iterator[Locked]:
    """Lock every host, or none; ServiceError if somebody else has one. They are unlocked at the end of the block."""
    there = Locked(fleet, held, {})
    try:
        found = fleet.each(lambda session: _begin(session, held, folder, about, tell))
        holding.refuse({name: one for name, one in found.items() if isinstance(one, Held)})
        there.known = {name: one for name, one in found.items() if isinstance(one, Known)}
        yield there
    finally:
        there.let_go(tell)


def _begin(session: Session, held: Held, folder: Path, about: Asked, tell: Tell) -> Known | Held:
    asked: dict[str, Any] = {"held": to_plain(held)}
    found: Known | Held = _asked(session, "begin", about, **asked)
    if isinstance(found, Held) and holding.is_dead(folder, found):
        tell(f"{session.host.name}: a command that has died since {found.since} held the lock, which is taken over")
        found = _asked(session, "begin", about, dead=[found.token], **asked)
    return found


def _asked(session: Session, verb: str, about: Asked, **asked: Any) -> Any:
    answer = session.ask(verb, "asking", **about(session.host), **asked)
    with session.understanding("asking"):
        return from_plain(Held, answer["other"]) if "other" in answer else known.of(answer)
