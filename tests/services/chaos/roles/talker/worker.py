"""Prints numbered lines, many of them or rubbish when the file `storm` says so, and notes when each was written."""

import json
import os
import time
import uuid
from pathlib import Path

settings = json.loads(Path(os.environ["ROLE_ENVIRONMENT"]).read_text(encoding="utf-8"))["current"]["settings"]
progress = Path(settings["Progress"])
life = uuid.uuid4().hex
notes = os.open(progress / f"life-{life}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def talk(number, count):
    """Print so many lines: at most 4 KiB a write, which a pipe takes whole or not at all (pipe(7)); the next number."""
    for begin in range(number, number + count, 30):
        end = min(begin + 30, number + count)
        os.write(1, b"".join(b"%s %d %s\n" % (life.encode(), each, b"x" * 80) for each in range(begin, end)))
        os.write(notes, b"%d %d\n" % (end, time.time_ns()))
    return number + count


def seen():
    try:
        return (progress / "storm").read_text()
    except FileNotFoundError:
        return ""


before = seen()
number = 0
while True:
    number = talk(number, 1)
    now = seen()
    if now != before and now:
        kind, _, size = now.split()
        if kind == "lines":
            number = talk(number, int(size))
        else:
            os.write(1, os.urandom(int(size)).replace(b"\n", b"") + b"\n")
    before = now
    time.sleep(0.01)
