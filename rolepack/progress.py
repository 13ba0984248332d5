"""Shows how long work goes on: a bar on a terminal, a line a step elsewhere, on standard error."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cloudservice.tells import Report

if TYPE_CHECKING:
    from rich.progress import ProgressColumn


@contextmanager
def shown(quiet: bool = False) -> Iterator[Report]:
    """A function for the packager to report to, until the block ends."""
    if quiet:
        yield lambda _text, _done, _total: None
    elif sys.stderr.isatty():
        yield from _bars()
    else:
        yield _lines()


@contextmanager
def transfers(quiet: bool = False) -> Iterator[Report]:
    """The same for bytes that travel: a bar has their rate, and the time that is left."""
    if quiet or not sys.stderr.isatty():
        with shown(quiet) as report:
            yield report
    else:
        from rich.progress import DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

        yield from _bars(DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())


def _bars(*more: "ProgressColumn") -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), *(more or (TimeElapsedColumn(),)))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        known: dict[str, TaskID] = {}
        endless: set[str] = set()
        one_at_a_time = threading.Lock()

        def report(text: str, done: int, total: int) -> None:
            with one_at_a_time:
                # What has no end that is known ends when the next of its kind begins.
                for finished in [each for each in endless if each != text and not total]:
                    progress.remove_task(known.pop(finished))
                    endless.remove(finished)
                if text not in known:
                    known[text] = progress.add_task(text)
                progress.update(known[text], completed=done, total=total or None)
                if not total:
                    endless.add(text)
                elif done >= total:
                    progress.remove_task(known.pop(text))

        yield report


def _lines() -> Report:
    last = ""

    def report(text: str, _done: int, _total: int) -> None:
        nonlocal last
        if text != last:
            last = text
            print(f"{text} …", file=sys.stderr, flush=True)

    return report
