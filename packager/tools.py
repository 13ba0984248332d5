"""Outside programs, run quietly; when one fails, all that it printed is kept."""

import os
import re
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

_CREDENTIALS = re.compile(r"://[^/@\s]+@")
"""In an address; what a tool says may be shown to anyone."""
_WATCH = '(read -r _ <&"$0"; kill -KILL 0) >/dev/null 2>&1 & eval "exec $0<&-"; exec "$@"'
"""Runs a program, and ends the whole process group when nobody holds the other end of a pipe any more."""
_LOOK = 0.05
"""Seconds between two looks whether a program that prints nothing has ended."""
_PIECE = 1 << 16


class ToolError(Exception):
    """A program that ended with a failure; the text is what it printed to its error output, or its output."""


def run(
    argv: Sequence[str | Path], environ: Mapping[str, str] | None = None, cwd: Path | None = None, given: str = ""
) -> str:
    """Run a program without a shell, `given` as its input, and return its output; raise ToolError if it fails."""
    try:
        done = subprocess.run(
            list(map(str, argv)),
            input=given,
            capture_output=True,
            env=environ,
            cwd=cwd,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise ToolError(f"{argv[0]}: {error.strerror}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise ToolError(without_credentials(said))
    return done.stdout


def stream(argv: Sequence[str | Path], environ: Mapping[str, str], cwd: Path, see: Callable[[str], None]) -> int:
    """Run a program that may take long, let `see` have each line that it prints, and return its exit code.

    That is 128 and the signal for one that was killed, as a shell has it. What it has started is ended with it, and all
    of it when this process ends, however it does, or when `see` raises.
    """
    alive, held = os.pipe()
    watch = ["bash", "-c", _WATCH, str(alive), *map(str, argv)]
    process = subprocess.Popen(
        watch,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environ,
        cwd=cwd,
        pass_fds=(alive,),
        process_group=0,
    )
    os.close(alive)
    with cast(IO[bytes], process.stdout) as output:
        try:
            for line in _lines(process, output):
                see(line.decode("utf-8", "backslashreplace").rstrip("\r\n"))
        finally:
            os.close(held)  # at which the group ends
            process.wait()
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _lines(process: "subprocess.Popen[bytes]", output: IO[bytes]) -> Iterator[bytes]:
    """What a process prints, by lines, until it has ended; others may have its output and never end."""
    number = output.fileno()
    os.set_blocking(number, False)
    rest = b""
    while True:
        has_ended = process.poll() is not None
        ready, _, _ = select.select([number], [], [], 0 if has_ended else _LOOK)
        if ready:
            piece = os.read(number, _PIECE)
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
            if piece:
                continue
        if has_ended or ready:
            process.wait()
            break
    if rest:
        yield rest


def without_credentials(text: str) -> str:
    """The text without users and passwords in its addresses."""
    return _CREDENTIALS.sub("://", text)


def git(folder: Path, *words: str, asked: str = "") -> str:
    """What git answers in a folder; nothing if there is no git, or if it has nothing to say."""
    program = shutil.which("git")
    if program is None:
        return ""
    argv = [program, "-C", str(folder), *words]
    done = subprocess.run(argv, input=os.fsencode(asked), capture_output=True, check=False)
    return os.fsdecode(done.stdout) if done.returncode == 0 else ""
