"""invoke publish, rollback, swap, retire, deployments, deploy-unlock: versions of the service on its own machines."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Context

from rolepack import reached
from rolepack.command import AS_JSON, CONFIGURATION, SERVICE, command, counted, say, say_json, silent, table
from rolepack.reached import HOST, HOSTS, PARALLEL, SLOT

if TYPE_CHECKING:
    from cloudservice.failure import OnFailure
    from cloudservice.tells import Tell
    from publisher.agent.values import Entry, Held
    from publisher.hosts import Host
    from publisher.locked import Locked
    from publisher.publication import Publication, Step
    from publisher.session import Prepare
    from publisher.walk import Change
    from rolepack.reached import Reached

_ON_FAILURE = "rollback: what ran before comes back everywhere; stop: only on the update domain that fails."
_YES = "Do not ask."


@command(
    help={
        "package": "The bundle (default: dist/SERVICE.cspkg in the service's folder).",
        "service": SERVICE,
        "configuration": f"{CONFIGURATION} Default: Cloud, or the only one.",
        "slot": SLOT,
        "hosts": HOSTS,
        "parallel": PARALLEL,
        "on-failure": _ON_FAILURE,
        "dry-run": "Show the plan, and change nothing.",
        "yes": _YES,
        "configuration-only": "Change settings and instance counts of the version that runs.",
        "with-python": "A NuGet package of Python, for hosts that lack one and have no network.",
        "json": AS_JSON,
    },
)
def publish(
    _context: Context,
    package: str | None = None,
    service: str | None = None,
    configuration: str | None = None,
    slot: str = "production",
    hosts: str | None = None,
    parallel: int = reached.MANY,
    on_failure: str = "rollback",
    dry_run: bool = False,
    yes: bool = False,
    configuration_only: bool = False,
    with_python: str | None = None,
    json: bool = False,
) -> None:
    """Bring a bundle to the machines in hosts.yaml, one update domain at a time, with a way back.

    Example: invoke publish --package dist/gallery.cspkg --slot staging --yes
    """
    from cloudservice import failure, location
    from cloudservice.files import shown
    from publisher import holding as locks
    from publisher import locked, publication, setup
    from rolepack import publishing

    way = failure.parse(on_failure)
    reached.slot(slot)
    tell = silent if json else say
    with contextlib.ExitStack() as stack:
        prepare = None if dry_run else preparing(with_python, tell)
        found = stack.enter_context(reached.reached(service, hosts, (), parallel, prepare))
        file = Path(package) if package else location.bundle_file(found.root, found.service)
        told = stack.enter_context(publishing.published(file, str(found.root), configuration, configuration_only, tell))
        plan = setup.plan(told, found.hosts)
        held = stack.enter_context(locks.holding(found.state, f"publish {told.version}"))
        work = publication.Publication(found.fleet, plan, slot, held)

        def about(host: "Host") -> Mapping[str, Any]:
            return publication.asked(plan, host, slot)

        if dry_run:
            work.prepare(locked.look(found.fleet, about), configuration_only)
            _show_plan(work, json)
            return
        there = stack.enter_context(locked.locked(found.fleet, held, found.state, about, tell))
        work.prepare(there.known, configuration_only)
        if not json:
            _show_plan(work, json)
        reached.confirm(f"Publish {shown(file)} to {slot}?", yes)
        _bring(work, there, way, json)
    if json:
        say_json({**_plan(work), "round_trips": found.fleet.round_trips})
    else:
        where = counted(found.hosts.machines, "host")
        say(f"Version {told.version} of service '{told.service.name}' runs in {slot} on {where}.")


def _bring(work: "Publication", there: "Locked", way: "OnFailure", quiet: bool) -> None:
    """Bring a version to hosts that are locked."""
    from rolepack import progress

    with _noted(there, "publish", work.slot, work.version):
        work.certify(reached.passwords())
        with progress.transfers(quiet=quiet) as report:
            work.upload(report)
        work.switch(way, silent if quiet else say)


@command(
    help={"service": SERVICE, "slot": SLOT, "hosts": HOSTS, "on-failure": _ON_FAILURE, "yes": _YES},
)
def rollback(
    _context: Context,
    service: str | None = None,
    slot: str = "production",
    hosts: str | None = None,
    on_failure: str = "rollback",
    yes: bool = False,
) -> None:
    """Go back to the version that ran before, which every host has kept.

    Example: invoke rollback --slot production --yes
    """
    from publisher import actions

    reached.slot(slot)
    with reached.reached(service, hosts) as found, holding(found, "go back") as there:
        changes = actions.back(there.known, slot)
        versions = {one.after.in_slot(slot).current.version for one in changes.values()}  # type: ignore[union-attr]
        _walk(found, there, changes, "rollback", slot, ", ".join(versions), on_failure, yes)
    say(f"Version {', '.join(versions)} runs in {slot} again.")


@command(help={"service": SERVICE, "hosts": HOSTS, "on-failure": _ON_FAILURE, "yes": _YES})
def swap(
    _context: Context,
    service: str | None = None,
    hosts: str | None = None,
    on_failure: str = "rollback",
    yes: bool = False,
) -> None:
    """Let staging and production change places on every host; nothing is copied.

    Example: invoke swap --yes
    """
    from publisher import actions

    with reached.reached(service, hosts) as found, holding(found, "swap") as there:
        changes = actions.exchange(there.known)
        entries = {one.after.in_slot("production").current for one in changes.values()}
        versions = ", ".join(sorted({entry.version for entry in entries if entry})) or "nothing"
        _walk(found, there, changes, "swap", "production", versions, on_failure, yes)
    say(f"Production runs {versions} now.")


@command(
    positional=["version"],
    help={"version": "The version, as `deployments` shows it.", "service": SERVICE, "hosts": HOSTS, "yes": _YES},
)
def retire(
    _context: Context, version: str, service: str | None = None, hosts: str | None = None, yes: bool = False
) -> None:
    """Remove a version that no slot runs from every host.

    Example: invoke retire 3f2a9c1b2d3e --yes
    """
    from publisher import actions

    with reached.reached(service, hosts) as found, holding(found, f"retire {version}") as there:
        version = actions.retired(there.known, version)
        reached.confirm(f"Remove version {version} from {counted(there.known, 'host')}?", yes)
        line = _line(there.held, "retire", "", version, "done")
        answers = found.fleet.each(
            lambda session: session.ask("retire", "retiring", token=there.held.token, version=version, line=line)
        )
    where = [name for name, answer in answers.items() if answer["was_here"]]
    say(f"Removed version {version} from {', '.join(where) or 'no host'}.")


@command(help={"service": SERVICE, "hosts": HOSTS, "json": AS_JSON})
def deployments(_context: Context, service: str | None = None, hosts: str | None = None, json: bool = False) -> None:
    """Show what was published, when and by whom, what came of it, and what each slot runs.

    Example: invoke deployments --json
    """
    from publisher import past

    with reached.reached(service, hosts) as found:
        answers, faults = found.fleet.attempt(lambda session: session.ask("history", "asking"))
    told = past.told(answers)
    if json:
        say_json(told)
    else:
        _show_past(told)
    reached.complain(faults)


def _show_past(told: dict[str, Any]) -> None:
    from publisher import past

    for line in table([("HOST", "PRODUCTION", "STAGING", "KEPT"), *past.slots(told)]):
        say(line)
    if told["history"]:
        say("")
        for line in table([("WHEN", "WHAT", "SLOT", "VERSION", "WHO", "RESULT", "HOSTS"), *past.rows(told)]):
            say(line)


@command(
    iterable=["host"],
    help={"service": SERVICE, "hosts": HOSTS, "host": HOST, "yes": _YES},
)
def deploy_unlock(
    _context: Context, host: list[str], service: str | None = None, hosts: str | None = None, yes: bool = False
) -> None:
    """Unlock hosts that a command has locked which has died elsewhere.

    Example: invoke deploy-unlock --host web1 --yes
    """
    from cloudservice.plain import from_plain
    from publisher import locked
    from publisher.agent.values import Held

    with reached.reached(service, hosts, host) as found:
        there = {name: one.held for name, one in locked.look(found.fleet, locked.nothing).items() if one.held}
        if not there:
            say("No host is locked.")
            return
        for name, held in there.items():
            say(f"{name}: {held.who} on {held.machine} since {held.since}, to {held.doing}")
        reached.confirm("Unlock?", yes)
        answers = found.fleet.each(
            lambda session: session.ask("let_go", "unlocking", token=there[session.host.name].token), list(there)
        )
    for name, answer in answers.items():
        let_go = from_plain(Held, answer["held"]) if answer["held"] else None
        say(f"{name} is unlocked." if let_go else f"{name} was unlocked meanwhile.")


@contextlib.contextmanager
def holding(found: "Reached", doing: str) -> Iterator["Locked"]:
    """All hosts of the file, locked for a command that needs no bundle."""
    from publisher import holding, locked

    with (
        holding.holding(found.state, doing) as held,
        locked.locked(found.fleet, held, found.state, locked.nothing, say) as there,
    ):
        yield there


def _walk(
    found: "Reached",
    there: "Locked",
    changes: Mapping[str, "Change"],
    verb: str,
    slot: str,
    version: str,
    on_failure: str,
    yes: bool,
) -> None:
    """Make changes on every host, once somebody has agreed."""
    from cloudservice import failure
    from publisher.walk import Walk

    way = failure.parse(on_failure)
    for name, change in changes.items():
        now, then = change.before.in_slot(slot).current, change.after.in_slot(slot).current
        say(f"{name}: {slot} runs {_told(now)}, and then {_told(then)}")
    reached.confirm(f"Do you want this {verb}?", yes)
    with _noted(there, verb, slot, version):
        Walk(found.fleet, there.held.token, changes, say).go(way)


def _told(entry: "Entry | None") -> str:
    return f"{entry.version}, published {entry.when}" if entry else "nothing"


@contextlib.contextmanager
def _noted(there: "Locked", verb: str, slot: str, version: str) -> Iterator[None]:
    """Note on every host what comes of the block."""
    from cloudservice.errors import ServiceError

    result = "interrupted"
    began = time.monotonic()
    try:
        yield
        result = "done"
    except ServiceError as error:
        result = f"failed: {error.faults[0].where}: {error.faults[0].wrong}"
        raise
    except KeyboardInterrupt:
        say("A host that was about to change goes on by itself; `invoke deployments` shows what each runs.")
        say("The same command carries on from where this one was.")
        raise
    finally:
        line = _line(there.held, verb, slot, version, result)
        there.finish({**line, "seconds": round(time.monotonic() - began, 1)}, prunes=result == "done")


def _line(held: "Held", verb: str, slot: str, version: str, result: str) -> dict[str, Any]:
    """What the history keeps."""
    who = {"who": held.who, "machine": held.machine, "when": held.since}
    return {"id": held.token, "what": verb, "slot": slot, "version": version, **who, "result": result}


def preparing(package: str | None, tell: "Tell") -> "Prepare":
    """Gives hosts that have no Python one, of a package or of the net."""
    from publisher import bootstrap

    file = Path(package) if package else None
    if file is not None:
        bootstrap.check(file)
    return lambda host, password: bootstrap.install(host, password, file, tell)


def _show_plan(work: "Publication", as_json: bool) -> None:
    if as_json:
        say_json(_plan(work))
        return
    say(f"Version {work.version} for {work.slot}:")
    rows = [("DOMAIN", "HOST", "RUNS", "INSTANCES", "UPLOAD")]
    for one in _plan(work)["hosts"]:
        parts = f"{one['parts']} part{'' if one['parts'] == 1 else 's'}"
        what = f"{one['bytes'] / 1e3:,.1f} kB in {parts}" if one["parts"] else "nothing"
        runs = f"{one['runs'] or 'nothing'}{'' if one['changes'] else ', and stays so'}"
        row = (str(one["update_domain"]), one["name"], runs, " ".join(one["instances"]) or "none", what)
        rows.append(row)
    for line in table(rows):
        say(line)


def _plan(work: "Publication") -> dict[str, Any]:
    """The plan, for programs."""
    return {
        "version": work.version,
        "slot": work.slot,
        "hosts": [_host(work, one) for one in work.steps.values()],
    }


def _host(work: "Publication", one: "Step") -> dict[str, Any]:
    return {
        "name": one.host.name,
        "update_domain": one.host.update_domain,
        "runs": one.runs.version if one.runs else None,
        "changes": one.is_new,
        "instances": list(work.instances(one.host)),
        "parts": len(one.missing),
        "bytes": one.size,
    }
