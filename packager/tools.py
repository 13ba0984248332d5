"""Outside programs, run quietly; when one fails, all that it printed is kept."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

_CREDENTIALS = re.compile(r"://[^/@\s]+@")
"""In an address; what a tool says may be shown to anyone."""


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

    That is 128 and the signal for one that was killed, as a shell has it. An exception of `see` ends the program.
    """
    with subprocess.Popen(
        list(map(str, argv)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environ,
        cwd=cwd,
        encoding="utf-8",
        errors="backslashreplace",
        process_group=0,
    ) as process:
        try:
            for line in cast(IO[str], process.stdout):
                see(line.rstrip("\n"))
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


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
