"""A double of powershell.exe, which is no PowerShell: it does what a role's scripts do, and notes every other script.

A script that it cannot do for want of a PowerShell ends with exit code 1, so that nobody takes it for done.
"""

import base64
import os
import subprocess
import sys
from pathlib import Path

import machine


def main(words: list[str]) -> int:
    """Do what the words ask for."""
    for index, word in enumerate(words):
        after = words[index + 1 :]
        match word.lower():
            case "-file":
                return run(Path(after[0]), after[1:])
            case "-encodedcommand" | "-enc" | "-ec" | "-e":
                return note(base64.b64decode(after[0]).decode("utf-16-le"))
            case "-command" | "-c":
                return note(sys.stdin.read() if after == ["-"] else " ".join(after))
    return note(" ".join(words))


def note(script: str) -> int:
    """Keep a script, as a call of its own."""
    machine.record("script", [script])
    return 0


def run(script: Path, words: list[str]) -> int:
    """Run the program in Python beside a script of a role, with the Python that this would find."""
    program = script.absolute().with_suffix(".py")
    own = os.environ.get("PYTHON") or ""
    match script.name.lower():
        case "configurecloudservice.ps1":
            return call(own or machine.ABOUT["python"], program, [])
        case "launchworker.ps1":
            named = program.parent.parent / ".rolepack" / "python.txt"
            return call(named.read_text(encoding="utf-8").strip() if named.exists() else own, program, words)
    print(f"this is no PowerShell, and cannot run {script}", file=sys.stderr)
    return 1


def call(python: str, program: Path, words: list[str]) -> int:
    """Run a program; its exit code."""
    if not python:
        print("ConfigureCloudService has not prepared this role.", file=sys.stderr)
        return 1
    return subprocess.call([python, "-u", str(program), *words])
