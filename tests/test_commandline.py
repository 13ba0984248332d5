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


def test_named_files_are_those_of_the_role(tmp_path):
    (tmp_path / "bin").mkdir()
    batch = tmp_path / "bin" / "ps.cmd"
    batch.touch()

    def named(line):
        return commandline.named_files(line, tmp_path, tmp_path)

    assert named(r"bin\ps.cmd LaunchWorker.ps1 worker.py") == {
        r"bin\ps.cmd": batch,
        "LaunchWorker.ps1": None,
        "worker.py": None,
    }
    assert named("setup.bat /q") == {"setup.bat": None}
    assert named("cmd /c setup.bat>log.txt 2>&1") == {"setup.bat": None}
    assert named(r"%RoleRoot%\approot\bin\ps.cmd") == {r"%RoleRoot%\approot\bin\ps.cmd": batch}
    assert named("bin/ps.cmd>log.txt") == {"bin/ps.cmd": batch}


@pytest.mark.parametrize(
    "line", ["powershell.exe -File x.ps1", r"C:\x\y.cmd", r"%windir%\x.cmd", "", "  ", "cmd /c", "> x.cmd"]
)
def test_programs_of_the_system_are_not_looked_for(tmp_path, line):
    assert commandline.named_files(line, tmp_path, tmp_path) == {}
