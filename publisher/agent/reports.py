"""What runs on a host, as `invoke status` shows it."""

import json
from typing import Any

from cloudservice.plain import to_plain
from publisher.agent import iis, ready, states, steps, worker
from publisher.agent.place import Place
from publisher.agent.values import Command, Instance


def status(place: Place, slot: str) -> dict[str, Any]:
    """What runs in a slot: the entry, and each instance."""
    now, setup = states.state(place), states.wanted_in(place, slot)
    letter, entry = now.slots[slot], now.in_slot(slot).current
    there = setup.slots[slot].instances if setup else ()
    return {
        "entry": to_plain(entry) if entry else None,
        "configuration": setup.configuration if setup else None,
        "instances": [_status(place, letter, one) for one in there],
    }


def _status(place: Place, letter: str, one: Instance) -> dict[str, Any]:
    """An instance, with the keys of the emulator's status."""
    life = worker.told(place, letter, one.name)
    why = ready.why_not(place, letter, one)
    is_there = (
        life.state != "Stopped"
        if one.program
        else any(iis.is_started(place.site(letter, one.name, site.name)) for site in one.sites)
    )
    state = "Ready" if why is None else (life.state if one.program else "Busy" if is_there else "Stopped")
    return {
        "name": one.name,
        "role": one.role,
        "kind": one.kind,
        "update_domain": one.update_domain,
        "state": "Busy" if why and state == "Ready" else state,
        "pid": life.pid,
        "restarts": life.restarts,
        "probes": {},
        "exit_code": life.exit_code,
        "reason": life.reason if one.program else why,
        "log_folder": one.logs,
        "tasks": [_task(place, letter, one, number, task) for number, task in enumerate(one.tasks)],
        "endpoints": {name: at._asdict() for name, at in one.endpoints.items()},
    }


def _task(place: Place, letter: str, one: Instance, number: int, command: Command) -> dict[str, Any]:
    path = steps.result(place, letter, one, number)
    code = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    state = "Running" if code is None else "Failed" if code else "Done"
    return {"command_line": command.line, "state": state, "exit_code": code}
