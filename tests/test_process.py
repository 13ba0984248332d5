"""Processes of an instance: their output, their ends, what they leave behind."""

import asyncio
import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest
from conftest import is_alive, until

from cloudservice import journal
from emulator import children, process
from emulator.shell import Command
from emulator.spawn import spawn

LIMIT = 30
BELOW = """
import subprocess, sys, time
hidden = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env={})
print(hidden.pid, flush=True)
time.sleep(60)
"""


def ignore(_data: memoryview) -> None:
    pass


def play(code: str, tmp_path: Path, story, *, shown: list[bytes] | None = None):
    """Run Python code as a process and do with it what `story` says."""

    async def scenario():
        children.adopt()
        children.watch()
        log = journal.Journal(tmp_path / "a.log", limit=1 << 20)
        argv = (sys.executable, "-c", textwrap.dedent(code))
        command = Command(argv, tmp_path, dict(os.environ), tmp_path / "a.log")
        show = ignore if shown is None else lambda data: shown.append(bytes(data))
        started = process.Process(spawn(command), log, show)
        try:
            async with asyncio.timeout(LIMIT):
                return await story(started)
        finally:
            started.kill()
            await started.wait()
            log.close()

    return asyncio.run(scenario())


async def to_its_end(started):
    code = await started.wait()
    await started.drained()
    return code, list(started.tail)


def test_output_and_errors_are_in_their_order_and_the_exit_code_is_known(tmp_path):
    code = """
        import os, sys
        for number in range(500):
            os.write(1 + number % 2, b"%d\\n" % number)
        os.write(1, b"no end")
        sys.exit(7)
    """
    assert play(code, tmp_path, to_its_end) == (7, [*map(str, range(481, 500)), "no end"])
    lines = (tmp_path / "a.log").read_text().splitlines()
    assert lines == [*map(str, range(500)), "no end"]


def test_a_line_that_waits_for_its_end_is_shown_soon(tmp_path):
    shown = []

    async def story(started):
        while not shown:
            await asyncio.sleep(0.01)
        return (tmp_path / "a.log").read_bytes()

    assert (
        play("import time; print('Name: ', end='', flush=True); time.sleep(60)", tmp_path, story, shown=shown)
        == b"Name: "
    )


def test_ten_megabytes_without_a_line_end_and_rubbish_arrive_whole(tmp_path):
    code = r"""
        import os
        chunk = bytes(range(256)).replace(b"\n", b"") * 100
        for _ in range(40):
            os.write(1, chunk)
        os.write(1, b"\nend\n")
    """
    exit_code, _ = play(code, tmp_path, to_its_end)
    chunk = bytes(range(256)).replace(b"\n", b"") * 100
    assert exit_code == 0
    assert (tmp_path / "a.log").read_bytes() == chunk * 40 + b"\nend\n"


@pytest.mark.parametrize("write", ["os.write(1, line)", "chunk += line"])
def test_a_million_numbered_lines_across_rotations(tmp_path, write):
    code = f"""
        import os
        chunk = b""
        for number in range(60_000):
            line = b"%07d %s\\n" % (number, b"x" * 60)
            {write}
            if len(chunk) > 65536:
                os.write(1, chunk)
                chunk = b""
        os.write(1, chunk)
    """
    exit_code, _ = play(code, tmp_path, to_its_end)
    assert exit_code == 0
    path = tmp_path / "a.log"
    files = [journal.rotated(path, number) for number in range(journal.KEPT, -1, -1)]
    contents = [file.read_bytes() for file in files if file.exists()]
    assert all(content.endswith(b"\n") for content in contents)
    numbers = [int(line[:7]) for content in contents for line in content.splitlines()]
    assert numbers == list(range(60_000))[-len(numbers) :]
    assert len(numbers) > 50_000


def test_a_process_that_left_its_group_does_not_hold_up_the_end(tmp_path):
    code = """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
        print(child.pid, flush=True)
    """

    async def story(started):
        began = time.monotonic()
        code, tail = await to_its_end(started)
        return code, int(tail[0]), time.monotonic() - began

    code, grandchild, taken = play(code, tmp_path, story)
    os.kill(grandchild, signal.SIGKILL)
    assert (code, taken < 10) == (0, True)


def test_orphans_are_found_by_their_mark_with_all_below_them(tmp_path):
    mark = str(tmp_path / "instance")
    code = f"""
        import os, subprocess, sys, time
        environ = {{**os.environ, "{children.MARK}": {mark!r}}}
        below = {BELOW!r}
        child = subprocess.Popen([sys.executable, "-c", below], start_new_session=True, env=environ)
        print(child.pid, flush=True)
        time.sleep(1)
    """

    async def story(started):
        await started.wait()
        children.kill_orphans("someone else")
        pids = [int(line) for line in started.tail]
        alive = [is_alive(pid) for pid in pids]
        children.kill_orphans(mark)
        await started.drained()
        return pids, alive

    pids, alive = play(code, tmp_path, story)
    assert alive == [True, True]
    until(lambda: not any(map(is_alive, pids)), 5)


def test_a_program_that_is_not_there_is_an_error(tmp_path):
    async def scenario():
        log = journal.Journal(tmp_path / "a.log")
        command = Command((str(tmp_path / "nothing"),), tmp_path, {}, tmp_path / "a.log")
        with pytest.raises(FileNotFoundError):
            spawn(command)
        log.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("code", "words"), [(3, "exit code 3"), (-9, "killed by SIGKILL"), (-63, "killed by signal 63")]
)
def test_an_end_in_words(code, words):
    assert process.ending(code) == words


def test_a_log_that_cannot_be_written_keeps_nothing_from_ending(tmp_path):
    (tmp_path / "a.log").symlink_to("/dev/full")
    shown: list[bytes] = []
    code, _ = play("print('one', flush=True); print('two', end='')", tmp_path, to_its_end, shown=shown)
    assert code == 0
    assert b"".join(shown).count(b"its log cannot be written: No space left on device\n") == 1
