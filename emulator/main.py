"""The emulator process, below its guard: deploys the run, listens, and lets the fabric live."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from cloudservice.errors import ServiceError
from emulator import deployment
from emulator.console import Console, refuse
from emulator.control import Listener, Wish
from emulator.fabric import Fabric
from emulator.run import Run, load
from emulator.status import snapshot

_FAILED = 1


def main(path: Path) -> int:
    """Run what the file says until told to stop; returns the exit code."""
    told = load(path)
    width = max((len(name) + len("_IN_0") for name in told.roles), default=0)
    stream = (told.state / "console.log").open("a", encoding="utf-8") if told.detached else sys.stdout
    console = Console(stream, width)
    try:
        failure = asyncio.run(_serve(told, console))
    except ServiceError as error:
        failure = str(error)
    console.close()
    if failure:
        refuse(failure, told.detached)
    return _FAILED if failure else 0


def refuse_second(path: Path) -> int:
    """Say that the service is emulated already; returns the exit code."""
    told = load(path)
    refuse(f"{told.folder}: an emulator of this service runs already. Stop it with `invoke stop`.", told.detached)
    return _FAILED


async def _serve(told: Run, console: Console) -> str | None:
    """Live until told to stop; returns what failed, if anything did."""
    deployment.forget_old(told)
    deployed = deployment.deploy(told)
    for instance in deployed.instances:
        deployment.lay(told, deployed, instance)
    fabric = Fabric(told, deployed, console)

    async def answer(wish: Wish) -> object:
        if wish["wish"] == "stop":
            fabric.stop()
        return snapshot(told, deployed, fabric)

    listener = Listener(told.state, answer)
    _on_signals(fabric.stop)
    await listener.open()
    try:
        await fabric.run()
    finally:
        listener.close()
    return fabric.failure


def _on_signals(stop: Callable[[], None]) -> None:
    """A signal only writes down that it came; the loop acts on it."""
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is None:
            continue
        if os.name == "posix":
            loop.add_signal_handler(number, stop)
        else:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
    if os.name == "posix":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # emulator.client blocked it
