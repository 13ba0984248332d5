"""The programs of a host: a session with a publisher, a change, an instance's worker, a startup task."""

import contextlib
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloudservice.errors import Fault, ServiceError
from cloudservice.plain import to_plain
from publisher.agent import alone, bring, frames, proof, states, steps, verbs, worker
from publisher.agent.bring import Program
from publisher.agent.following import Session
from publisher.agent.place import Place
from publisher.agent.values import Instance, Setup

_PATIENCE = 5.0
"""Seconds that an instance's worker of before may take to be gone."""


def main(archive: str, words: Sequence[str]) -> None:
    """Run a program; the archive lies in the folder `agent` of rolepack's own."""
    root = Path(archive).parent.parent
    verb, *rest = words
    _PROGRAMS[verb](root, Program(sys.executable, archive), rest)


def session(root: Path, program: Program, _words: Sequence[str]) -> None:
    """Do what comes in, request by request, until nothing more does."""
    incoming = sys.stdin.buffer
    with contextlib.ExitStack() as stack:
        for number, line in enumerate(iter(incoming.readline, b"")):
            asked = frames.decode(line)
            asking = Session(Place(root, asked["service"]), program, incoming, _say)
            if number == 0:
                stack.enter_context(alone.alone(asking.place.sessions, asked["conversation"]))
            proven = {"is_clean": frames.is_clean(incoming)} if asked.get("probes") else {}
            _say({**_answer(asking, asked), **proven})


def switch(root: Path, program: Program, words: Sequence[str]) -> None:
    """Make a service what it is to be."""
    bring.bring(Place(root, words[0]), program)


def run(root: Path, _program: Program, words: Sequence[str]) -> None:
    """Live as an instance's worker; there is one at a time."""
    place, letter, setup, instance = _called(root, words)
    if instance.program is None:
        return
    with states.alone(place.worker_lock(letter, instance.name), _PATIENCE) as is_alone:
        if is_alone:
            worker.Worker(place, letter, setup, instance, instance.program).live()


def step(root: Path, _program: Program, words: Sequence[str]) -> None:
    """Run one startup task of an instance."""
    *about, number = words
    place, letter, _, instance = _called(root, about)
    code = steps.finish(instance, instance.tasks[int(number)])
    steps.tell(place, letter, instance, int(number), code)


def witness(root: Path, _program: Program, words: Sequence[str]) -> None:
    """Say who runs this, for the proof that asks."""
    service, name = words
    proof.witness(Place(root, service).folder / "self-test" / name)


_PROGRAMS: Mapping[str, Callable[[Path, Program, Sequence[str]], None]] = {
    "session": session,
    "switch": switch,
    "run": run,
    "step": step,
    "witness": witness,
}


def _called(root: Path, about: Sequence[str]) -> tuple[Place, str, Setup, Instance]:
    """The instance that a program is called about, as steps.Call has written it."""
    service, letter, sha256, slot, name = about
    place = Place(root, service)
    setup = states.setup(place, letter, sha256)
    return place, letter, setup, next(one for one in setup.slots[slot].instances if one.name == name)


def _answer(asking: Session, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to what is asked: a result, or faults, or that there is a fault in these programs."""
    try:
        return {"result": verbs.perform(asking, asked)}
    except ServiceError as error:
        return {"faults": to_plain(error.faults)}
    except OSError as error:
        wrong = f"{error.filename or 'the host'}: {error.strerror or error}"
        return {"faults": to_plain((Fault(asked["verb"], wrong, "Mend that on the host, then try again"),))}
    except Exception:
        return {"bug": traceback.format_exc()}


def _say(value: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(frames.encode(value))
    sys.stdout.buffer.flush()
