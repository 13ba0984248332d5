"""Serves the sites of an instance; run by the role's own interpreter.

    python -u site.py '{"listens": [["http", "127.0.0.1", 20001, 7]], "sites": [...], ...}'

What it is told is JSON: for sites see `running`, for the front end of an app of App Service on Linux see `gateway`.
Standard library only, and little of it: every import keeps the first request waiting.
"""

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_END = getattr(signal, "SIGBREAK", signal.SIGTERM)
"""What asks the site to end; on Windows, what Ctrl-Break sends."""


def make_importable() -> None:
    """Let `emulator.hosts` be imported from where this file lies, and nothing else that lies there."""
    place = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if entry != str(Path(__file__).parent)]
    for name, folder in (("emulator", place.parent), ("emulator.hosts", place)):
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    # The role's processes write no bytecode among its sources; these modules are ours, and compiled once.
    sys.dont_write_bytecode = False


def main() -> None:
    """Serve until told to end."""
    signal.signal(_END, lambda *_: os._exit(0))  # nothing has begun that could be lost
    make_importable()
    told: dict[str, Any] = json.loads(sys.argv[1])
    program = importlib.import_module("emulator.hosts.gateway" if "target" in told else "emulator.hosts.running")
    program.run(told, _END)


if __name__ == "__main__":
    main()
