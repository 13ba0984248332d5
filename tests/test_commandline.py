"""Command lines are split and their files found as Windows does it."""

import pytest

from cloudservice import commandline


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (r"bin\ps.cmd LaunchWorker.ps1 worker.py", [r"bin\ps.cmd", "LaunchWorker.ps1", "worker.py"]),
        (r'"C:\a b\x.exe" "two words" end\ ', [r"C:\a b\x.exe", "two words", "end\\"]),
        ('a""b "" c', ["ab", "", "c"]),
        ("   ", []),
        ('open "quote', ["open", "quote"]),
    ],
)
def test_words(line, words):
    assert commandline.split(line) == words


def test_files_are_found_whatever_their_case(tmp_path):
    (tmp_path / "Bin").mkdir()
    (tmp_path / "Bin" / "PS.cmd").touch()
    assert commandline.find(tmp_path, r"bin\ps.cmd") == tmp_path / "Bin" / "PS.cmd"
    assert commandline.find(tmp_path, r".\bin\ps.cmd") == tmp_path / "Bin" / "PS.cmd"


@pytest.mark.parametrize("path", ["", "..\\x.cmd", "C:\\x.cmd", "\\x.cmd", "/x.cmd", "bin\\..\\..\\x.cmd"])
def test_nothing_outside_the_folder_is_found(tmp_path, path):
    (tmp_path / "x.cmd").touch()
    assert commandline.find(tmp_path / "inner", path) is None


def test_missing_files_are_those_of_the_role(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ps.cmd").touch()
    line = r"bin\ps.cmd LaunchWorker.ps1 worker.py"
    assert commandline.missing_files(line, tmp_path, tmp_path) == ["LaunchWorker.ps1", "worker.py"]
    assert commandline.missing_files("setup.bat /q", tmp_path, tmp_path) == ["setup.bat"]
    assert commandline.missing_files("powershell.exe -File x.ps1", tmp_path, tmp_path) == []
