"""Follows a change that the scheduled task of a service makes, and tells how it goes."""

import json
import time
from collections.abc import Callable, Mapping
from typing import IO, Any, NamedTuple

from cloudservice import lock
from cloudservice.errors import Fault, ServiceError
from cloudservice.plain import to_plain
from publisher.agent import bring, states, system
from publisher.agent.bring import Program
from publisher.agent.place import Place
from publisher.agent.system import Task

_POLL = 0.05
_WAKES = 2.0
"""Seconds after which the scheduled task is started again, if it is not at work: it may just have been ending."""
_TRIES = 15


class Session(NamedTuple):
    """Who asks: the service, how these programs are called, what comes in, and how something is said."""

    place: Place
    program: Program
    incoming: IO[bytes]
    say: Callable[[Mapping[str, Any]], None]


def follow(session: Session, serial: int) -> dict[str, Any]:
    """Let the scheduled task make a change, and say what it says until it is done."""
    place, task = session.place, session.place.switch_task
    program = session.program
    words = program.arguments("switch", place.service)
    system.create_task(Task(task, program.python, words, system.SYSTEM), place.folder)
    offset, asleep, tries = 0, float("-inf"), 0
    while (done := states.done(place)).serial < serial:
        if lock.is_free(place.switch_lock) and time.monotonic() - asleep > _WAKES:
            if tries == _TRIES:
                wrong = f"the scheduled task {task} does not run"
                raise ServiceError(Fault("switch", wrong, "See why in Task Scheduler on the host, then publish again"))
            system.start_task(task)
            asleep, tries = time.monotonic(), tries + 1
        offset = _say_new(session, serial, offset)
        time.sleep(_POLL)
    _say_new(session, serial, offset)
    if done.serial != serial:
        wrong = "somebody else has changed the service meanwhile"
        raise ServiceError(Fault("switch", wrong, "Look at `invoke deployments`, then publish again"))
    return {"faults": to_plain(done.faults)}


def _say_new(session: Session, serial: int, offset: int) -> int:
    """Say the lines about a change that were added; up to where they have been read."""
    path = bring.path_of(session.place, serial)
    if not path.exists():
        return offset
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                break
            session.say({"said": json.loads(line)})
            offset += len(line)
    return offset
