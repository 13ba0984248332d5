"""Logs: whole lines in order, whatever is printed and however it is cut into writes and files."""

import itertools
import os
import random
import shutil
from pathlib import Path

import pytest

from cloudservice import journal
from cloudservice.journal import Journal

ONE, OTHER = object(), object()


def append(log: Journal, *pieces: bytes, writer: object = ONE) -> None:
    for piece in pieces:
        log.append(memoryview(piece), writer)


def parts(path: Path) -> list[bytes]:
    """The files of a log, oldest first."""
    there = [journal.rotated(path, number) for number in range(journal.KEPT, -1, -1)]
    return [one.read_bytes() for one in there if one.exists()]


def test_what_is_written_stays_as_it_is(tmp_path):
    path = tmp_path / "LogFiles" / "a.log"
    log = Journal(path)
    append(log, b"one\n", b"\xff\x00 rubbish \r\n", b"half", b" a line\n")
    log.close()
    assert path.read_bytes() == b"one\n\xff\x00 rubbish \r\nhalf a line\n"


def test_it_is_rotated_at_line_ends_and_the_oldest_goes(tmp_path):
    path = tmp_path / "a.log"
    log = Journal(path, limit=100)
    lines = [b"%d\n" % number for number in range(1000)]
    append(log, *(b"".join(batch) for batch in itertools.batched(lines, 7)) if hasattr(itertools, "batched") else lines)
    log.close()
    there = parts(path)
    assert len(there) == journal.KEPT + 1
    assert all(len(part) <= 100 and part.endswith(b"\n") for part in there)
    kept = b"".join(there).splitlines()
    assert kept == [b"%d" % number for number in range(1000 - len(kept), 1000)]
    assert all(len(part) > 90 for part in there[:-1])


@pytest.mark.parametrize("seed", range(20))
def test_no_line_is_torn_lost_or_doubled_however_it_arrives(tmp_path, seed):
    chance = random.Random(seed)  # noqa: S311
    lines = [b"%06d " % number + b"x" * chance.choice([0, 5, 60, 250]) + b"\n" for number in range(300)]
    content = b"".join(lines)
    cuts = sorted(chance.sample(range(len(content)), 80))
    path = tmp_path / "a.log"
    log = Journal(path, limit=len(content) // 4)
    append(log, *(content[a:b] for a, b in itertools.pairwise([0, *cuts, len(content)])))
    log.close()
    there = parts(path)
    assert b"".join(there) == content
    assert len(there) > 3
    assert all(part.endswith(b"\n") for part in there)


def test_a_line_longer_than_a_file_stays_whole_up_to_twice_its_size(tmp_path):
    path = tmp_path / "a.log"
    log = Journal(path, limit=100)
    append(log, b"short\n", b"y" * 150, b"\n", b"after\n")
    log.close()
    assert parts(path) == [b"short\n", b"y" * 150 + b"\n", b"after\n"]


def test_what_never_ends_a_line_is_cut_at_twice_the_size(tmp_path):
    path = tmp_path / "a.log"
    log = Journal(path, limit=100)
    append(log, *[b"z" * 70] * 10)
    log.close()
    assert [len(part) for part in parts(path)] == [200, 200, 200, 100]


def test_two_writers_share_a_log_line_by_line(tmp_path):
    path = tmp_path / "a.log"
    log = Journal(path)
    append(log, b"one\n", b"half")
    append(log, b"other\n", writer=OTHER)
    append(log, b" a line\n")
    log.close()
    assert path.read_bytes() == b"one\nhalf\nother\n a line\n"


def test_the_next_run_begins_a_line_of_its_own(tmp_path):
    path = tmp_path / "a.log"
    for text in (b"killed in the mid", b"again\n"):
        log = Journal(path)
        append(log, text)
        log.close()
    assert path.read_bytes() == b"killed in the mid\nagain\n"


def test_marks_go_with_their_file(tmp_path):
    path = tmp_path / "a.log"
    log = Journal(path, limit=10)
    append(log, b"12345678\n", b"abcdefgh\n")
    log.close()
    for number in (0, 1):
        content = journal.times(journal.rotated(path, number)).read_bytes()
        (_, size), *_ = journal.MARK.iter_unpack(content)
        assert size == 0


def test_a_rotation_that_fails_is_made_up_for_and_touches_no_other_file(tmp_path):
    folder = tmp_path / "LogFiles"
    log = Journal(folder / "a.log", limit=10)
    append(log, b"one\n")
    shutil.rmtree(folder)
    with pytest.raises(OSError, match="No such file"):
        append(log, b"two is too long\n")
    with (tmp_path / "other").open("wb") as other:  # which may get the number of the file that was closed
        with pytest.raises(OSError, match="No such file"):
            append(log, b"three\n")
        folder.mkdir()
        append(log, b"four\n")
        log.close()
        assert os.fstat(other.fileno()).st_size == 0
    assert (folder / "a.log").read_bytes().endswith(b"four\n")
