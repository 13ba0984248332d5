"""One process of an instance: its output goes to its log as it comes, whole lines first, and to whoever listens."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import IO, cast

from cloudservice.journal import Journal
from emulator import children
from emulator.spawn import PIPE, Popen, piped

_REST = 0.002
"""Seconds: fewer and larger reads cost less."""
_BUSY = 1 << 16
"""Bytes at which there is no rest."""
_UNFINISHED = 0.05
"""Seconds that a line may stay without an end before it is written as it is."""
_LONGEST_LINE = 1 << 16
"""Bytes at which a line without an end is written at once."""
_RECENT = 1 << 14
_buffer = bytearray(PIPE + _LONGEST_LINE)
"""Where every process is read into, since only one is read at a time: output is not copied on its way to the log."""
_TAIL = 20
_DRAIN = 0.5
_FIRST_LOOK, _LONGEST_LOOK = 0.001, 0.05

Show = Callable[[memoryview], None]
"""Gets output as it is written to the log, mostly whole lines; what it wants to keep it must copy."""


class Process:
    """A process that was started by emulator.spawn, at whatever time before."""

    def __init__(self, popen: Popen, journal: Journal, show: Show, rest: float = _REST, drain: float = _DRAIN) -> None:
        """Follow it.

        `rest` are the seconds between two reads of one that prints all the time, `drain` those that the output of an
        ended one may still take to arrive.
        """
        self._rest, self._drain = rest, drain
        self._journal = journal
        self._show = show
        self._unfinished = b""
        self._recent = b""
        self._has_lost = False
        self._flush: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._drained = asyncio.Event()
        self._popen = popen
        self._output: IO[bytes] | None = cast(IO[bytes], self._popen.stdout)
        if os.name == "posix":
            self._fd = self._output.fileno()
            os.set_blocking(self._fd, False)
            self._loop.add_reader(self._fd, self._readable)
            children.on_end(self.pid, self._exited)
        else:
            for work in (self._pump, self._await_end):
                threading.Thread(target=work, name=f"process {self.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal, once it has ended."""
        return self._popen.returncode

    async def wait(self) -> int:
        """The exit code, negative for a signal, once the process has ended."""
        return await asyncio.shield(self._ended)

    async def drained(self) -> None:
        """Wait until its output is in the log, as far as that ends soon after the process."""
        await self._drained.wait()

    async def wait_for_group(self) -> None:
        """Wait until also what it started in its process group has ended."""
        pause = _FIRST_LOOK
        while self._popen.group.is_there:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK)

    def terminate(self) -> None:
        """Ask the whole process group to end."""
        self._popen.group.ask()

    def kill(self) -> None:
        """End the whole process group now."""
        self._popen.group.kill()

    @property
    def tail(self) -> Sequence[str]:
        """The last lines that it printed."""
        lines = self._recent.decode("utf-8", "replace").splitlines()
        return lines[1:][-_TAIL:] if len(self._recent) == _RECENT and len(lines) > 1 else lines[-_TAIL:]

    def _readable(self) -> None:
        if self._read() < _BUSY and self._output:
            self._loop.remove_reader(self._fd)
            self._loop.call_later(self._rest, self._go_on)

    def _go_on(self) -> None:
        if self._output:
            self._loop.add_reader(self._fd, self._readable)

    def _read(self) -> int:
        """Take what is there, and return how many bytes that was; at the end of the output, close it."""
        begun = len(self._unfinished)
        _buffer[:begun] = self._unfinished
        try:
            size = os.readv(self._fd, [memoryview(_buffer)[begun:]])
        except BlockingIOError:
            return 0
        if size:
            self._take(_buffer, begun + size)
        else:
            self._close_output()
        return size

    def _take(self, data: bytearray, size: int) -> None:
        """Write the whole lines among the first bytes at once, and the beginning of one if nothing follows it soon."""
        end = data.rfind(b"\n", 0, size) + 1
        if size - end > _LONGEST_LINE:
            end = size
        if end:
            self._write(memoryview(data)[:end])
        self._unfinished = bytes(data[end:size])
        if self._unfinished and self._flush is None:
            self._flush = self._loop.call_later(_UNFINISHED, self._write_unfinished)

    def _write_unfinished(self) -> None:
        self._flush = None
        if self._unfinished:
            self._write(memoryview(self._unfinished))
            self._unfinished = b""

    def _write(self, data: memoryview) -> None:
        try:
            self._journal.append(data, self)
        except OSError as error:  # a full disk must not keep an instance from ending, or starting again
            if not self._has_lost:
                self._show(memoryview(f"its log cannot be written: {error.strerror}\n".encode()))
            self._has_lost = True
        self._recent = (self._recent + data[-_RECENT:])[-_RECENT:]
        self._show(data)

    def _exited(self, code: int) -> None:
        """Note the end at once; the output may come to its end a little later."""
        self._popen.returncode = code
        self._ended.set_result(code)
        if self._output and os.name == "posix":
            # What it has printed is in the pipe; what its children may print without an end is not waited for here.
            taken = 0
            while taken < PIPE and (size := self._read()):
                taken += size
        if self._output:
            self._loop.call_later(self._drain, self._close_output)
        else:
            self._drained.set()

    def _close_output(self) -> None:
        """Read no more; if the process has ended as well, that was all."""
        if self._output:
            if os.name == "posix":
                self._loop.remove_reader(self._fd)
                self._output.close()
            self._output = None
        if self._flush:
            self._flush.cancel()
        self._write_unfinished()
        if self._ended.done():
            self._drained.set()

    def _pump(self) -> None:
        """Where pipes cannot be watched, a thread reads, as long as anyone may print."""
        with cast(IO[bytes], self._output) as output, contextlib.suppress(RuntimeError):  # the loop is closed
            while data := os.read(output.fileno(), PIPE):
                self._loop.call_soon_threadsafe(self._take_more, data)
            self._loop.call_soon_threadsafe(self._close_output)

    def _await_end(self) -> None:
        """Where no signal tells of an end, another waits for it."""
        code = self._popen.wait()
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._exited, code)

    def _take_more(self, data: bytes) -> None:
        if self._output:
            whole = bytearray(self._unfinished + data)
            self._take(whole, len(whole))


async def output_of(argv: Sequence[str]) -> bytes:
    """Run a program of ours to its end; what it printed."""
    popen = piped(argv)
    ended = asyncio.get_running_loop().create_future()
    if os.name == "posix":
        children.on_end(popen.pid, ended.set_result)
    with cast(IO[bytes], popen.stdout) as output:
        content = await asyncio.to_thread(output.read)
    popen.returncode = await ended if os.name == "posix" else await asyncio.to_thread(popen.wait)
    return content


def ending(exit_code: int) -> str:
    """How a process ended, in words: `exit code 3`, `killed by SIGKILL`."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"
