"""Proves on a host what only a real Windows can show: accounts of tasks, access to files, IIS, the firewall.

Everything that is made for it has a name of its own, and is removed.
"""

import contextlib
import csv
import hashlib
import json
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cloudservice.errors import ServiceError
from cloudservice.files import write_whole
from cloudservice.group import Group
from publisher.agent import iis, ready, states, system
from publisher.agent.bring import Program
from publisher.agent.place import Place
from publisher.agent.ready import Get
from publisher.agent.system import Task
from publisher.agent.values import Binding, Site

_PATIENCE = 60.0
_NAME = "rolepack-self-test"


class Proof(NamedTuple):
    """What was to be shown, and what speaks against it; None if it was shown."""

    name: str
    against: str | None


def prove(place: Place, program: Program, content: bytes, sha256: str) -> list[Proof]:
    """Try everything; `content` has come over the connection, and had that SHA-256 when it was sent."""
    folder = place.folder / "self-test"
    system.own_folder(folder)
    try:
        trials: Mapping[str, Callable[[], str | None]] = {
            "a megabyte arrives as it was sent": lambda: _arrived(content, sha256),
            "a task runs as LocalSystem, after its session": lambda: _task(place, program, system.SYSTEM),
            "a task runs as NETWORK SERVICE": lambda: _task(place, program, system.SERVICE),
            "NETWORK SERVICE reads secrets, and cannot change them": lambda: _secret(place, program),
            "nobody else may read secrets": lambda: _others(folder),
            "a file is replaced while it is read": lambda: _replaced(folder),
            "a program ends with all that it has started": _ends,
            "the firewall takes a rule": _firewall,
            "IIS serves a site": lambda: _site(folder),
        }
        return [Proof(name, _against(trial)) for name, trial in trials.items()]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def witness(path: Path) -> None:
    """What a scheduled task is run for: to say who it is, and what it may do beside a file."""
    secret = path.with_name("closed") / "secret.txt"
    write_whole(path, json.dumps({"sid": _sid(), "reads": _may(secret, "r"), "writes": _may(secret, "r+")}))


def _against(trial: Callable[[], str | None]) -> str | None:
    try:
        return trial()
    except ServiceError as error:
        return "; ".join(f"{fault.where}: {fault.wrong}" for fault in error.faults)
    except OSError as error:
        return str(error)


def _arrived(content: bytes, sha256: str) -> str | None:
    return None if hashlib.sha256(content).hexdigest() == sha256 else "it has another hash"


def _task(place: Place, program: Program, account: str) -> str | None:
    told = _witnessed(place, program, account)
    return None if told["sid"] == account else f"it runs as {told['sid']}"


def _secret(place: Place, program: Program) -> str | None:
    closed = place.folder / "self-test" / "closed"
    system.open_folder(closed)
    (closed / "secret.txt").write_text("secret", encoding="utf-8")
    told = _witnessed(place, program, system.SERVICE)
    if told["sid"] != system.SERVICE:
        return f"the task runs as {told['sid']}"
    if not told["reads"]:
        return "it cannot read them"
    return "it can change them" if told["writes"] else None


def _others(folder: Path) -> str | None:
    """The accounts that icacls lists, as SIDs, in a file that it saves."""
    system.open_folder(folder / "closed")
    saved = folder / "rights.txt"
    system.run("icacls.exe", str(folder / "closed"), "/save", str(saved))
    rights = saved.read_text(encoding="utf-16-le", errors="replace")
    known = ("SY", "BA", "NS")  # how the language of descriptors calls the three
    others = [part for part in rights.split("(")[1:] if not part.split(")")[0].endswith(known)]
    return f"others may too: {'('.join(others)}" if others else None


def _witnessed(place: Place, program: Program, account: str) -> dict[str, Any]:
    """What a task says that runs as an account."""
    path = place.folder / "self-test" / f"{secrets.token_hex(4)}.json"
    name = f"rolepack\\{place.service}\\self-test"
    words = program.arguments("witness", place.service, path.name)
    system.create_task(Task(name, program.python, words, account, at_boot=False), place.folder)
    try:
        system.start_task(name)
        return dict(json.loads(_awaited(path)))
    finally:
        system.end_task(name)
        system.delete_task(name)


def _awaited(path: Path) -> str:
    end = time.monotonic() + _PATIENCE
    while not path.exists():
        if time.monotonic() > end:
            message = f"the task has said nothing in {_PATIENCE:g} s"
            raise OSError(message)
        time.sleep(0.05)
    return states.patiently(lambda: path.read_text(encoding="utf-8"))


def _replaced(folder: Path) -> str | None:
    path = folder / "replaced.txt"
    write_whole(path, "old")
    with path.open() as reader:
        try:
            path.with_name("new.txt").write_text("new", encoding="utf-8")
            path.with_name("new.txt").replace(path)
        except PermissionError:
            reader.close()
            path.with_name("new.txt").replace(path)  # it is what the programs here are ready for
    return None if path.read_text(encoding="utf-8") == "new" else "it has stayed"


def _ends() -> str | None:
    """A child of a child goes with its job."""
    child = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    words = [sys.executable, "-I", "-c", f"{child}print('up', flush=True); time.sleep(60)"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, creationflags=flags) as process:
        group = Group(process.pid)
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        process.stdout.readline()
        group.kill()
        end = time.monotonic() + 5
        while group.is_there and time.monotonic() < end:
            time.sleep(0.05)
        return "something of it goes on" if group.is_there else None


def _firewall() -> str | None:
    system.let_in(_NAME, [("TCP", 1, ())])
    try:
        code, _ = system.attempt("netsh.exe", "advfirewall", "firewall", "show", "rule", f"name={_NAME}")
        return "the rule is not there" if code else None
    finally:
        system.keep_out(_NAME)


def _site(folder: Path) -> str | None:
    """A file is served at a free port."""
    if not iis.is_there():
        return "IIS is not installed; a web role's first start enables it"
    port, word = _free_port(), secrets.token_hex(8)
    root = folder / "site"
    root.mkdir(exist_ok=True)
    (root / "index.htm").write_text(word, encoding="utf-8")
    with _started(Site("self-test", str(root), (Binding("http", port, "", ""),), ())):
        status, text = ready.answer(Get("http", ready.HERE, port, "/index.htm"))
        return None if word in text else f"the answer is {status}" if status else "nothing answers"


@contextlib.contextmanager
def _started(site: Site) -> Iterator[None]:
    iis.put(_NAME, site)
    try:
        iis.start(_NAME)
        yield
    finally:
        iis.remove(_NAME)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((ready.HERE, 0))
        return int(free.getsockname()[1])


def _sid() -> str:
    """The SID of whoever runs this."""
    code, printed = system.attempt("whoami.exe", "/user", "/fo", "csv", "/nh")
    rows = list(csv.reader(printed.strip().splitlines()))
    return rows[0][-1] if code == 0 and rows and rows[0] else "unknown"


def _may(path: Path, mode: str) -> bool:
    try:
        path.open(mode).close()
    except OSError:
        return False
    return True
