"""One process of an instance: its output goes to its log as it comes, and line by line to whoever listens."""

import asyncio
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from emulator.launch import Command

_LONGEST_LINE = 1 << 16
"""Bytes after which a line without an end is shown in pieces; the log gets every byte as it came."""
_SHOWN = 200
"""Lines of one read that are shown: a role that prints faster than anyone reads must not keep the loop busy."""
_TAIL = 20
_DRAIN = 0.5
"""Seconds that an ended process's output may still take to arrive."""

Show = Callable[[Sequence[str], int], None]
"""Gets lines of output without their ends, and how many lines before them were left out."""


class Process(asyncio.SubprocessProtocol):
    """A running command, leader of its own process group, so that Ctrl-C of the console does not reach it."""

    def __init__(self, log: int, show: Show) -> None:
        self._log = log
        self._show = show
        self._unfinished = b""
        self._ended = asyncio.get_running_loop().create_future()
        self._transport: asyncio.SubprocessTransport | None = None
        self.tail: deque[str] = deque(maxlen=_TAIL)

    @property
    def pid(self) -> int:
        """The process's id."""
        return cast(asyncio.SubprocessTransport, self._transport).get_pid()

    async def wait(self) -> int:
        """The exit code, negative for a signal, once the process has ended and its output is in the log."""
        return cast(int, await asyncio.shield(self._ended))

    def terminate(self) -> None:
        """Ask the whole process group to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the whole process group now."""
        self._signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport that asyncio hands over."""
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Write output to the log before anything else, then show its whole lines."""
        del fd
        if self._ended.done():  # what comes after the drain has nowhere to go
            return
        written = memoryview(data)
        while written:
            written = written[os.write(self._log, written) :]
        output = self._unfinished + data
        left_out = max(0, output.count(b"\n") - _SHOWN)
        *lines, self._unfinished = output.rsplit(b"\n", _SHOWN + 1)
        if left_out:
            del lines[0]
        if len(self._unfinished) > _LONGEST_LINE:
            lines, self._unfinished = [*lines, self._unfinished], b""
        self._lines(lines, left_out)

    def process_exited(self) -> None:
        """End what the process left in its group; then its output ends too."""
        if os.name == "posix":
            self.kill()
        asyncio.get_running_loop().call_later(_DRAIN, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        """The process has ended and its output is read to the end."""
        del exc
        self._end()

    def _lines(self, lines: Sequence[bytes], left_out: int = 0) -> None:
        texts = [line.decode("utf-8", "replace").rstrip("\r") for line in lines]
        self.tail.extend(texts)
        self._show(texts, left_out)

    def _end(self) -> None:
        if self._ended.done():
            return
        if self._unfinished:
            self._lines([self._unfinished])
        transport = cast(asyncio.SubprocessTransport, self._transport)
        self._ended.set_result(transport.get_returncode())
        transport.close()
        os.close(self._log)

    def _signal(self, number: int) -> None:
        try:
            if os.name == "posix":
                os.killpg(self.pid, number)
            else:
                cast(asyncio.SubprocessTransport, self._transport).send_signal(number)
        except (ProcessLookupError, PermissionError):
            pass


async def start(command: Command, show: Show) -> Process:
    """Start a command; OSError if its program, folder or log cannot be used."""
    command.log.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(command.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        return await _start(command, log, show)
    except BaseException:
        os.close(log)
        raise


async def _start(command: Command, log: int, show: Show) -> Process:
    _, process = await asyncio.get_running_loop().subprocess_exec(
        lambda: Process(log, show),
        *command.argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=command.cwd,
        env=command.environ,
        start_new_session=os.name == "posix",
    )
    return process


def ending(exit_code: int) -> str:
    """How a process ended, in words: `exit code 3`, `killed by SIGKILL`."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"
