"""A web role's site beside other servers of Python: requests a second, static files, first request, idle memory.

Needs wrk (`apt install wrk`). The peers come from PyPI: granian, which only serves, gunicorn and whitenoise.

    .venv/bin/python benchmarks/site.py [hello] [static] [start] [memory]
"""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from interleaved import compare
from start import wait_for_answer

from emulator import sites

RUNS = 5
SECONDS = 4
CONNECTIONS = 16
PORTS = {"rolepack": 18190, "granian": 18191, "gunicorn": 18192}
APP = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
"""
FILES = """
from whitenoise import WhiteNoise

def nothing(environ, start_response):
    start_response("404 Not Found", [])
    return []

app = WhiteNoise(nothing, root="static", prefix="static")
"""
CONFIG = """<configuration>
  <appSettings><add key="WSGI_HANDLER" value="app.app" /></appSettings>
  <system.webServer>
    <handlers><add name="PythonHandler" path="*" verb="*" modules="FastCgiModule" /></handlers>
  </system.webServer>
</configuration>"""
STATIC = """<configuration><system.webServer><handlers><remove name="PythonHandler" /></handlers>
</system.webServer></configuration>"""


def lay(place: Path) -> None:
    """Make the site: an application that says hello, and a static file of 10 KB."""
    (place / "static").mkdir()
    (place / "app.py").write_text(APP)
    (place / "files.py").write_text(FILES)
    (place / "web.config").write_text(CONFIG)
    (place / "static" / "web.config").write_text(STATIC)
    (place / "static" / "site.css").write_text("a" * 10240)


def ours(place: Path) -> list[str]:
    """The command line of the host."""
    told = {
        "listens": [["http", "127.0.0.1", PORTS["rolepack"], None]],
        "certificate": [],
        "sites": [{"bindings": [], "places": [["", str(place), True]]}],
        "logs": str(place.parent / "logs"),
        "kit": "",
        "scratch": str(place.parent),
        "loads_first": True,
        "restarts": False,
        "max_instances": 2,
        "debugger": None,
        "behaviour": "documented",
        "configs": ["web.config"],
    }
    return [sys.executable, "-u", str(sites.SITE_HOST), json.dumps(told)]


def granian(peers: Path) -> list[str]:
    """The bare server, with as many processes and threads."""
    words = ["--interface", "wsgi", "--port", str(PORTS["granian"]), "--no-log", "--workers", "2"]
    return [str(peers / "granian"), *words, "--blocking-threads", "1", "app:app"]


def gunicorn(peers: Path, target: str = "app:app") -> list[str]:
    """Gunicorn's sync workers, as many."""
    return [str(peers / "gunicorn"), "-w", "2", "-b", f"127.0.0.1:{PORTS['gunicorn']}", target]


@contextmanager
def served(argv: list[str], place: Path, url: str) -> Iterator[int]:
    """Run a server in a session of its own until the block ends; the process id."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(argv, cwd=place, start_new_session=True, **quiet) as server:
        try:
            wait_for_answer(url)
            yield server.pid
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # granian may miss what is asked of it while it starts


def first_answer(argv: list[str], place: Path, url: str) -> float:
    """Seconds from the start of a server to its first 200."""
    began = time.perf_counter()
    with served(argv, place, url):
        return time.perf_counter() - began


def rate(url: str) -> float:
    """Requests a second that wrk gets answered."""
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url]
    told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    failed = re.search(r"Non-2xx.*|Socket errors.*", told)
    if failed:
        sys.exit(f"{url}: {failed[0]}")
    return float(re.search(r"Requests/sec:\s*([\d.]+)", told)[1])


def rates(title: str, place: Path, path: str, contenders: Mapping[str, list[str]]) -> None:
    """Load the contenders in turn; the first is the 1.0 of the ratios."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    with ExitStack() as stack:
        urls = {name: f"http://127.0.0.1:{PORTS[name]}{path}" for name in contenders}
        for name, argv in contenders.items():
            stack.enter_context(served(argv, place, urls[name]))
        for number in range(RUNS + 1):
            for name, url in urls.items():
                one = rate(url)
                if number:
                    found[name].append(one)
    medians = {name: statistics.median(each) for name, each in found.items()}
    first = next(iter(medians.values()))
    print(f"{title}: requests a second, {CONNECTIONS} connections (median of {RUNS} times {SECONDS} s)")
    for name, median in medians.items():
        print(f"  {name:42} {median:8.0f}    ratio {median / first:6.2f}")


def memory(place: Path, servers: Mapping[str, list[str]]) -> None:
    """The memory (PSS) of each process of a server that has answered once and then has nothing to do."""
    for name, argv in servers.items():
        with served(argv, place, f"http://127.0.0.1:{PORTS[name]}/") as pid:
            time.sleep(1)
            pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
            sizes = [
                int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{one}/smaps_rollup").read_text(), re.MULTILINE)[1])
                for one in pids
            ]
            each = ", ".join(f"{size / 1024:.1f}" for size in sizes)
            print(f"idle memory of {name}: {sum(sizes) / 1024:.1f} MB ({each})")


def main() -> None:
    """Measure what the command line names, or all."""
    with tempfile.TemporaryDirectory() as scratch:
        place, env = Path(scratch) / "site", Path(scratch) / "peers"
        place.mkdir()
        lay(place)
        subprocess.run([sys.executable, "-m", "venv", env], check=True)
        peers = env / "bin"
        subprocess.run([peers / "pip", "install", "-q", "granian>=2.8,<3", "gunicorn", "whitenoise"], check=True)
        shown = subprocess.run([peers / "pip", "freeze"], capture_output=True, text=True, check=True).stdout.split()
        print(f"Python {sys.version.split()[0]}, {', '.join(shown)}")
        parts: dict[str, Callable[[], None]] = {
            "hello": lambda: rates(
                "hello",
                place,
                "/",
                {"granian": granian(peers), "rolepack": ours(place), "gunicorn": gunicorn(peers)},
            ),
            "static": lambda: rates(
                "static file of 10 KB",
                place,
                "/static/site.css",
                {"gunicorn": gunicorn(peers, "files:app"), "rolepack": ours(place)},
            ),
            "start": lambda: compare(
                "start to first 200",
                {
                    "granian": lambda: first_answer(granian(peers), place, f"http://127.0.0.1:{PORTS['granian']}/"),
                    "rolepack": lambda: first_answer(ours(place), place, f"http://127.0.0.1:{PORTS['rolepack']}/"),
                },
            ),
            "memory": lambda: memory(place, {"rolepack": ours(place), "granian": granian(peers)}),
        }
        for name in sys.argv[1:] or parts:
            parts[name]()


if __name__ == "__main__":
    main()
