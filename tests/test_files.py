"""Files appear whole or not at all."""

import os
import signal
import subprocess
import sys

import pytest
from conftest import until

from cloudservice.files import whole, write_whole


def test_an_error_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "deep" / "file"
    write_whole(path, "old")
    with pytest.raises(RuntimeError), whole(path) as file:
        file.write(b"new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_whole(path, "old")
    code = (
        "import sys, time; from pathlib import Path; from cloudservice.files import whole\n"
        "with whole(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); print('written', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: process.poll() is not None)
    assert path.read_text() == "old"


def test_the_mode_stays_and_new_files_follow_the_umask(tmp_path):
    path = tmp_path / "file"
    write_whole(path, "a")
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o700)
    write_whole(path, "b")
    assert path.stat().st_mode & 0o777 == 0o700
