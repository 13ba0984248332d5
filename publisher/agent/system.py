"""The programs of Windows that a deployment needs: scheduled tasks, the firewall, access to files."""

import locale
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from cloudservice.errors import Fault, ServiceError
from publisher.agent import loader

SYSTEM, SERVICE = "S-1-5-18", "S-1-5-20"
"""LocalSystem, and NETWORK SERVICE, which limited programs and sites run as."""
_TASK = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_PATIENCE = 600.0


class Task(NamedTuple):
    """A scheduled task: a program with its arguments, run as an account (its SID).

    Some begin with Windows; what is watched is begun each minute, unless it runs, since Task Scheduler takes a program
    that was killed for one that is done.
    """

    name: str
    program: str
    arguments: str
    account: str
    at_boot: bool = True
    is_watched: bool = True


def run(*words: str, well: Iterable[int] = (0,), patience: float = _PATIENCE) -> str:
    """What a program of Windows prints; ServiceError if it ends otherwise than well."""
    code, printed = attempt(*words, patience=patience)
    if code not in well:
        told = " ".join(printed.split()) or "it says nothing"
        remedy = f"Try `{' '.join(words[:3])}` on the host, and see what it lacks"
        raise ServiceError(Fault(Path(words[0]).name, f"it has failed with code {code}: {told}", remedy))
    return printed


def attempt(*words: str, patience: float = _PATIENCE) -> tuple[int, str]:
    """The exit code of a program of Windows, and what it prints."""
    argv = [_found(words[0]), *words[1:]]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=patience,
            check=False,
        )
    except FileNotFoundError:
        wrong = f"{words[0]} is not there"
        raise ServiceError(Fault("Windows", wrong, "Install the feature of Windows that brings it")) from None
    except OSError as error:
        wrong, remedy = f"it cannot be started: {error.strerror}", "See what the host is short of, and try again"
        raise ServiceError(Fault(words[0], wrong, remedy)) from None
    except subprocess.TimeoutExpired:
        remedy = "See on the host what it waits for"
        raise ServiceError(Fault(words[0], f"it has not ended in {patience:g} s", remedy)) from None
    return done.returncode, done.stdout.decode(locale.getpreferredencoding(do_setlocale=False), "replace")


def open_folder(path: Path) -> None:
    """Let a folder and what is below it be read by the service account, and changed only by administrators."""
    _grant(path, *loader.RIGHTS)


def own_folder(path: Path) -> None:
    """Let the service account write in a folder too."""
    _grant(path, *loader.RIGHTS[:2], f"*{SERVICE}:(OI)(CI)M")


def _grant(path: Path, *rights: str) -> None:
    """Give these accounts these rights, and nobody else any."""
    path.mkdir(parents=True, exist_ok=True)
    run("icacls.exe", str(path), "/inheritance:r", "/grant:r", *rights, "/q")


def create_task(task: Task, scratch: Path) -> None:
    """Make or replace a scheduled task."""
    file = scratch / f"task.{os.getpid()}.xml"
    file.write_bytes(task_xml(task))
    try:
        run("schtasks.exe", "/create", "/tn", task.name, "/xml", str(file), "/f")
    finally:
        file.unlink()


def start_task(name: str) -> None:
    """Run a scheduled task now, unless it runs."""
    run("schtasks.exe", "/run", "/tn", name)


def delete_task(name: str) -> None:
    """Forget a scheduled task, if there is one."""
    attempt("schtasks.exe", "/delete", "/tn", name, "/f")


def end_task(name: str) -> None:
    """End what a scheduled task runs, if it does."""
    attempt("schtasks.exe", "/end", "/tn", name)


def task_xml(task: Task) -> bytes:
    """A task in the format of Task Scheduler 1.2, without a time limit."""
    root = ElementTree.Element("Task", version="1.2", xmlns=_TASK)
    triggers = ElementTree.SubElement(root, "Triggers")
    if task.at_boot:
        _element(ElementTree.SubElement(triggers, "BootTrigger"), Enabled="true")
    if task.is_watched:
        every = ElementTree.SubElement(triggers, "TimeTrigger")
        _element(ElementTree.SubElement(every, "Repetition"), Interval="PT1M", StopAtDurationEnd="false")
        _element(every, StartBoundary="2000-01-01T00:00:00", Enabled="true")
    principal = ElementTree.SubElement(ElementTree.SubElement(root, "Principals"), "Principal", id="Author")
    _element(principal, UserId=task.account, RunLevel="HighestAvailable")
    settings = ElementTree.SubElement(root, "Settings")
    _element(
        settings,
        MultipleInstancesPolicy="IgnoreNew",
        DisallowStartIfOnBatteries="false",
        StopIfGoingOnBatteries="false",
        AllowHardTerminate="true",
        StartWhenAvailable="true",
        ExecutionTimeLimit="PT0S",
    )
    action = ElementTree.SubElement(ElementTree.SubElement(root, "Actions", Context="Author"), "Exec")
    _element(action, Command=task.program, Arguments=task.arguments)
    return bytes(ElementTree.tostring(root, "utf-16", xml_declaration=True))


def let_in(name: str, rules: Iterable[tuple[str, int, Sequence[str]]]) -> None:
    """Let the firewall let these ports in, as rules of one name, which replace what had that name."""
    keep_out(name)
    for protocol, port, remote in rules:
        where = [f"remoteip={','.join(remote)}"] if remote else []
        about = ["dir=in", "action=allow", f"protocol={protocol}", f"localport={port}", *where]
        run("netsh.exe", "advfirewall", "firewall", "add", "rule", f"name={name}", *about)


def keep_out(name: str) -> None:
    """Forget the rules of a name."""
    attempt("netsh.exe", "advfirewall", "firewall", "delete", "rule", f"name={name}")


def folder() -> Path:
    """Where the programs of Windows are."""
    return Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32"


def _element(parent: ElementTree.Element, **texts: str) -> None:
    for name, text in texts.items():
        ElementTree.SubElement(parent, name).text = text


def _found(program: str) -> str:
    """Where a program of Windows is: in its own folders, before anything else that bears the name."""
    for place in (folder(), folder() / "inetsrv"):
        if (place / program).is_file():
            return str(place / program)
    return shutil.which(program) or program
