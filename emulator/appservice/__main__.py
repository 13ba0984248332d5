"""`python -P -m emulator.appservice RUN`, where RUN is a file with a `container.Run` as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from emulator.guard import SIGNALS, guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from emulator.appservice.container import Container, Run
    from emulator.console import Console

# What only the container needs is loaded by functions: the guard that stays behind must be small.


def _run(path: Path) -> int:
    from cloudservice.errors import ServiceError
    from cloudservice.plain import from_plain
    from emulator.appservice import container
    from emulator.console import Console, refuse

    told = from_plain(container.Run, json.loads(path.read_text(encoding="utf-8")))
    path.unlink()
    console = Console(sys.stdout, 0)
    try:
        return asyncio.run(_live(told, console))
    except ServiceError as error:
        refuse(error.faults, detached=False)
        return error.exit_code
    except OSError as error:
        refuse([container.not_started(told, error)], detached=False)
        return 1
    finally:
        console.close()
        shutil.rmtree(told.scratch, ignore_errors=True)


async def _live(told: Run, console: Console) -> int:
    from emulator import children
    from emulator.appservice.container import Container, held_folder

    children.adopt()  # so that what its shells leave behind is reaped, and known to have ended
    children.watch()
    with held_folder(told.scratch):
        return await _live_on(Container(told, console))


async def _live_on(made: Container) -> int:
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, made.stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # emulator.client has blocked it
    return await made.live()


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(guarded(lambda: _run(Path(sys.argv[1]))))
