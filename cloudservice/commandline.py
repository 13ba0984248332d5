"""Command lines of a definition: split as Windows does, their files found as Windows finds them."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cloudservice import spelling

_FIRST = re.compile(r'(?:[^"<>|&]+|"[^"]*"?)*')
"""A task's line runs in a shell: what follows a redirection or another command, outside quotes, is not of the first."""
_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_ROLE_ROOT, _APPROOT = "%roleroot%/", "approot"
"""Where a role's files are: the folder `approot` below its root."""
_ENDINGS = (".com", ".exe", ".bat", ".cmd")
"""Of programs; where a name has none, Windows tries them in this order."""
_SCRIPTS = {
    "python": ".py",
    "pythonw": ".py",
    "py": ".py",
    "node": ".js",
    "php": ".php",
    "java": ".jar",
    "powershell": ".ps1",
    "pwsh": ".ps1",
}
"""Interpreters, and what the files that they run end in."""
_NO_SCRIPT = {"-c", "-m", "-e", "-r"}
"""Options of interpreters after which there is a program of another kind; PowerShell's may hold the name of a file."""


@dataclass
class Files:
    """The files of a role whose folder is `root`; what is there is listed once."""

    root: Path
    _listings: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def find(self, path: str, base: str = "") -> Path | None:
        """The file that a Windows path means in the folder `base` of the role, in any case.

        None if it is not there, or not in the role.
        """
        parts = _parts(path, base)
        if not parts:
            return None
        *folders, name = parts
        place = str(self.root)
        for folder in folders:
            place = self._below(place, folder)
        endings = ("",) if "." in name else ("", *_ENDINGS)
        found = (self._below(place, name + ending) for ending in endings)
        return next((Path(file) for file in found if os.path.isfile(file)), None)  # noqa: PTH113 - the same with less

    def _below(self, folder: str, name: str) -> str:
        """What has the name in a folder, whose names are listed once; empty if there is none, or no folder."""
        if folder not in self._listings:
            self._listings[folder] = spelling.names(folder)
        names = self._listings[folder]
        written = names.get(name) or names.get(name.lower())
        return os.path.join(folder, written) if written else ""  # noqa: PTH118


class Named(NamedTuple):
    """A file as a command line names it, the folder below the role's it is looked for in, its place if there."""

    name: str
    start: str
    path: Path | None


def split(command_line: str) -> list[str]:
    r"""Words of a command line: blanks separate, double quotes keep blanks, backslashes are ordinary."""
    return [word.replace('"', "") for word in _WORD.findall(command_line)]


def words(command_line: str) -> list[str]:
    """Words of the first command in a line: the program that a shell is told to start, and its arguments."""
    first = _FIRST.match(command_line)
    found = split(first[0]) if first else []
    while found and program_name(found[0]) in {"cmd", "call", "start"}:
        is_shell = program_name(found.pop(0)) == "cmd"
        while found and (not found[0] or found[0].startswith("/")):
            del found[0]
        if is_shell and found and " " in found[0] and not found[0].lower().endswith(_ENDINGS):
            return words(" ".join(found))  # what stands in quotes after /c is a line of its own
    return found


def program_name(program: str) -> str:
    """The name of a program without its folder and without .exe, in lower case."""
    return program.replace("\\", "/").rpartition("/")[2].lower().removesuffix(".exe")


def folder_of(program: str, base: str = "") -> str:
    """The folder of a program below the role's; `ps.cmd` changes into its own."""
    return "/".join((_parts(program, base) or ())[:-1])


def named_files(command_line: str, files: Files, base: str = "") -> list[Named]:
    """The files that a task or entry point names in the role.

    `base` is the folder below the role's in which the command starts. Programs of the system (no folder in the name,
    no batch file; an absolute path or a variable) are not looked for, nor are interpreters, which another task may
    bring. `ps.cmd SCRIPT.ps1 program.py …` starts in its own folder and runs the program from the role's.
    """
    program, *arguments = words(command_line) or [""]
    name = program_name(program)
    if name in _SCRIPTS:
        script = _script(name, arguments)
        meant = [(script, base)] if script and _is_in_role(script) else []
    elif _is_of_role(program):
        meant = [(program, base)]
        if name == "ps.cmd":
            meant += [(word, folder_of(program, base)) for word in arguments[:1]]
            meant += [(word, "") for word in arguments[1:2] if word.lower().endswith(".py")]
    else:
        meant = []
    return [Named(written, start, files.find(written, start)) for written, start in meant]


def _script(interpreter: str, arguments: Iterable[str]) -> str | None:
    """The file that an interpreter is told to run, if it can be told from other arguments by its ending."""
    is_powershell = _SCRIPTS[interpreter] == ".ps1"
    for argument in arguments:
        if argument.lower() in _NO_SCRIPT and not is_powershell:
            return None
        for word in argument.removeprefix("&").split()[:1]:
            name = word.strip("'")
            if name.lower().endswith(_SCRIPTS[interpreter]) and not name.startswith("-"):
                return name
    return None


def _is_of_role(program: str) -> bool:
    """Whether a program is named as a file of the role: in a folder, or a batch file or a script."""
    has_folder = "\\" in program or "/" in program
    return _is_in_role(program) and (has_folder or program.lower().endswith((".cmd", ".bat", ".ps1", ".py")))


def _is_in_role(path: str) -> bool:
    """Whether a path is neither absolute nor known only where it runs."""
    path = path.replace("\\", "/")
    if path.lower().startswith(f"{_ROLE_ROOT}{_APPROOT}/"):
        path = path[len(_ROLE_ROOT) :]
    return not path.startswith("/") and not set(path) & set("%$:")


def _parts(path: str, base: str) -> tuple[str, ...] | None:
    """The names from the role's folder to a file; None for a path that leaves it."""
    path = path.replace("\\", "/")
    if ":" in path or path.startswith("/"):
        return None
    from_root = path.lower().startswith(_ROLE_ROOT)
    found: list[str] = []
    for part in path[len(_ROLE_ROOT) :].split("/") if from_root else f"{_APPROOT}/{base}/{path}".split("/"):
        if part == ".." and not found:
            return None
        if part == "..":
            found.pop()
        elif part not in {"", "."}:
            found.append(part)
    return tuple(found[1:]) if found and found[0].lower() == _APPROOT else None
