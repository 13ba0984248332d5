"""The console never makes a role wait."""

import contextlib
import io
import os

from emulator.console import Console


def test_each_line_has_its_name():
    stream = io.StringIO()
    console = Console(stream, 9)
    console.state("web_IN_0", "Ready")
    console.state("web_IN_0", "Recycling", "exit code 3")
    console.output("jobs_IN_0", ["hello"], 0)
    console.say("stopping")
    console.close()
    assert stream.getvalue().splitlines() == [
        "web_IN_0  > Ready",
        "web_IN_0  > Recycling: exit code 3",
        "jobs_IN_0 | hello",
        "stopping",
    ]


def test_a_reader_that_does_not_read_holds_up_nothing_and_learns_what_it_missed():
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as stream, os.fdopen(reading, encoding="utf-8") as reader:
        console = Console(stream, 0)
        for number in range(100_000):
            console.output("a", [f"{number:0100}"], 0)
        shown = [reader.readline() for _ in range(15_000)]
        console.say("later")
        rest = iter(reader.readline, "later\n")
        lines = [*shown, *rest]
        console.close()
    missed = [line for line in lines if "not shown here" in line]
    assert len(missed) == 1
    numbers = [int(line.partition("|")[2]) for line in lines if "|" in line]
    assert numbers == sorted(numbers)
    assert len(numbers) + int(missed[0].strip("(").partition(" ")[0]) == 100_000


def test_a_reader_that_has_gone_does_no_harm():
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w", encoding="utf-8", buffering=1)
    console = Console(stream, 0)
    for _ in range(3):
        console.say("nobody reads this")
    console.close()
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def test_what_the_console_cannot_show_is_shown_as_far_as_it_can():
    raw = io.BytesIO()
    console = Console(io.TextIOWrapper(raw, encoding="ascii"), 0)
    console.output("a", ["日本"], 7)
    console.say("still here")
    console.close()
    lines = raw.getvalue().decode().splitlines()
    assert lines == ["(7 lines not shown here; the logs have them)", "a | \\u65e5\\u672c", "still here"]
