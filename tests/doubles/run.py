"""Stands in place of a program that wine has not: `run.py PROGRAM ARGUMENTS` notes the call, and runs the double."""

import importlib
import sys

import machine

BEHAVING = {"appcmd", "boot", "netsh", "powershell", "schtasks"}
"""Programs with a module of that name here; the others are noted, and end well."""


def main() -> int:
    """Run the double; its exit code."""
    name = sys.argv[1].replace("/", "\\").rpartition("\\")[2].lower().removesuffix(".exe")
    words = sys.argv[2:]
    machine.record(name, words)
    return importlib.import_module(name).main(words) if name in BEHAVING else 0


if __name__ == "__main__":
    sys.exit(main())
