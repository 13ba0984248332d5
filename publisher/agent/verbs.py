"""What can be asked of a host in a session. Each verb may be asked again, and then changes nothing, but for `exec`."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloudservice import names
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import write_whole
from cloudservice.plain import from_plain, to_plain
from publisher.agent import (
    building,
    certificates,
    facts,
    following,
    frames,
    iis,
    keeping,
    logfiles,
    programs,
    proof,
    reports,
    states,
    store,
    system,
)
from publisher.agent.following import Session
from publisher.agent.place import Place
from publisher.agent.values import DEPLOYMENTS, SLOTS, Certificate, Command, Held, State

Asked = Mapping[str, Any]
_ACCESS = {"setups": system.open_folder, "instances": system.own_folder, "Resources": system.own_folder}
"""Folders of a deployment: what the service account may only read, and what it writes to."""
_RESERVED = ("agent", "python", "sessions", "rolepack-building")
"""Folders beside those of services."""


def look(session: Session, asked: Asked) -> dict[str, Any]:
    """What the host is, has and runs, who has locked the service, and which of these parts it lacks."""
    place = session.place
    held = states.held(place)
    return {
        "facts": facts.told(place.root),
        "held": to_plain(held) if held else None,
        "state": to_plain(states.state(place)),
        "taken": iis.taken(asked["bindings"]) if asked.get("bindings") else {},
        "missing": store.missing(place, asked.get("parts", {})),
        "laid": [name for letter in DEPLOYMENTS for name in keeping.laid(place, letter)],
        "is_settled": keeping.is_settled(place),
        "instances": {slot: [one.name for one in states.in_slot(place, slot)] for slot in SLOTS},
    }


def begin(session: Session, asked: Asked) -> dict[str, Any]:
    """The same, once the service is locked; ServiceError if somebody else has it locked."""
    place, wanted = session.place, from_plain(Held, asked["held"])
    system.open_folder(place.root)
    place.folder.mkdir(parents=True, exist_ok=True)
    other = states.hold(place, wanted)
    if other is not None and other.token in asked.get("dead", ()):
        states.let_go(place, other.token)
        other = states.hold(place, wanted)
    if other is not None:
        return {"other": to_plain(other)}
    return look(session, asked)


def let_go(session: Session, asked: Asked) -> dict[str, Any]:
    """Unlock the service, if this token has it."""
    there = states.let_go(session.place, asked["token"])
    return {"held": to_plain(there) if there else None}


def receive(session: Session, asked: Asked) -> dict[str, Any]:
    """Take the pieces of parts that follow."""
    store.receive(session.place, asked["pieces"], session.incoming)
    return {}


def lay(session: Session, asked: Asked) -> dict[str, Any]:
    """Make the folders of a version's instances in a deployment, out of parts."""
    place, version = session.place, asked["version"]
    keeping.list_parts(place, version, {sha256 for files in asked["instances"].values() for sha256 in files.values()})
    store.lay(place, asked["letter"], version, asked["instances"])
    return {}


def certify(_session: Session, asked: Asked) -> dict[str, Any]:
    """Install certificates, or look for those that come without content: the names of those that are missing."""
    missing = []
    for one in asked["certificates"]:
        certificate = from_plain(Certificate, one["certificate"])
        if one.get("content"):
            certificates.install(certificate, bytes.fromhex(one["content"]), one["password"])
        elif not certificates.is_there(certificate):
            missing.append(certificate.name)
    return {"missing": missing}


def switch(session: Session, asked: Asked) -> dict[str, Any]:
    """Make the service what is wanted, and follow how it goes: the faults, if something does not come up.

    What little a host lacks may come with it, in `delivery`: pieces, and what is to be laid of them.
    """
    place = session.place
    if asked.get("delivery"):
        receive(session, asked["delivery"])
    _must_hold(place, asked["token"])
    if asked.get("delivery"):
        lay(session, asked["delivery"])
    for letter in DEPLOYMENTS:
        for name, access in _ACCESS.items():
            if not (place.deployment(letter) / name).is_dir():
                access(place.deployment(letter) / name)
    for letter, text in asked["setups"]:
        _write_setup(place, letter, text)
    serial = states.state(place).serial + 1
    states.write_state(place, from_plain(State, {**asked["state"], "serial": serial}))
    return following.follow(session, serial)


def restart(session: Session, asked: Asked) -> dict[str, Any]:
    """Recycle instances of a slot."""
    place = session.place
    _must_hold(place, asked["token"])
    now = states.state(place)
    letter = now.slots[asked["slot"]]
    deployment = now.deployments[letter]
    recycles = {**deployment.recycles, **{name: deployment.recycles.get(name, 0) + 1 for name in asked["instances"]}}
    changed = {**now.deployments, letter: deployment._replace(recycles=recycles)}
    after = now._replace(serial=now.serial + 1, deployments=changed, awaited=())
    states.write_state(place, after)
    return following.follow(session, now.serial + 1)


def finish(session: Session, asked: Asked) -> dict[str, Any]:
    """Add to the history, remove what no deployment keeps any more, and unlock."""
    place = session.place
    there = states.held(place)
    if there is not None and there.token == asked["token"]:
        states.note(place, asked["line"])
        if asked["prunes"]:  # or else what has arrived is there for the next try
            keeping.prune(place)
        states.let_go(place, asked["token"])
    return {}


def history(session: Session, _asked: Asked) -> dict[str, Any]:
    """What was done here, and what is kept."""
    return {"lines": states.history(session.place), "state": to_plain(states.state(session.place))}


def retire(session: Session, asked: Asked) -> dict[str, Any]:
    """Forget a version that nothing runs; whether it was here."""
    place, version = session.place, asked["version"]
    _must_hold(place, asked["token"])
    now = states.state(place)
    kept = {letter: one.without(version) for letter, one in now.deployments.items()}
    was_here = any(name == version for letter in DEPLOYMENTS for name in keeping.versions(place, letter))
    states.write_state(place, now._replace(deployments=kept))
    states.note(place, asked["line"])
    keeping.prune(place)
    return {"was_here": was_here}


def status(session: Session, asked: Asked) -> dict[str, Any]:
    """What runs in a slot: the entry, and each instance as `invoke status` shows it."""
    return reports.status(session.place, asked["slot"])


def logs(session: Session, asked: Asked) -> dict[str, Any]:
    """What is new in the logs of a slot's instances."""
    place = session.place
    return logfiles.news(states.in_slot(place, asked["slot"]), asked["known"])


def execute(session: Session, asked: Asked) -> dict[str, Any]:
    """Run a command as an instance sees the world; what it prints is said, and its exit code told."""
    instance = states.instance(session.place, asked["slot"], asked["instance"])
    environ = programs.environ(instance, Command("", False, instance.program.environ if instance.program else {}))
    approot = Path(instance.root) / "approot"
    own = approot / ".rolepack" / "env" / "Scripts"
    environ["PATH"] = f"{own};{environ.get('PATH', '')}"
    words = asked["words"]
    found = shutil.which(words[0], path=environ["PATH"])
    if found is None:
        remedy = "Name one that is in the role's environment, or on the host's path"
        raise ServiceError(Fault(instance.name, f"there is no program '{words[0]}'", remedy))
    nothing, piped = subprocess.DEVNULL, subprocess.PIPE
    argv = [found, *words[1:]]
    with subprocess.Popen(
        argv, stdin=nothing, stdout=piped, stderr=subprocess.STDOUT, cwd=approot, env=environ
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        while data := process.stdout.read1(1 << 15):  # type: ignore[attr-defined, unused-ignore]
            session.say({"printed": data.hex()})
    return {"code": process.returncode}


def build(session: Session, asked: Asked) -> dict[str, Any]:
    """Build a wheel of an sdist, whose content is said; its name and hash."""
    return building.build(session.place, asked, session.say)


def prove(session: Session, asked: Asked) -> dict[str, Any]:
    """What only a real Windows can show, with what has come after the question."""
    content = b"".join(frames.unpack(session.incoming) for _ in range(asked["count"]))
    return {"proofs": [one._asdict() for one in proof.prove(session.place, session.program, content, asked["sha256"])]}


_BUILDS = ("look", "receive", "build")
"""What is asked for the sake of a build, in whose folder no service is."""
VERBS: Mapping[str, Callable[[Session, Asked], dict[str, Any]]] = {
    "look": look,
    "begin": begin,
    "let_go": let_go,
    "receive": receive,
    "lay": lay,
    "certify": certify,
    "switch": switch,
    "restart": restart,
    "finish": finish,
    "history": history,
    "retire": retire,
    "status": status,
    "logs": logs,
    "exec": execute,
    "build": build,
    "prove": prove,
}


def perform(session: Session, asked: Asked) -> dict[str, Any]:
    """Do what is asked; ServiceError if that fails."""
    if not names.is_name(session.place.service):
        raise ServiceError(Fault("session", f"'{session.place.service}' is no name of a service", names.RULE))
    if session.place.service.lower() in _RESERVED and asked["verb"] not in _BUILDS:
        wrong = f"a service cannot be called '{session.place.service}' there: rolepack has a folder of that name"
        raise ServiceError(Fault("session", wrong, "Give it another name in its definition"))
    return VERBS[asked["verb"]](session, asked)


def _must_hold(place: Place, token: str) -> None:
    there = states.held(place)
    if there is None or there.token != token:
        whose = f"{there.who} has, since {there.since}" if there else "nobody has"
        wrong = f"this command has not locked the service: {whose}"
        raise ServiceError(Fault("lock", wrong, "Somebody has unlocked it; look at `invoke deployments`, then retry"))


def _write_setup(place: Place, letter: str, text: str) -> None:
    content = text.encode()
    path = place.setup(letter, hashlib.sha256(content).hexdigest())
    if not path.exists():
        write_whole(path, content)
