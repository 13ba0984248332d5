"""The emulator process, below its guard, once the run has begun: listens, and lets the fabric live."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence

from cloudservice.errors import Fault, ServiceError
from emulator import answers
from emulator.beginning import Begun
from emulator.changes import Changes
from emulator.console import Console, refuse
from emulator.control import Listener
from emulator.fabric import Fabric
from emulator.feed import Feed
from emulator.guard import SIGNALS
from emulator.run import Run
from emulator.wishes import Message


def main(told: Run, begun: Begun, early: Sequence[int]) -> int:
    """Live until told to stop; returns the exit code. `early` has the signals that came before."""
    stream = (told.state / "console.log").open("w", encoding="utf-8") if told.detached else sys.stdout
    width = max(len(one.name) for one in begun.deployed.instances)
    console = Console(stream, width, shows_output=not told.detached)
    try:
        faults = asyncio.run(_serve(told, begun, console, early))
    except ServiceError as error:
        faults = error.faults
    console.close()
    if faults:
        refuse(faults, told.detached)
    return 1 if faults else 0


async def _serve(told: Run, begun: Begun, console: Console, early: Sequence[int]) -> tuple[Fault, ...]:
    """Live until told to stop; returns what failed, if anything did."""
    feed = Feed()
    fabric = Fabric(told, begun, console, feed)
    changes = Changes(fabric)

    def answer(message: Message) -> AsyncGenerator[Message, None]:
        return answers.answer(message, fabric, changes, feed)

    listener = Listener(told.state, answer)
    _on_signals(fabric)
    if early:
        fabric.stop()
    try:
        await fabric.start()
        await listener.open()
        await fabric.live(changes.by_files())
    finally:
        try:
            await fabric.end()
        finally:
            listener.close()
    return fabric.faults


def _on_signals(fabric: Fabric) -> None:
    """A signal only writes down that it came; the loop acts on it."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        # Only Ctrl-C may be a second wish: the others can come twice for one, as when the guard is killed as well.
        wish = fabric.interrupt if number == signal.SIGINT else fabric.stop
        if os.name == "posix":
            loop.add_signal_handler(number, wish)
        else:
            signal.signal(number, lambda *_, wish=wish: loop.call_soon_threadsafe(wish))
