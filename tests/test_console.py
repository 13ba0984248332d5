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
    console.output("jobs_IN_0", memoryview(b"hello\nthere\n"))
    console.say("stopping")
    console.close()
    assert stream.getvalue().splitlines() == [
        "web_IN_0  > Ready",
        "web_IN_0  > Recycling: exit code 3",
        "jobs_IN_0 | hello",
        "jobs_IN_0 | there",
        "stopping",
    ]


def test_a_reader_that_does_not_read_holds_up_nothing_and_learns_what_it_missed():
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as stream, os.fdopen(reading, encoding="utf-8") as reader:
        console = Console(stream, 0)
        for number in range(100_000):
            console.output("a", memoryview(f"{number:0100}\n".encode()))
        shown = [reader.readline() for _ in range(1_000)]
        console.say("later")
        rest = iter(reader.readline, "later\n")
        lines = [*shown, *rest]
        console.close()
    missed = [int(line.strip("(").partition(" ")[0]) for line in lines if "not shown here" in line]
    assert missed
    numbers = [int(line.partition("|")[2]) for line in lines if "|" in line]
    assert numbers == sorted(numbers)
    assert len(numbers) + sum(missed) == 100_000


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
    console.output("a", memoryview("日本\r\n\xff".encode()))
    console.output("a", memoryview(b"\xff\n"))
    console.say("still here")
    console.close()
    lines = raw.getvalue().decode().splitlines()
    assert lines == ["a | \\u65e5\\u672c", "a | \\xff", "a | \\ufffd", "still here"]


def test_of_a_flood_the_last_whole_lines_are_shown_and_the_others_counted():
    stream = io.StringIO()
    console = Console(stream, 0)
    console.output("a", memoryview(b"".join(b"%099d\n" % number for number in range(1000))))
    console.close()
    first, *shown = stream.getvalue().splitlines()
    assert [int(line.removeprefix("a | ")) for line in shown] == list(range(1000 - len(shown), 1000))
    assert first == f"({1000 - len(shown)} lines not shown here; the logs have them)"
    assert 100 < len(shown) < 200


def test_a_console_without_output_has_the_states_alone():
    stream = io.StringIO()
    console = Console(stream, 0, shows_output=False)
    console.output("a", memoryview(b"hello\n"))
    console.state("a", "Ready")
    console.close()
    assert stream.getvalue() == "a > Ready\n"
