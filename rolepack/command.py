"""What every command has in common: one way to fail, one way to find the service, one way to print."""

import functools
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence, Sized
from pathlib import Path
from typing import Any, cast

from invoke import Exit, Task, task

SERVICE = "Folder of the service (default: the nearest one upwards with a ServiceDefinition.csdef)."
CONFIGURATION = "Name of the configuration, as in ServiceConfiguration.NAME.cscfg."
PROGRAM = "rolepack" if Path(sys.argv[0]).stem == "rolepack" else "invoke"
"""What the user has called, for hints: who installed the program for himself may have no `invoke`."""
AS_JSON = "Print JSON for programs."


def command(**options: Any) -> Callable[[Callable[..., None]], "Task[Callable[..., None]]"]:
    """Make an Invoke task whose ServiceError is shown without a traceback, with exit code 1.

    `options` are those of `invoke.task`.
    """

    def made(function: Callable[..., None]) -> "Task[Callable[..., None]]":
        @functools.wraps(function)
        def shielded(*args: Any, **kwargs: Any) -> None:
            sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)  # Invoke has set it again
            from cloudservice.errors import ServiceError

            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(errors="backslashreplace")  # logs hold what a console may not be able to show
            try:
                if {kwargs.get(word) for word in options.get("positional", ())} & {"--help", "-h"}:
                    # Where a command wants a word, Invoke takes it for that.
                    _show_help(options.get("name", function.__name__))
                else:
                    function(*args, **kwargs)
            except ServiceError as error:
                raise Exit(str(error), code=error.exit_code) from None
            except KeyboardInterrupt:
                raise Exit("interrupted", code=130) from None
            except BrokenPipeError:
                silence()
                raise Exit(code=1) from None
            except OSError as error:
                if error.filename is None:
                    raise
                message = f"{error.filename}: {error.strerror}. Check that the path is right and may be written."
                raise Exit(message, code=1) from None

        return cast("Task[Callable[..., None]]", task(**options)(shielded))

    return made


def _show_help(function_name: str) -> None:
    # A fresh start: once Invoke has parsed a command line, its tasks have lost the help of their options.
    sys.stdout.flush()
    command_name = function_name.replace("_", "-")
    os.execv(sys.executable, [sys.executable, "-P", "-m", "rolepack.program", "--help", command_name])


def service_folder(given: str | None) -> Path:
    """The folder of `--service`, or the nearest one upwards that holds a definition."""
    from cloudservice import location
    from cloudservice.errors import Fault, ServiceError

    if given is None:
        return location.find(Path.cwd())
    place = Path(given).resolve()
    if not location.definition_file(place).is_file():
        wrong = f"there is no {location.DEFINITION} in it"
        remedy = "Name a service's folder, or make one with `rolepack new-service NAME`"
        raise ServiceError(Fault(given, wrong, remedy, rule="unreadable"))
    return place


def counted(things: Sized, noun: str) -> str:
    """How many there are, in words: `1 wheel`, `2 wheels`."""
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def listed(words: Iterable[str]) -> str:
    """Some words as a list in a sentence: `one, two and three`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def table(rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    """Rows as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def silence() -> None:
    """Print no more: whoever read the output has gone, and Python must not tell when it flushes at its end either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Print a line for people."""
    print(text, flush=True)


def silent(_text: str) -> None:
    """Say nothing, where a program reads the output."""


def say_json(value: Any) -> None:
    """Print a value for programs."""
    print(json.dumps(value, indent=2), flush=True)
