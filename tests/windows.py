"""A Windows of sorts for tests: wine, a real CPython 3.11 for Windows, and doubles of programs that wine has not.

All of it comes from packages of apt and pip: the interpreter's library is in a wheel that carries it, its modules in
Python are the same as on this machine, and python.exe is five lines of C.
"""

import functools
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PureWindowsPath

COMPILER = "x86_64-w64-mingw32-gcc"
CARRIER = "panda3d==1.10.16"
_PYTHON = """
#include <wchar.h>
__declspec(dllimport) int Py_Main(int, wchar_t **);
int _dowildcard = 0; /* an asterisk stays what it is, as with the interpreter from python.org */
int wmain(int count, wchar_t **words) { return Py_Main(count, words); }
"""
_RECORDER = r"""
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
/* Prints its command line and where it stands, in turn to its output and its errors, and ends with %RECORDER_CODE%. */
int wmain(void)
{
    WCHAR here[600] = L"", code[20] = L"0";
    GetCurrentDirectoryW(600, here);
    GetEnvironmentVariableW(L"RECORDER_CODE", code, 20);
    wprintf(L"out: %ls\n", GetCommandLineW());
    fflush(stdout);
    fwprintf(stderr, L"err: %ls\n", here);
    fflush(stderr);
    wprintf(L"out: last\n");
    return _wtoi(code);
}
"""
_LEFT_OUT = ("site-packages", "dist-packages", "lib-dynload", "test", "__pycache__", "config-*", "_sysconfigdata*")
_WITH_FILES = ("distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "tkinter", "turtledemo", "venv")
"""Packages that read files which lie beside them, or that nobody here imports."""


def why_not() -> str | None:
    """What this machine lacks, in words; None if it lacks nothing."""
    missing = [name for name in ("wine", "wineserver", COMPILER) if shutil.which(name) is None]
    if _library() is None:
        missing.append("python3.11")
    return f"there is no {', '.join(missing)} here" if missing else None


@functools.cache
def wine() -> tuple[str, ...]:
    """How wine is called: with memory that is laid out in one way each time, where this process may ask for that.

    Linux gives a program its heap at a random address. Once in some ten thousand starts that is where wine must have a
    page of its own, 0x7ffe0000: the process ends before it has begun, and who starts it hears of an internal error.
    """
    orderly = ("setarch", platform.machine(), "-R")
    if shutil.which("setarch") and subprocess.run([*orderly, "true"], capture_output=True, check=False).returncode == 0:
        return (*orderly, "wine")
    return ("wine",)


def build(folder: Path) -> None:
    """Make the interpreter and the doubles in a folder, once for all who share it."""
    python = folder / "python"
    _fetch_interpreter(folder)
    compile_program(_PYTHON, python / "python.exe", python / "python311.dll")
    library = _library()
    assert library is not None
    shutil.copytree(library, python / "Lib", ignore=shutil.ignore_patterns(*_LEFT_OUT))
    _compile_library(python)
    # Every installation of Python for Windows has pip.
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", python / "Lib" / "site-packages", "pip"]
    subprocess.run(pip, check=True)
    launchers = python / "Lib" / "venv" / "scripts" / "nt"
    launchers.mkdir(exist_ok=True)
    for name in ("python.exe", "pythonw.exe"):  # what `-m venv` copies
        shutil.copy(python / "python.exe", launchers / name)
    compile_program(_RECORDER, folder / "recorder.exe")


class Windows:
    """One installation of wine, with the interpreter in `tools`; drive E: is what a test says."""

    def __init__(self, tools: Path, prefix: Path) -> None:
        self.tools, self.prefix = tools, prefix
        # A path of the interpreter lies on wine's own search path, for the copies of it in virtual environments.
        own = {"WINEPREFIX": str(prefix), "WINEARCH": "win64", "WINEDEBUG": "-all"}
        own["WINEPATH"] = self.path(tools / "python")
        kept = {name: value for name, value in os.environ.items() if name not in {"DISPLAY", "PYTHONDONTWRITEBYTECODE"}}
        self.environ = {**kept, **own}
        prefix.mkdir(parents=True, exist_ok=True)
        self._silently("wineserver", "-p300")  # seconds that it waits for the next program, which then starts at once
        self._silently(*wine(), "wineboot", "-i")
        powershell = prefix / "drive_c/windows/system32/WindowsPowerShell/v1.0"
        powershell.mkdir(parents=True, exist_ok=True)
        shutil.copy(tools / "recorder.exe", powershell / "powershell.exe")

    @staticmethod
    def path(place: Path) -> str:
        """A path of this machine as wine has it."""
        return "Z:" + str(PureWindowsPath(place))

    def mount(self, place: Path) -> None:
        """Let drive E: be a folder, as the root of a role is in Azure."""
        drive = self.prefix / "dosdevices" / "e:"
        drive.unlink(missing_ok=True)
        drive.symlink_to(place)

    def start(self, *words: str, cwd: Path, **environ: str) -> "subprocess.Popen[str]":
        """Start a program; its output is read from a pipe, since wine cannot write into a file that Linux opened."""
        return subprocess.Popen(
            [*wine(), *words],
            cwd=cwd,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def run(self, *words: str, cwd: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run a program."""
        with self.start(*words, cwd=cwd, **environ) as process:
            try:
                printed, _ = process.communicate(timeout=300)
            finally:
                process.kill()
        return subprocess.CompletedProcess(words, process.returncode, printed)

    @property
    def interpreter(self) -> str:
        """Where python.exe is."""
        return self.path(self.tools / "python" / "python.exe")

    def python(self, *words: str, cwd: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run the interpreter."""
        return self.run(self.interpreter, *words, cwd=cwd, **environ)

    def close(self) -> None:
        """End what runs in this installation alone."""
        self._silently("wineserver", "-k")

    def _silently(self, *words: str) -> None:
        """Run what leaves servers behind, which would keep pipes open."""
        nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        subprocess.run(words, env=self.environ, timeout=120, check=False, **nothing)


def _library() -> Path | None:
    """The modules of a CPython 3.11 of this machine."""
    if sys.version_info[:2] == (3, 11):
        return Path(os.__file__).parent
    program = shutil.which("python3.11")
    if program is None:
        return None
    asked = [program, "-c", "import os; print(os.path.dirname(os.__file__))"]
    return Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())


def _fetch_interpreter(folder: Path) -> None:
    """The libraries of the interpreter, from the wheel that carries them."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, CARRIER]
    target = ["--platform", "win_amd64", "--python-version", "3.11", "--only-binary", ":all:"]
    subprocess.run([*pip, *target], check=True)
    (folder / "python" / "DLLs").mkdir(parents=True)
    (carrier,) = folder.glob("*.whl")
    with zipfile.ZipFile(carrier) as archive:
        for name in archive.namelist():
            where, _, file = name.rpartition("/")
            if where != "deploy_libs":
                continue
            if file in {"python311.dll", "VCRUNTIME140.dll"}:
                (folder / "python" / file).write_bytes(archive.read(name))
            elif file.endswith((".pyd", ".dll")):
                (folder / "python" / "DLLs" / file).write_bytes(archive.read(name))
    carrier.unlink()


def _compile_library(python: Path) -> None:
    """Put the modules, compiled, into the archive that an interpreter for Windows looks into first.

    Under wine every file that is looked for takes milliseconds, and a program imports a hundred modules.
    """
    own = Path(sys.executable) if sys.version_info[:2] == (3, 11) else Path(str(shutil.which("python3.11")))
    made = python / "compiled"
    shutil.copytree(python / "Lib", made, ignore=shutil.ignore_patterns(*_WITH_FILES))
    subprocess.run([own, "-m", "compileall", "-q", "-b", "-j", "0", made], check=True)
    with zipfile.ZipFile(python / "python311.zip", "w") as archive:
        for file in sorted(made.rglob("*.pyc")):
            archive.write(file, file.relative_to(made))
    shutil.rmtree(made)


def compile_program(source: str, program: Path, *libraries: Path) -> None:
    """Make a program for Windows of one file in C."""
    code = program.with_suffix(".c")
    code.write_text(source)
    subprocess.run([COMPILER, "-municode", "-O1", "-s", "-o", program, code, *libraries], check=True)
