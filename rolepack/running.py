"""invoke status, logs, stop, scale, restart, exec, shell: a service that runs, here or on its own machines."""

import contextlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from invoke import Context, Exit

from rolepack.command import AS_JSON, SERVICE, command, counted, say, say_json, service_folder, table
from rolepack.reached import HOSTS, SLOT, complain
from rolepack.remote import REMOTE

_SLOT = f"With --remote: {SLOT}"
_HOSTS = f"With --remote: {HOSTS}"


@command(help={"service": SERVICE, "json": AS_JSON, "remote": REMOTE, "slot": _SLOT, "hosts": _HOSTS})
def status(
    _context: Context,
    service: str | None = None,
    json: bool = False,
    remote: bool = False,
    slot: str = "production",
    hosts: str | None = None,
) -> None:
    """Show what the running emulator does, or the machines: endpoints, and the state of each instance.

    Example: invoke status --json
    """
    from emulator import client
    from rolepack import remote as machines

    now, away = machines.status(service, hosts, slot) if remote else (client.status(service_folder(service)), {})
    if json:
        say_json(now)
    elif remote and not now["instances"] and not away:
        say(f"{slot.capitalize()} of service '{now['service']}' runs nothing.")
    else:
        _show(now, slot if remote else None)
    complain(away)


def _show(now: Mapping[str, Any], slot: str | None) -> None:
    """Show what the emulator does, or what the machines do in a slot."""
    about = f"service '{now['service']}', configuration {now['configuration']}, {now['deployment']}"
    where = slot or f"process {now['emulator']['pid']} since {now['emulator']['started']}"
    say(f"{about}, {where}")
    for name, url in now["endpoints"].items():
        say(f"  {name} at {url}")
    heads = ("INSTANCE", "STATE", "PID", "RESTARTS", "LISTENS AT", "LAST END")
    rows = [("HOST", "VERSION", *heads) if slot else heads]
    for one in now["instances"]:
        listens = " ".join(f"{name}={at['address']}:{at['port']}" for name, at in one["endpoints"].items())
        reason = (one["reason"] or "").partition("\n")[0]
        row = (one["name"], one["state"], str(one["pid"] or ""), str(one["restarts"]), listens, reason)
        rows.append((one["host"], str(one["version"]), *row) if slot else row)
    for line in table(rows):
        say(line)
    for line in not_run(now):
        say(f"  {line}")
    for line in now["refused"]:
        say(f"  the configuration file is not applied: {line}")


@command(
    iterable=["instance", "role"],
    help={
        "service": SERVICE,
        "instance": "Only of this instance; repeatable.",
        "role": "Only of this role's instances; repeatable.",
        "since": "Only since a time: 90s, 10m, 2h or 3d ago, or 2026-11-22T10:30; also of earlier runs.",
        "grep": "Only lines in which this regular expression matches.",
        "follow": "Go on with what is added, also over the end of the emulator and its next start.",
        "json": "Print a JSON object a line, for programs.",
        "remote": REMOTE,
        "slot": _SLOT,
        "hosts": _HOSTS,
    },
)
def logs(
    _context: Context,
    instance: list[str],
    role: list[str],
    service: str | None = None,
    since: str | None = None,
    grep: str | None = None,
    follow: bool = False,
    json: bool = False,
    remote: bool = False,
    slot: str = "production",
    hosts: str | None = None,
) -> None:
    """Print the logs of the latest run in the order of time, each line with its instance; it need not run any more.

    Example: invoke logs --role frontend --since 10m --grep ERROR --follow
    """
    from json import dumps

    from emulator import logs as kept
    from rolepack import remote as machines

    wanted = kept.Wanted(instance, role, kept.moment(since) if since else None, _pattern(grep))
    if remote:
        lines = machines.logs(service, hosts, slot, wanted, follow)
    else:
        lines = kept.lines(service_folder(service), wanted, follow)
    with contextlib.suppress(KeyboardInterrupt):  # the way to end following
        for line in lines:
            text = machines.shown(line.text) if remote else line.text
            say(dumps(line._asdict()) if json else f"{line.instance} | {text}")


@command(help={"service": SERVICE})
def stop(_context: Context, service: str | None = None) -> None:
    """Stop the running emulator and every instance.

    Example: invoke stop
    """
    from cloudservice.files import shown
    from emulator import client

    root = service_folder(service)
    last = client.stop(root)
    say(f"Stopped {counted(last['instances'], 'instance')} of service '{last['service']}' in {shown(root)}.")


@command(
    iterable=["role"],
    help={"service": SERVICE, "role": "NAME=N: role NAME gets N instances; repeatable."},
)
def scale(_context: Context, role: list[str], service: str | None = None) -> None:
    """Give roles of the running service other numbers of instances; the files stay as they are.

    Example: invoke scale --role frontend=4 --role renderer=2
    """
    from cloudservice.errors import Fault, ServiceError
    from emulator import client
    from emulator.wishes import Scale, to_message

    counts = {}
    faults = []
    for each in role:
        name, _, count = each.partition("=")
        if name and count.isascii() and count.isdigit():
            counts[name] = int(count)
        else:
            faults.append(Fault("--role", f"'{each}' names no number of instances", "Write NAME=N, as in frontend=3"))
    if not role:
        faults.append(Fault("scale", "no role is named", "Add --role NAME=N"))
    if faults:
        raise ServiceError(*faults)
    client.change(service_folder(service), to_message(Scale(counts)), say)
    told = ", ".join(f"{name} has {counted(range(count), 'instance')}" for name, count in counts.items())
    say(f"{told} now, until the service is stopped or its configuration gives another number.")


@command(
    iterable=["instance", "role"],
    help={
        "service": SERVICE,
        "instance": "Restart this instance; repeatable.",
        "role": "Restart all instances of this role; repeatable.",
        "remote": REMOTE,
        "slot": _SLOT,
        "hosts": _HOSTS,
    },
)
def restart(
    _context: Context,
    instance: list[str],
    role: list[str],
    service: str | None = None,
    remote: bool = False,
    slot: str = "production",
    hosts: str | None = None,
) -> None:
    """Recycle instances of the running service, one update domain at a time.

    Example: invoke restart --role frontend
    """
    from cloudservice.errors import Fault, ServiceError
    from emulator import client
    from emulator.wishes import Restart, to_message
    from rolepack import remote as machines

    if not instance and not role:
        raise ServiceError(Fault("restart", "nothing is named", "Add --instance NAME or --role NAME"))
    if remote:
        machines.restart(service, hosts, slot, role, instance)
    else:
        client.change(service_folder(service), to_message(Restart(tuple(role), tuple(instance))), say)
    say(f"Restarted {', '.join([*role, *instance])}.")


@command(
    name="exec",
    positional=["instance"],
    help={
        "service": SERVICE,
        "instance": "The instance whose environment and folder the command gets.",
        "remote": REMOTE,
        "slot": _SLOT,
        "hosts": _HOSTS,
    },
)
def execute(
    _context: Context,
    instance: str,
    service: str | None = None,
    remote: bool = False,
    slot: str = "production",
    hosts: str | None = None,
) -> None:
    """Run a command with the environment and in the folder of an instance; it is what stands behind `--`.

    Example: invoke exec --instance frontend_IN_0 -- python manage.py migrate
    """
    from cloudservice.errors import Fault, ServiceError

    words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    if not words:
        remedy = "Write it behind two dashes: exec --instance NAME -- python --version"
        raise ServiceError(Fault("exec", "no command is named", remedy))
    if remote:
        from rolepack import remote as machines

        raise Exit(code=machines.execute(service, hosts, slot, instance, words))
    _run_inside(service, instance, words)


@command(
    positional=["instance"],
    help={"service": SERVICE, "instance": "The instance whose environment and folder the shell gets."},
)
def shell(_context: Context, instance: str, service: str | None = None) -> None:
    """Open a shell with the environment and in the folder of an instance.

    Example: invoke shell --instance frontend_IN_0
    """
    usual = os.environ.get("COMSPEC", "cmd.exe") if os.name == "nt" else os.environ.get("SHELL", "/bin/sh")
    say(f"A shell as {instance} sees the world; `exit` leaves it.")
    _run_inside(service, instance, [usual])


def _run_inside(service: str | None, instance: str, words: Sequence[str]) -> None:
    from emulator import client

    raise Exit(code=client.run_inside(service_folder(service), instance, words))


def _pattern(text: str | None) -> re.Pattern[str] | None:
    from cloudservice.errors import Fault, ServiceError

    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        wrong = f"'{text}' is no regular expression: {error}"
        raise ServiceError(Fault("--grep", wrong, "Put a backslash before signs that mean themselves")) from None


def not_run(now: Mapping[str, Any]) -> list[str]:
    """The startup tasks of the roles that this system cannot run, each told once."""
    tasks = [(one["role"], task) for one in now["instances"] for task in one["tasks"]]
    told = (f"{role}: `{task['command_line']}` is not run here" for role, task in tasks if task["state"] == "Not run")
    return list(dict.fromkeys(told))
