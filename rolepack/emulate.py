"""invoke emulate, upgrade: the service on this machine."""

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context, Exit

from rolepack.command import CONFIGURATION, PROGRAM, SERVICE, command, counted, say, service_folder
from rolepack.running import not_run

if TYPE_CHECKING:
    from emulator.run import Run

_OFFLINE = "Use no network: the store has to have what is not installed yet."


@command(
    iterable=["role", "debug"],
    help={
        "service": SERVICE,
        "configuration": f"{CONFIGURATION} Default: Local, or the only one.",
        "package": "Run this bundle, with the wheels in it that run here, and not the sources.",
        "role": "Run only this role; repeatable.",
        "offline": _OFFLINE,
        "reload": "Recycle the instances of a role when its files change.",
        "debug": "ROLE or ROLE=PORT: run this role under debugpy, its instances at PORT and the next ones; repeatable.",
        "wait": "Hold what is debugged until a client attaches.",
        "vscode": "Write the settings with which VS Code attaches into .vscode/launch.json.",
        "grace": "Seconds that an instance may take to end before it is killed. Default: 30.",
        "detach": "Return when every instance is Ready, or fail with the reason.",
    },
)
def emulate(
    _context: Context,
    role: list[str],
    debug: list[str],
    service: str | None = None,
    configuration: str | None = None,
    package: str | None = None,
    reload: bool = False,
    wait: bool = False,
    vscode: bool = False,
    grace: float = 30.0,
    detach: bool = False,
    offline: bool = False,
) -> None:
    """Run every instance of every role, each role in its own environment, until Ctrl-C.

    Example: invoke emulate --role frontend --detach
    """
    from cloudservice.errors import Fault, ServiceError
    from cloudservice.files import shown
    from emulator import client
    from rolepack import runnable

    faults = []
    if grace < 0:
        faults.append(Fault("--grace", f"{grace:g} is less than no time", "Write 0 or more seconds"))
    if (wait or vscode) and not debug:
        faults.append(Fault("--wait" if wait else "--vscode", "nothing is debugged", "Add --debug ROLE"))
    if faults:
        raise ServiceError(*faults)
    told = runnable.prepare_alone(package, service, configuration, role, offline)
    told = told._replace(detached=detach, grace=grace, reloads=reload, waits_for_debugger=wait)
    if debug:
        told = _debugged(told, debug, offline, vscode)
    if not detach:
        what = f"service '{told.service.name}' from {shown(Path(package) if package else told.folder)}"
        say(f"Emulating {what}, configuration {told.service.configuration}. Ctrl-C stops it.")
        raise Exit(code=client.run_here(told))
    client.run_detached(told, say)
    now = client.status(told.folder)
    for name, url in now["endpoints"].items():
        say(f"{name} is at {url}")
    for line in not_run(now):
        say(line)
    is_found = told.folder != told.place or not package  # else the run keeps its state beside the bundle
    where = "" if is_found else f" --service {shown(told.folder)}"
    verbs = ", ".join(f"{PROGRAM} {verb}{where}" for verb in ("status", "logs", "stop"))
    say(f"{counted(now['instances'], 'instance')} Ready. Next: {verbs}")


@command(
    help={
        "service": SERVICE,
        "configuration": f"{CONFIGURATION} Default: the one that runs.",
        "package": "Upgrade to this bundle, and not to the sources.",
        "offline": _OFFLINE,
        "on-failure": "When a domain does not come up: rollback (all goes back) or stop (only that domain does).",
    },
)
def upgrade(
    _context: Context,
    service: str | None = None,
    configuration: str | None = None,
    package: str | None = None,
    offline: bool = False,
    on_failure: str = "rollback",
) -> None:
    """Bring the running service to its present sources or to a bundle, one update domain at a time.

    If a domain does not come up, the version before comes back; with `--on-failure stop` on that domain only.

    Example: invoke upgrade --package dist/gallery.cspkg
    """
    from cloudservice import failure
    from emulator import client, run
    from emulator.wishes import Upgrade, to_message
    from rolepack import runnable

    when_failing = failure.parse(on_failure)
    now = client.status(service_folder(service))
    meant = runnable.mean(package, service, configuration or now["configuration"])
    left_out = set(now["left_out"])
    wanted = [role.name for role in meant.loaded.roles if role.name not in left_out] if left_out else []
    told = runnable.prepare(meant, wanted, offline).run
    client.change(meant.root, to_message(Upgrade(run.write(told), when_failing)), say)
    what = Path(package).name if package else "the present sources"
    say(f"Upgraded service '{meant.loaded.name}' to {what}.")


def _debugged(run: "Run", debug: list[str], offline: bool, vscode: bool) -> "Run":
    """The run with these roles under debugpy; says where a debugger attaches, to VS Code in its own words."""
    from cloudservice.files import shown
    from rolepack import debugging

    told = debugging.prepare(run, debug, offline)
    made = debugging.attachments(told)
    for one in made:
        say(f"{one['name'].removeprefix('rolepack: ')} is debugged at 127.0.0.1:{one['connect']['port']}")
    if vscode:
        say(f"Wrote {shown(debugging.write(told.place, made))}.")
    else:
        say("For .vscode/launch.json, or use --vscode:")
        say(dumps(made, indent=4))
    return told
