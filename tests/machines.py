"""Windows machines for tests: wine behind a double of WinRM, and doubles of the programs that wine has not.

Several machines can have one installation of wine. Each has a folder for its state and what its users and services
write; drive C: is common to them, and so are the processes, of which a machine knows its own.
"""

import contextlib
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from windows import Windows, compile_program, wine
from winrm_host import Winrm

STUBS = ("certutil", "dism", "icacls", "netsh", "schtasks", "shutdown")
"""Programs that wine has, but which do nothing there."""
_ELSEWHERE = ("inetsrv/appcmd.exe", "WindowsPowerShell/v1.0/powershell.exe")
_ENCLOSE = r"""
#include <windows.h>
#include <stdio.h>

/* The value of a variable, which those that are started here do not get; NULL if there is none. */
static WCHAR *take(const WCHAR *name)
{
    DWORD size = GetEnvironmentVariableW(name, NULL, 0);
    WCHAR *text = size ? HeapAlloc(GetProcessHeap(), 0, size * sizeof *text) : NULL;
    if (text)
        GetEnvironmentVariableW(name, text, size);
    SetEnvironmentVariableW(name, NULL);
    return text;
}

/* Sets variables: NAME=VALUE, a line each. */
static void set_variables(WCHAR *lines)
{
    for (WCHAR *line = wcstok(lines, L"\n"); line; line = wcstok(NULL, L"\n")) {
        WCHAR *value = wcschr(line, L'=');
        *value = 0;
        SetEnvironmentVariableW(line, value + 1);
    }
}

/* Makes the file MARK.PID, which goes when this process ends, however that happens. */
static void make_mark(const WCHAR *mark)
{
    WCHAR path[1000];
    _snwprintf(path, 1000, L"%ls.%lu", mark, GetCurrentProcessId());
    CreateFileW(path, GENERIC_WRITE | DELETE, 7, NULL, CREATE_ALWAYS, FILE_FLAG_DELETE_ON_CLOSE, NULL);
}

/* A job, whose processes end when this process does; those who say so may leave it. */
static HANDLE make_job(void)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    HANDLE job = CreateJobObjectW(NULL, NULL);
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_BREAKAWAY_OK;
    SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
    return job;
}

/* Runs a line in a job, and gives its exit code. */
static DWORD run(WCHAR *line, const WCHAR *directory)
{
    STARTUPINFOW start = {.cb = sizeof start, .dwFlags = STARTF_USESTDHANDLES};
    PROCESS_INFORMATION child;
    DWORD code;
    start.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    start.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    start.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, directory, &start, &child))
        return GetLastError();
    AssignProcessToJobObject(make_job(), child.hProcess);
    ResumeThread(child.hThread);
    WaitForSingleObject(child.hProcess, INFINITE);
    GetExitCodeProcess(child.hProcess, &code);
    return code;
}

/* Runs %ROLEPACK_LINE%, with all that it starts, until that ends or this process does. */
int wmain(void)
{
    WCHAR *line = take(L"ROLEPACK_LINE"), *directory = take(L"ROLEPACK_DIRECTORY");
    WCHAR *mark = take(L"ROLEPACK_MARK"), *result = take(L"ROLEPACK_RESULT");
    WCHAR *variables = take(L"ROLEPACK_ENVIRON");
    if (variables)
        set_variables(variables);
    if (mark)
        make_mark(mark);
    DWORD code = run(line, directory);
    FILE *file = result ? _wfopen(result, L"w") : NULL;
    if (file) {
        fprintf(file, "%ld", (long)code);
        fclose(file);
    }
    return code;
}
"""
_DOUBLE = r"""
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
__declspec(dllimport) int Py_Main(int, wchar_t **);
__declspec(dllimport) void Py_SetPythonHome(const wchar_t *);
int _dowildcard = 0; /* a binding has an asterisk */

/* Is an interpreter that runs the double of the program that this file is called: one process less to start. */
int wmain(int count, wchar_t **words)
{
    wchar_t *own[] = {words[0], L"-E", L"-s", L"-S", DOUBLES};
    wchar_t **all = malloc((count + 6) * sizeof *all);
    memcpy(all, own, sizeof own);
    memcpy(all + 5, words, (count + 1) * sizeof *all);
    Py_SetPythonHome(HOME);
    return Py_Main(count + 5, all);
}
"""


def build(tools: Path) -> None:
    """Make the doubles in the folder where the interpreter is."""
    python, doubles = tools / "python", tools / "doubles"
    shutil.copytree(Path(__file__).with_name("doubles"), doubles, ignore=shutil.ignore_patterns("__pycache__"))
    named = {"HOME": Windows.path(python), "DOUBLES": Windows.path(doubles / "run.py")}
    defined = "\n".join(f"#define {name} L{json.dumps(path)}" for name, path in named.items())
    compile_program(_ENCLOSE, tools / "enclose.exe")
    compile_program(f"{defined}\n{_DOUBLE}", tools / "double.exe", python / "python311.dll")


def equip(windows: Windows) -> None:
    """Put the doubles into an installation of wine."""
    system = windows.prefix / "drive_c/windows/system32"
    for name in (*(f"{stub}.exe" for stub in STUBS), *_ELSEWHERE):
        program = system / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.unlink(missing_ok=True)
        shutil.copy(windows.tools / "double.exe", program)
    # Wine prefers its own programs to what lies in their place, unless told otherwise.
    natives = "".join(f'"{stub}.exe"="native"\n' for stub in STUBS)
    told = windows.prefix / "natives.reg"
    told.write_text(f"REGEDIT4\n\n[HKEY_CURRENT_USER\\Software\\Wine\\DllOverrides]\n{natives}")
    windows.run("reg", "import", windows.path(told), cwd=windows.prefix)


class Command(subprocess.Popen[bytes]):
    """A command of a machine, whose exit code has 32 bits, of which Linux would keep eight."""

    def __init__(self, result: Path, environ: Mapping[str, str], words: Sequence[str | Path]) -> None:
        self._result = result
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        super().__init__(words, env=environ, cwd=result.parent, pipesize=1 << 20, **pipes)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, when it has ended."""
        code = super().wait(timeout)
        told = self._result.read_text() if self._result.exists() else ""
        return int(told) if told else code  # it was killed, maybe when it was about to tell


class Machine:
    """One Windows machine, at an address of its own."""

    enter: Sequence[str] = ()
    """Words in front of wine's, for one that runs elsewhere than this process."""

    def __init__(self, windows: Windows, folder: Path, address: str = "127.0.0.1") -> None:
        self.windows, self.address = windows, address
        self.prefix, self.path = windows.prefix, windows.path
        self.state, self.disk = folder / "state", folder / "disk"
        self._hosts: list[Winrm] = []
        self._profile = self.disk / "Users" / "azure"
        places = (self.state / "running", self.state / "tasks", self.state / "results", self._profile)
        for place in (*places, self.disk / "ProgramData", self.disk / "Temp"):
            place.mkdir(parents=True)
        about = {"address": address, "python": self.interpreter, "environ": self._variables()}
        about["enclose"] = self.path(windows.tools / "enclose.exe")
        (self.state / "machine.json").write_text(json.dumps(about))

    @property
    def interpreter(self) -> str:
        """Where its python.exe is."""
        return self.windows.interpreter

    def run(self, line: str, environ: Mapping[str, str], directory: str | None = None) -> Command:
        """Start a line as WinRM does: `cmd.exe /c "LINE"`, which ends with all it has started if it is killed."""
        result = self.state / "results" / str(uuid.uuid4())
        variables = {**self._variables(), **environ}
        told = {
            "ROLEPACK_LINE": f'cmd.exe /c "{line}"',
            "ROLEPACK_DIRECTORY": directory or self.path(self._profile),
            "ROLEPACK_RESULT": self.path(result),
            "ROLEPACK_ENVIRON": "\n".join(f"{name}={value}" for name, value in variables.items()),
        }
        words = [*self.enter, *wine(), self.windows.tools / "enclose.exe"]
        return Command(result, {**self._unix(), **told}, words)

    @contextlib.contextmanager
    def winrm(self, **options: Any) -> Iterator[Winrm]:
        """A WinRM service in front of it."""
        with self._listen(**options) as host:
            self._hosts.append(host)
            try:
                yield host
            finally:
                self._hosts.remove(host)

    def _listen(self, **options: Any) -> Winrm:
        return Winrm(self.run, address=self.address, **options)

    def boot(self) -> None:
        """Start it again: all that ran is gone, and what runs at its start does."""
        for host in self._hosts:
            host.reboot()
        self._double("boot")

    def close(self) -> None:
        """End what runs."""
        if any((self.state / "running").iterdir()):
            self._double("boot", "down")

    def calls(self) -> list[list[str]]:
        """How the doubles were called: their names and arguments; a script that PowerShell was given is one more."""
        recorded = self.state / "calls.jsonl"
        lines = recorded.read_text(encoding="utf-8").splitlines() if recorded.exists() else []
        return [[call["name"], *call["arguments"]] for call in map(json.loads, lines)]

    def tasks(self) -> dict[str, str]:
        """The scheduled tasks: whether they are Running or Ready."""
        running = {mark.name.rpartition(".")[0] for mark in (self.state / "running").iterdir()}
        names = sorted(path.stem for path in (self.state / "tasks").iterdir())
        return {name.replace("#", "\\"): "Running" if f"task-{name}" in running else "Ready" for name in names}

    def sites(self) -> dict[str, Any]:
        """The sites of its IIS, by name."""
        return self._kept("iis", {"sites": {}})["sites"]

    @property
    def rules(self) -> list[dict[str, str]]:
        """The rules of its firewall."""
        return self._kept("rules", [])

    @property
    def certificates(self) -> dict[str, dict[str, str]]:
        """The certificates of http.sys, by their addresses."""
        return self._kept("certificates", {})

    def _kept(self, name: str, fresh: Any) -> Any:
        path = self.state / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else fresh

    def _variables(self) -> dict[str, str]:
        """What makes its processes differ from those of another machine in the same installation."""
        windows = r"C:\windows"
        system = [rf"{windows}\system32", windows, rf"{windows}\system32\WindowsPowerShell\v1.0"]
        data, temp = self.path(self.disk / "ProgramData"), self.path(self.disk / "Temp")
        return {
            "PATH": ";".join([self.path(self.windows.tools / "python"), *system]),
            "USERPROFILE": self.path(self._profile),
            "ROLEPACK_MACHINE": self.path(self.state),
            **{"ProgramData": data, "ALLUSERSPROFILE": data, "TEMP": temp, "TMP": temp},
        }

    def _unix(self) -> dict[str, str]:
        """The variables that wine itself needs; the others of this process are not those of a Windows machine."""
        own = {name: value for name, value in self.windows.environ.items() if name.startswith("WINE")}
        return {"PATH": os.environ["PATH"], "HOME": str(Path.home()), "LC_ALL": "C.UTF-8", **own}

    def _double(self, *words: str) -> None:
        """Run a double that is no program of Windows."""
        program = f'"{self.interpreter}" -E -s -S "{self.path(self.windows.tools / "doubles" / "run.py")}"'
        with self.run(f"{program} {' '.join(words)}", {}) as command:
            # The end of its output is not waited for: under wine the first errors of a process are its children's too.
            assert command.wait(60) == 0, command.stderr.read1()
