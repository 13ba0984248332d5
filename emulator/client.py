"""Starting, asking and stopping the emulator of a service, from another process."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from cloudservice import lock
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.plain import from_plain
from cloudservice.tells import Tell
from emulator import control, run
from emulator.run import Run
from emulator.wishes import Inside, Message, to_message

_AFTER_GRACE = 30.0
"""Seconds that a stop may take longer than the grace of the instances."""


def status(folder: Path) -> dict[str, Any]:
    """What the running emulator of the service in `folder` says; ServiceError if none runs or it does not answer."""
    return _snapshot(folder, "status")


def must_not_run(folder: Path) -> None:
    """ServiceError if an emulator of the service in `folder` runs already."""
    for answer in control.ask(run.state_folder(folder), {"wish": "status"}):
        wrong = f"an emulator of this service runs already (process {answer['snapshot']['emulator']['pid']})"
        raise ServiceError(Fault(shown(folder), wrong, "Stop it with `invoke stop`, or look at `invoke status`"))


def stop(folder: Path) -> dict[str, Any]:
    """Stop the running emulator, wait until it is gone, and return what it last said."""
    last = _snapshot(folder, "stop")
    patience = last["emulator"]["grace"] + _AFTER_GRACE
    limit = time.monotonic() + patience
    while not lock.is_free(run.lock_file(run.state_folder(folder))):
        if time.monotonic() > limit:
            wrong = f"the emulator (process {last['emulator']['pid']}) has not stopped in {patience:g} s"
            raise ServiceError(Fault(shown(folder), wrong, "End that process"))
        time.sleep(0.02)
    return last


def change(folder: Path, wish: Message, tell: Tell) -> None:
    """Have the running emulator change something, and tell how it goes; ServiceError says what failed."""
    for answer in _answers(folder, wish, patience=None):
        _raise(answer)
        if "faults" in answer:
            return
        tell(answer["said"])
    wrong = "the emulator has ended before it was done"
    raise ServiceError(Fault(shown(folder), wrong, "Start it again with `invoke emulate`"))


def run_inside(folder: Path, instance: str, words: Sequence[str]) -> int:
    """Run a command with the environment and in the folder of an instance; returns its exit code.

    ServiceError if there is no such instance or no such program.
    """
    answer = next(_answers(folder, to_message(Inside(instance))))
    _raise(answer)
    environ = answer["environ"]
    program = shutil.which(words[0], path=environ.get("PATH"))
    if program is None:
        remedy = "Name one that is in the role's environment, or on your own path"
        raise ServiceError(Fault(instance, f"there is no program '{words[0]}'", remedy))
    return subprocess.call([program, *words[1:]], env=environ, cwd=answer["cwd"])


def _raise(answer: Message) -> None:
    """ServiceError with the faults of an answer, if it has any."""
    if answer.get("faults"):
        raise ServiceError(*(from_plain(Fault, fault) for fault in answer["faults"]))


def _snapshot(folder: Path, wish: str) -> dict[str, Any]:
    first = next(_answers(folder, {"wish": wish}))
    return dict(first["snapshot"])


def _answers(folder: Path, wish: Message, patience: float | None = control.TIMEOUT) -> Iterator[Message]:
    """What the running emulator answers; ServiceError if none runs or it does not answer at all."""
    state = run.state_folder(folder)
    answers = control.ask(state, wish, patience)
    first = next(answers, None)
    if first is not None:
        yield first
        yield from answers
        return
    if state.is_dir() and not lock.is_free(run.lock_file(state)):
        wrong = "an emulator of this service is running, but does not answer"
        raise ServiceError(Fault(shown(folder), wrong, "It may be starting, ending or very busy: try again"))
    remedy = "Start one with `invoke emulate` or `invoke emulate --detach`"
    raise ServiceError(Fault(shown(folder), "no emulator of this service is running", remedy))


def run_here(told: Run) -> int:
    """Be the emulator of this console until it ends; returns its exit code, where it returns at all."""
    return become_guarded(_argv(told))


def become_guarded(argv: list[str]) -> int:
    """Go on as a program that runs under emulator.guard."""
    if os.name == "posix":
        # A Ctrl-C that comes before the emulator can act on it waits until it can.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    # The console's Ctrl-C goes straight to the guard, and no other process waits above it.
    return become(argv, os.environ)


def become(argv: list[str], environ: Mapping[str, str]) -> int:
    """Go on as another program; its exit code, where this process has to wait for it."""
    sys.stdout.flush()
    if os.name == "posix":
        os.execve(argv[0], argv, environ)
    return subprocess.call(argv, env=environ)


def call(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a program on this console to its end; its exit code."""
    return subprocess.call(argv, env=environ)


def output(argv: Sequence[str], environ: Mapping[str, str], patience: float) -> tuple[int, str]:
    """The exit code of a program, and all that it printed; one that takes longer than some seconds is ended."""
    try:
        done = subprocess.run(
            argv,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return 1, f"{(error.output or b'').decode('utf-8', 'replace')}\nit did not end within {patience:g} s"
    return done.returncode, done.stdout.decode("utf-8", "replace")


def run_detached(told: Run, tell: Tell) -> None:
    """Start an emulator of its own and return when every instance is Ready; ServiceError says why not."""
    flags: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    argv = _argv(told)
    with (told.state / "emulator.log").open("wb") as errors:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, cwd=told.folder, **flags
        )
    try:
        _wait_until_ready(told, child, tell)
    except BaseException:
        child.terminate()  # an interrupted start leaves nothing behind
        child.wait()
        raise


def _wait_until_ready(told: Run, child: "subprocess.Popen[bytes]", tell: Tell) -> None:
    """Tell how the start goes; an instance's last output only where the start fails."""
    printed: dict[str, list[str]] = {}
    for message in _messages(child):
        if message["event"] == "ready":
            return
        if message["event"] == "failed":
            child.wait()
            for name, lines in printed.items():
                for line in lines:
                    tell(f"{name} | {line}")
            _raise(message)
        if message["event"] == "said":
            tell(str(message["text"]))
            continue
        why, *output = message["why"].splitlines() or [""]
        tell(f"{message['instance']} > {message['state']}{f': {why}' if why else ''}")
        if output:
            printed[message["instance"]] = output
    log = shown(told.state / "emulator.log")
    raise ServiceError(Fault(shown(told.folder), f"the emulator ended with code {child.wait()}", f"See {log}"))


def _messages(child: "subprocess.Popen[bytes]") -> Iterator[dict[str, Any]]:
    with cast(IO[bytes], child.stdout) as lines:
        for line in lines:
            yield json.loads(line)


def _argv(told: Run) -> list[str]:
    # -P: a folder of the user's that is called like one of our packages is never run.
    return [sys.executable, "-P", "-m", "emulator", str(run.write(told))]
