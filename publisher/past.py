"""What hosts tell of their past, put together: one line for each thing that was done, on whichever hosts."""

from collections.abc import Iterable, Mapping
from typing import Any

from cloudservice.plain import from_plain
from publisher.agent.values import SLOTS, State


def told(answers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The slots of each host with what is kept, and the history, the latest first; for programs."""
    states = {name: from_plain(State, answer["state"]) for name, answer in answers.items()}
    return {
        "hosts": [{"name": name, **_slots(state)} for name, state in states.items()],
        "history": sorted(_joined(answers), key=lambda line: str(line.get("when")), reverse=True),
    }


def slots(value: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    """The hosts as rows of a table."""
    for one in value["hosts"]:
        runs = (one[slot]["version"] if one[slot] else "nothing" for slot in SLOTS)
        yield one["name"], *runs, " ".join(one["kept"]) or "none"


def rows(value: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    """The history as rows of a table."""
    for line in value["history"]:
        texts = [str(line.get(key) or "-") for key in ("when", "what", "slot", "version", "who", "result")]
        yield (*texts, " ".join(line["hosts"]))


def _slots(state: State) -> dict[str, Any]:
    kept = {entry.version for one in state.deployments.values() for entry in one.kept}
    kept -= {one.current.version for one in state.deployments.values() if one.current}
    return {
        **{slot: _entry(state, slot) for slot in SLOTS},
        "kept": sorted(kept),
    }


def _entry(state: State, slot: str) -> dict[str, Any] | None:
    current = state.in_slot(slot).current
    return {"version": current.version, "who": current.who, "when": current.when} if current else None


def _joined(answers: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The lines of all hosts; what was done by one command is one line, with the hosts that tell of it."""
    found: dict[str, dict[str, Any]] = {}
    for name, answer in answers.items():
        for line in answer["lines"]:
            known = found.setdefault(str(line.get("id")), {**line, "hosts": []})
            known["hosts"].append(name)
    return list(found.values())
