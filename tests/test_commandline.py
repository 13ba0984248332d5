"""Command lines are split and their files found as Windows does it."""

import pytest

from cloudservice import commandline
from cloudservice.commandline import Files


@pytest.fixture
def role(tmp_path):
    """A role with `bin/ps.cmd`, `bin/start.cmd` and `Startup/install.cmd`."""
    for name in ("bin/ps.cmd", "bin/start.cmd", "bin/R&D/go.cmd", "Startup/install.cmd"):
        path = tmp_path / "role" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "role"


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


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("setup.cmd /q > log.txt 2>&1", ["setup.cmd", "/q"]),
        ("cmd /c setup.cmd>log.txt", ["setup.cmd"]),
        ('CMD.EXE /c "bin\\start.cmd /q > log.txt"', [r"bin\start.cmd", "/q"]),
        (r'cmd /c "my bin\start.cmd"', [r"my bin\start.cmd"]),
        (r'"bin\R&D\start.cmd" a|b', [r"bin\R&D\start.cmd", "a"]),
        ('cmd /s /c call start "" /w x.cmd', ["x.cmd"]),
        ('cmd.exe /c "start /w Startup\\vc.exe"', [r"Startup\vc.exe"]),
        ('cmd /c "bin\\install.cmd Startup\\vc.exe"', [r"bin\install.cmd", r"Startup\vc.exe"]),
        ('cmd /c ""bin\\my tool.cmd" a"', [r"bin\my tool.cmd", "a"]),
        ("cmd/c x.cmd /q", ["x.cmd", "/q"]),
        (r"C:\Windows\System32\CMD.EXE /v:on /c x.cmd", ["x.cmd"]),
        (r"bin\install.cmd/q", [r"bin\install.cmd"]),
        (r"(bin\install.cmd) > log", [r"bin\install.cmd"]),
        (r"@bin\install.cmd a", [r"bin\install.cmd", "a"]),
        ('start "a title" /wait x.cmd', ["x.cmd"]),
        ("startup.cmd", ["startup.cmd"]),
        ("cmd", []),
        ("> x.cmd", []),
    ],
)
def test_the_first_command_of_a_line(line, words):
    assert commandline.words(line) == words


def test_files_are_found_whatever_their_case(role):
    files = Files(role)
    for path in (r"bin\ps.cmd", r".\BIN\ps.cmd", r"startup\..\bin\PS.CMD", r"%RoleRoot%\approot\bin\ps.cmd"):
        assert files.find(path) == role / "bin" / "ps.cmd"
    assert files.find("ps.cmd", "bin") == role / "bin" / "ps.cmd"
    assert files.find(r"..\Startup\Install.cmd", "bin") == role / "Startup" / "install.cmd"
    assert files.find(r"%roleroot%\approot\..\approot\bin\ps.cmd", "bin") == role / "bin" / "ps.cmd"


def test_a_program_is_found_without_its_ending(role):
    assert Files(role).find(r"bin\start") == role / "bin" / "start.cmd"
    assert Files(role).find(r"bin\st") is None
    (role / "in.v2.cmd").touch()
    assert Files(role).find("in.v2") == role / "in.v2.cmd"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "..\\x.cmd",
        "C:\\x.cmd",
        "\\x.cmd",
        "/x.cmd",
        "bin\\..\\..\\x.cmd",
        "%RoleRoot%\\x.cmd",
        "%RoleRoot%\\..\\x.cmd",
    ],
)
def test_nothing_outside_the_role_is_found(role, path):
    (role.parent / "x.cmd").touch()
    assert Files(role).find(path) is None
    assert Files(role).find(path.replace("..", "..\\.."), "bin") is None


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (r"bin\ps.cmd LaunchWorker.ps1 worker.py", {r"bin\ps.cmd", "LaunchWorker.ps1", "worker.py"}),
        (r"gone\ps.cmd LaunchWorker.ps1 x", {r"gone\ps.cmd", "LaunchWorker.ps1"}),
        ("setup.bat /q", {"setup.bat"}),
        ("cmd /c setup.bat>log.txt 2>&1", {"setup.bat"}),
        (r"%RoleRoot%\approot\bin\ps.cmd", {r"%RoleRoot%\approot\bin\ps.cmd"}),
        ("bin/ps.cmd>log.txt", {"bin/ps.cmd"}),
        (r'"bin\R&D\go.cmd"', {r"bin\R&D\go.cmd"}),
        ("python.exe -u worker.py --all", {"worker.py"}),
        (r"bin\python\tools\python.exe worker.py", {"worker.py"}),
        (r"node.exe .\server.js", {r".\server.js"}),
        ("powershell -ExecutionPolicy Unrestricted -File bin\\x.ps1", {r"bin\x.ps1"}),
        (r'powershell -Command "& .\x.ps1 -Verbose"', {r".\x.ps1"}),
        (r"powershell -c .\x.ps1", {r".\x.ps1"}),
        ("java -jar app.jar", {"app.jar"}),
        ("start /w install.cmd", {"install.cmd"}),
        ("gone.ps1", {"gone.ps1"}),
        (r"powershell -Command .\x.ps1 -OutFile y.ps1", {r".\x.ps1"}),
        ("python3.11 -B worker.py", {"worker.py"}),
        (r"env\Scripts\python3.exe worker.py", {"worker.py"}),
        ("node --require ./pre.js server.js", {"server.js"}),
        (r"bin\ps LaunchWorker.ps1", {r"bin\ps", "LaunchWorker.ps1"}),
        (r"bin\ps.cmd %SCRIPT% worker.py", {r"bin\ps.cmd", "worker.py"}),
    ],
)
def test_named_files_are_those_of_the_role(role, line, named):
    found = commandline.named_files(commandline.words(line), Files(role))
    assert {one.name for one in found} == named
    assert all(one.path == Files(role).find(one.name, one.start) for one in found)


def test_a_script_of_ps_cmd_is_beside_it_and_its_program_in_the_role(role):
    (role / "bin" / "LaunchWorker.ps1").touch()
    (role / "worker.py").touch()
    line = commandline.words("ps.cmd LaunchWorker.ps1 worker.py")
    named = commandline.named_files(line, Files(role), "bin")
    assert [one.path for one in named] == [role / "bin/ps.cmd", role / "bin/LaunchWorker.ps1", role / "worker.py"]
    assert [one.start for one in named] == ["bin", "bin", ""]


@pytest.mark.parametrize(
    "line",
    [
        "powershell.exe -Command Get-Date",
        r"powershell -File C:\x.ps1",
        "python -m http.server x.py",
        "python -c pass x.py",
        r"node %RoleRoot%\base\x.js",
        r"C:\x\y.cmd",
        r"%windir%\x.cmd",
        "",
        "  ",
        "cmd /c",
        "> x.cmd",
        "tool.exe x.py",
        "python -mpip install gone.py",
        "python -um http.server gone.py",
        'java -cp "a.jar;b.jar" com.Main',
        "powershell -Command Invoke-WebRequest http://x/y -OutFile z.ps1",
        r"powershell -Command cd Startup; .\setup.ps1",
    ],
)
def test_programs_of_the_system_are_not_looked_for(role, line):
    assert commandline.named_files(commandline.words(line), Files(role)) == []
