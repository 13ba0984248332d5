"""Requests a second through a balanced public port with two instances, beside the same server without us.

Needs wrk (`apt install wrk`), which loads both in turn over kept connections.

.venv/bin/python benchmarks/serve.py
"""

import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from start import prepare, wait_for_answer

RUNS = 5
SECONDS = 5
CONNECTIONS = 16


def rate(url: str) -> float:
    """Requests a second that wrk gets answered."""
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url]
    told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    failed = re.search(r"Non-2xx.*|Socket errors.*", told)
    if failed:
        sys.exit(failed[0])
    return float(re.search(r"Requests/sec:\s*([\d.]+)", told)[1])


def main() -> None:
    """Start both, then ask them in turn."""
    with tempfile.TemporaryDirectory() as scratch:
        made = prepare(Path(scratch), instances=2)
        bare = made.bare(workers=2)
        print(f"Python {sys.version.split()[0]}, rolepack {version('rolepack')}, granian from the same kit")
        with (
            subprocess.Popen(bare, cwd=made.role, stdout=subprocess.DEVNULL, start_new_session=True) as server,
            subprocess.Popen(
                made.emulator(), cwd=made.place, stdout=subprocess.DEVNULL, start_new_session=True
            ) as emulator,
        ):
            wait_for_answer(made.bare_url)
            wait_for_answer(made.url)
            rates: dict[str, list[float]] = {"bare": [], "rolepack": []}
            for number in range(RUNS + 1):
                for name, url in (("bare", made.bare_url), ("rolepack", made.url)):
                    found = rate(url)
                    if number:
                        rates[name].append(found)
            emulator.terminate()
            os.killpg(server.pid, signal.SIGTERM)
        medians = {name: statistics.median(found) for name, found in rates.items()}
        print(f"requests a second, {CONNECTIONS} connections, 2 processes (median of {RUNS} times {SECONDS} s)")
        for name, median in medians.items():
            print(f"  {name:12} {median:8.0f}  ratio {median / medians['bare']:6.2f}")


if __name__ == "__main__":
    main()
