"""What the doubles of a machine share: its folder, and how it runs what outlives its callers.

%ROLEPACK_MACHINE% names the folder of the machine that is meant: several can have one installation of wine.
"""

import contextlib
import json
import msvcrt
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["ROLEPACK_MACHINE"])
ABOUT = json.loads((FOLDER / "machine.json").read_text(encoding="utf-8"))
"""Its address, its programs `python` and `enclose`, and the variables that every process of it has."""
RUNNING = FOLDER / "running"
"""A file NAME.PID for each process that is kept running; it goes when that ends, however that happens."""
SYSTEM = (
    *("SystemRoot", "windir", "SystemDrive", "ComSpec", "PATHEXT", "OS", "COMPUTERNAME", "PUBLIC", "USERNAME"),
    *("USERPROFILE", "APPDATA", "LOCALAPPDATA", "ProgramFiles", "ProgramFiles(x86)", "CommonProgramFiles"),
    *("NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE", "PROCESSOR_IDENTIFIER"),
)
"""The variables that a service gets from Windows."""
PATIENCE = 10.0


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Be the only double that reads and writes the state of the machine."""
    with (FOLDER / "lock").open("a") as file:
        while True:
            with contextlib.suppress(OSError):
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                break
            time.sleep(0.01)
        yield


def record(name: str, words: list[str]) -> None:
    """Note a call."""
    line = json.dumps({"name": name, "arguments": words})
    with locked(), (FOLDER / "calls.jsonl").open("a", encoding="utf-8") as calls:
        calls.write(f"{line}\n")


def load(name: str, fresh: Any) -> Any:
    """What the machine keeps under a name; `fresh` if that is nothing yet."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else fresh


def save(name: str, value: Any) -> None:
    """Keep something under a name."""
    part = FOLDER / f"{name}.part"
    part.write_text(json.dumps(value, indent=1), encoding="utf-8")
    part.replace(FOLDER / f"{name}.json")


def start(name: str, line: str, directory: str = "", **environ: str) -> None:
    """Run a command line as a service does: apart from who asked, with the variables of the system and those given."""
    told = {"ROLEPACK_LINE": line, "ROLEPACK_MARK": str(RUNNING / name)}
    told["ROLEPACK_DIRECTORY"] = directory or r"C:\windows\system32"
    system = {name: os.environ[name] for name in SYSTEM if name in os.environ}
    process = subprocess.Popen(
        [ABOUT["enclose"]],
        env={**system, **ABOUT["environ"], **environ, **told},
        creationflags=subprocess.CREATE_BREAKAWAY_FROM_JOB | subprocess.DETACHED_PROCESS,
        **dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL),
    )
    mark = RUNNING / f"{name}.{process.pid}"
    wait(lambda: mark.exists() or process.poll() is not None)


def end(name: str) -> None:
    """End what runs under a name, with all it has started."""
    for pid in running(name):
        with contextlib.suppress(OSError):  # it has ended just now
            os.kill(pid, signal.SIGTERM)
    wait(lambda: not running(name))


def running(name: str) -> list[int]:
    """The processes that run under a name."""
    marks = (mark.rpartition(".") for mark in os.listdir(RUNNING))
    return [int(pid) for named, _, pid in marks if named == name]


def end_all() -> None:
    """End whatever is kept running."""
    for name in {mark.rpartition(".")[0] for mark in os.listdir(RUNNING)}:
        end(name)


def wait(condition: Any) -> None:
    """Wait until a condition is true, for a while."""
    limit = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < limit:
        time.sleep(0.01)
