"""Command lines of a definition: split as Windows does, their files found as Windows finds them."""

import re
from pathlib import Path

from cloudservice import spelling

_END_OF_COMMAND = re.compile("[<>|&]")
"""A task's line runs in a shell: what follows a redirection or another command is not of the first. None of these
characters can stand in a file's name, and `&` hardly does."""
_SHELL = {"cmd", "cmd.exe"}
_APPROOT = "%roleroot%\\approot\\"
_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')


def split(command_line: str) -> list[str]:
    r"""Words of a command line: blanks separate, double quotes keep blanks, backslashes are ordinary."""
    return [word.replace('"', "") for word in _WORD.findall(command_line)]


def find(folder: Path, path: str) -> Path | None:
    """The file that a Windows path means below `folder`, whatever the case; None if it is not there or outside."""
    parts = path.replace("\\", "/").split("/")
    if ".." in parts or ":" in path or parts[0] == "":  # outside, or absolute
        return None
    found = spelling.find(folder, "/".join(parts))
    return found if found.is_file() else None


def named_files(command_line: str, root: Path, base: Path) -> dict[str, Path | None]:
    """The files that a task or entry point names in the role's folder, by name as written; None if one is not there.

    `root` is the role's folder, `base` the one the command starts in. Programs of the system (no folder in the
    name, no batch file; an absolute path or a variable) are not looked for. `ps.cmd SCRIPT.ps1 program.py …` starts in
    its own folder and runs the program from the role's.
    """
    words = split(_END_OF_COMMAND.split(command_line, maxsplit=1)[0])
    while words and (words[0].lower() in _SHELL or words[0].startswith("/")):
        del words[0]
    if not words:
        return {}
    first = words[0]
    if first.lower().startswith(_APPROOT):
        first, base = first[len(_APPROOT) :], root
    if not _is_of_role(first):
        return {}
    program = find(base, first)
    named = {words[0]: program}
    if program is not None and program.name.lower() == "ps.cmd":
        named |= {word: find(program.parent, word) for word in words[1:2]}
        named |= {word: find(root, word) for word in words[2:3] if word.lower().endswith(".py")}
    return named


def _is_of_role(program: str) -> bool:
    """Whether a program is named as a file of the role: not absolute, no variable, in a folder or a batch file."""
    if "%" in program or ":" in program or program.startswith(("\\", "/")):
        return False
    return "\\" in program or "/" in program or program.lower().endswith((".cmd", ".bat"))
