"""Command lines of a definition: split as Windows does, their files found as Windows finds them."""

import os
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple

from cloudservice import spelling

_FIRST = re.compile(r'(?:[^"<>|&]+|"[^"]*"?)*')
"""A task's line runs in a shell: what follows a redirection or another command, outside quotes, is not of the first."""
_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_WRAPPER = re.compile(r'(?i)(?:[^\s"]*[\\/])?(cmd|call|start)(?:\.exe)?(?=[\s/]|$)')
_SWITCHES = re.compile(r"\s*(?:/[^\s/]*\s*)*")
_TITLE = re.compile(r'\s*"[^"]*"')
"""The first thing in quotes after `start` is the title of a window."""
_MOST_WRAPPERS = 8
_SWITCH = re.compile(r"(?i)(.+\.(?:com|exe|bat|cmd))/.*")
"""A switch may follow a program without a blank."""
_ROLE_ROOT, _APPROOT = "%roleroot%/", "approot"
"""Where a role's files are: the folder `approot` below its root."""
_ENDINGS = (".com", ".exe", ".bat", ".cmd")
"""Of programs; where a name has none, Windows tries them in this order."""
_SCRIPTS = {"node": ".js", "php": ".php", "java": ".jar", "powershell": ".ps1", "pwsh": ".ps1"}
"""Interpreters besides Python, and what the files that they run end in."""
_PYTHON = re.compile(r"pythonw?[\d.]*|pyw?")
_NO_SCRIPT = re.compile(r"-[A-Za-z]*[cm].*|-e|-r")
"""Options of interpreters, PowerShell apart, after which there is a program of another kind."""
VARIABLE = re.compile(r"%(\w+)%")
"""A variable of the environment, as Windows writes it."""
_WITH_VALUE = {"--require", "--import", "--loader"}


class Files:
    """The files of a role whose folder is `root`; what is there is listed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listings: dict[str, Mapping[str, str]] = {}

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
        found = (self._below(place, name + ending) for ending in ("", *_ENDINGS))
        return next((Path(file) for file in found if os.path.isfile(file)), None)  # noqa: PTH113 - the same with less

    def _below(self, folder: str, name: str) -> str:
        """What has the name in a folder, whose names are listed once; empty if there is none, or no folder."""
        if folder not in self._listings:
            self._listings[folder] = spelling.names(folder)
        names = self._listings[folder]
        written = names.get(name) or names.get(name.lower())
        return os.path.join(folder, written) if written else ""  # noqa: PTH118


class Script(NamedTuple):
    """A script as a line names it, the folder below the role's in which it runs, and what it is given."""

    name: str
    folder: str
    arguments: tuple[str, ...]


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
    line = _first(command_line)
    for _ in range(_MOST_WRAPPERS):
        wrapper = _WRAPPER.match(line)
        if wrapper is None:
            break
        rest = line[wrapper.end() :]
        if wrapper[1].lower() == "start":
            title = _TITLE.match(rest)
            rest = rest[title.end() :] if title else rest
        switches = _SWITCHES.match(rest)
        rest = rest[switches.end() :] if switches else rest
        line = _first(_unquoted(rest) if wrapper[1].lower() == "cmd" else rest)
    found = split(line)
    switch = _SWITCH.fullmatch(found[0]) if found else None
    return [switch[1], *found[1:]] if switch else found


def expanded(text: str, environ: Mapping[str, str]) -> str:
    """A text with its %VARIABLES%, as a shell gives it to a program; unknown ones stay."""
    return VARIABLE.sub(lambda match: environ.get(match[1], match[0]), text)


def program_name(program: str) -> str:
    """The name of a program without its folder and without .exe, in lower case."""
    return program.replace("\\", "/").rpartition("/")[2].lower().removesuffix(".exe")


def is_python(program: str) -> bool:
    """Whether a program is a Python interpreter, by its name."""
    return _PYTHON.fullmatch(program_name(program)) is not None


def powershell_script(line: Sequence[str], base: str = "") -> Script | None:
    """The script that the words of a line have PowerShell run, by ps.cmd of Python Tools or by its own name, if any."""
    program, *arguments = line or [""]
    if program_name(program) not in {"powershell", "pwsh"}:
        return ps_script(line, base)
    name = _powershell(arguments)
    after = [word for word in arguments if name and name in word]
    return Script(name, base, tuple(arguments[arguments.index(after[0]) + 1 :])) if name else None


def ps_script(line: Sequence[str], base: str = "") -> Script | None:
    """The script that the words of a line have PowerShell run through the batch file ps.cmd of Python Tools, if any."""
    program, *arguments = line or [""]
    if program_name(program) not in {"ps", "ps.cmd"} or not arguments:
        return None
    return Script(arguments[0], "/".join((_parts(program, base) or ())[:-1]), tuple(arguments[1:]))


def named_files(line: Sequence[str], files: Files, base: str = "") -> list[Named]:
    """The files that the words of a task's or entry point's line name in the role.

    `base` is the folder below the role's in which the command starts. Programs of the system (no folder in the name,
    no batch file; an absolute path or a variable) are not looked for, nor are interpreters, which another task may
    bring. `ps.cmd SCRIPT.ps1 program.py …` starts in its own folder and runs the program from the role's.
    """
    program, *arguments = line or [""]
    name = program_name(program)
    ending = ".py" if is_python(program) else _SCRIPTS.get(name)
    meant: list[tuple[str, str]] = []
    if ending is not None:
        script = _powershell(arguments) if ending == ".ps1" else _script(ending, arguments)
        meant = [(script, base)] if script else []
    elif _is_of_role(program):
        meant = [(program, base)]
    ps = ps_script(line, base)
    if ps is not None and meant:
        meant.append((ps.name, ps.folder))
        meant += [(word, "") for word in ps.arguments[:1] if word.lower().endswith(".py")]
    return [Named(name, start, files.find(name, start)) for name, start in meant if _is_in_role(name)]


def _first(line: str) -> str:
    """The first command of a line, without what may stand before and around it."""
    line = line.lstrip(" \t@")
    is_grouped = line.startswith("(")
    found = _FIRST.match(line.lstrip("( \t@"))
    text = found[0] if found else ""
    return text.rstrip(") \t") if is_grouped else text


def _unquoted(line: str) -> str:
    """What `cmd /c` makes of its argument: the outer quotes go, unless they hold the name of a program and no more."""
    quotes = line.count('"')
    if not line.startswith('"') or quotes < 2:
        return line
    content, _, after = line[1:].rpartition('"')
    first = content.partition(" ")[0]
    starts_program = first.lower().endswith(_ENDINGS) or _WRAPPER.match(content) or is_python(first)
    is_name = content.lower().endswith(_ENDINGS) and not starts_program
    return line if quotes == 2 and (is_name or " " not in content) else content + after


def _script(ending: str, arguments: Sequence[str]) -> str | None:
    """The file that an interpreter is told to run, if it can be told from its other arguments."""
    if ending == ".jar":
        return next((after for word, after in pairwise(arguments) if word == "-jar"), None)
    before = ""
    for word in arguments:
        if _NO_SCRIPT.fullmatch(word):
            return None
        if word.lower().endswith(ending) and not word.startswith("-") and before not in _WITH_VALUE:
            return word
        before = word
    return None


def _powershell(arguments: Sequence[str]) -> str | None:
    """The script file that PowerShell is told to run; of a command only the first word is looked at."""
    for word, after in zip_longest(arguments, arguments[1:], fillvalue=""):
        option = word.lower().replace("/", "-", 1)
        is_file, is_command = (len(option) > 1 and name.startswith(option) for name in ("-file", "-command"))
        if not (is_file or is_command) and (option.startswith("-") or not word.lower().endswith(".ps1")):
            continue
        given = after if is_file or is_command else word
        first = given if is_file else (given.lstrip("& ").split() or [""])[0].strip("'")
        return first if first.lower().endswith(".ps1") else None
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
