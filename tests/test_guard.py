"""What is left when the emulator itself is killed."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import is_alive, until

ROOT = Path(__file__).parent.parent
PROGRAM = """
    import asyncio, os, subprocess, sys, time
    from emulator import children
    from emulator.guard import guarded

    def main():
        async def begin():
            children.watch()
            sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
            ended = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
            children.begun(ended.pid)
            children.on_end(ended.pid, lambda code: None)
            processes = [subprocess.Popen(sleeper, start_new_session=True) for _ in range(3)]
            for process in processes:
                children.begun(process.pid)
            await asyncio.sleep(0.5)
            print(os.getpid(), *[process.pid for process in processes], flush=True)
            await asyncio.sleep(600)

        asyncio.run(begin())
        return 0

    guarded(main, {finds_orphans})
"""


@pytest.mark.parametrize("finds_orphans", [True, False])
def test_no_process_outlives_a_killed_emulator(finds_orphans):
    code = textwrap.dedent(PROGRAM.format(finds_orphans=finds_orphans))
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as guard:
        emulator, *processes = map(int, guard.stdout.readline().split())
        assert all(map(is_alive, processes))
        subprocess.run(["kill", f"-{signal.SIGKILL.value}", str(emulator)], check=True)
        until(lambda: not any(map(is_alive, processes)), 1)
        assert guard.wait(10) == 128 + signal.SIGKILL
