"""The emulator process, below its guard: deploys the run, listens, and lets the fabric live."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

from cloudservice.errors import Fault, ServiceError
from cloudservice.instances import instances
from emulator import answers, deployment
from emulator.changes import Changes
from emulator.console import Console, refuse
from emulator.control import Listener
from emulator.fabric import Fabric
from emulator.feed import Feed
from emulator.run import Run, take
from emulator.wishes import Message

_FAILED = 1


def main(path: Path) -> int:
    """Run what the file says until told to stop; returns the exit code."""
    told = take(path)
    stream = (told.state / "console.log").open("w", encoding="utf-8") if told.detached else sys.stdout
    width = max(len(one.name) for one in instances(told.service, told.roles))
    console = Console(stream, width, shows_output=not told.detached)
    try:
        faults = asyncio.run(_serve(told, console))
    except ServiceError as error:
        faults = error.faults
    console.close()
    if faults:
        refuse(faults, told.detached)
    return _FAILED if faults else 0


def refuse_second(path: Path) -> int:
    """Say that the service is emulated already; returns the exit code."""
    told = take(path)
    wrong = "an emulator of this service runs already"
    refuse([Fault(str(told.folder), wrong, "Stop it with `invoke stop`")], told.detached)
    return _FAILED


async def _serve(told: Run, console: Console) -> tuple[Fault, ...]:
    """Live until told to stop; returns what failed, if anything did."""
    deployment.forget_old(told)
    feed = Feed()
    fabric = Fabric(told, console, feed)
    changes = Changes(fabric)

    def answer(message: Message) -> AsyncGenerator[Message, None]:
        return answers.answer(message, fabric, changes, feed)

    listener = Listener(told.state, answer)
    _on_signals(fabric)
    await listener.open()
    try:
        await fabric.live(changes.by_files)
    finally:
        listener.close()
    return fabric.faults


def _on_signals(fabric: Fabric) -> None:
    """A signal only writes down that it came; the loop acts on it."""
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK"):
        number = getattr(signal, name, None)
        # Only Ctrl-C may be a second wish: the others can come twice for one, from a group and from the guard.
        wish = fabric.interrupt if name == "SIGINT" else fabric.stop
        if number is None:
            continue
        if os.name == "posix":
            loop.add_signal_handler(number, wish)
        else:
            signal.signal(number, lambda *_, wish=wish: loop.call_soon_threadsafe(wish))
    if os.name == "posix":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # emulator.client blocked it
