"""An app of App Service beside what it stands for: warm and cold builds, and requests a second through webapp-run.

The peers: `invoke --list` for the cost of a command line, the same build with pip, and gunicorn with the arguments
that the platform gives it, in the app's own environment. Needs wrk (`apt install wrk`).

    .venv/bin/python benchmarks/webapp.py [build] [serve]
"""

import contextlib
import os
import re
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from interleaved import RUNS, compare

ROLEPACK = Path(sys.executable).with_name("rolepack")
INVOKE = Path(sys.executable).with_name("invoke")
SECONDS = 4
CONNECTIONS = 16
PORTS = {"gunicorn": 18290, "webapp-run": 18291, "webapp-run --front-end": 18292, "webapp-run --https": 18293}
APP = """
from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    return "hello"
"""


def run(*words: str | Path, cwd: Path) -> None:
    """Run a command of ours that has to go well."""
    subprocess.run([ROLEPACK, *words], cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def build(place: Path) -> None:
    """Time builds."""
    run("webapp-build", place, cwd=place)
    root = Path(__file__).parent.parent
    listing = {"invoke --list": lambda: subprocess.run([INVOKE, "--list"], cwd=root, stdout=subprocess.DEVNULL)}  # noqa: PLW1510
    compare("Warm build of a Flask app", {**listing, "webapp-build": lambda: run("webapp-build", place, cwd=place)})

    def cold(installer: str) -> None:
        shutil.rmtree(place / ".rolepack")
        run("webapp-build", place, "--installer", installer, cwd=place)

    compare("First build of a Flask app", {"pip": lambda: cold("pip"), "uv": lambda: cold("uv")})


@contextmanager
def running(argv: Sequence[str | Path], url: str, place: Path) -> Iterator[None]:
    """A server, from its first answer until the block ends."""
    context = ssl._create_unverified_context()  # noqa: S323 - of this machine
    with subprocess.Popen(argv, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                with contextlib.suppress(OSError), urllib.request.urlopen(url, context=context):
                    break
                time.sleep(0.01)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def url_of(name: str) -> str:
    """Where a contender answers."""
    return f"{'https' if name.endswith('--https') else 'http'}://127.0.0.1:{PORTS[name]}/"


def rate(name: str) -> float:
    """Requests a second."""
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url_of(name)]
    printed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in printed:
        sys.exit(f"{name}: {printed}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", printed)[1])  # type: ignore[index]


def serve(place: Path) -> None:
    """Compare rates, one server at a time, in turn."""
    run("webapp-build", place, cwd=place)
    wwwroot = place / ".rolepack" / "home" / "site" / "wwwroot"
    subprocess.run(
        [ROLEPACK, "webapp-shell", place, "--", "true"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rolepack" / "appservice"
    gunicorn = max(cache.glob("image-*/bin/gunicorn"), key=lambda path: path.stat().st_mtime)
    packages = next(wwwroot.glob("antenv/lib/python3*/site-packages"))
    arguments = f"--timeout 600 --access-logfile '-' --error-logfile '-' --bind=127.0.0.1:{PORTS['gunicorn']}"
    bare = ["env", f"PYTHONPATH={packages}", f"GUNICORN_CMD_ARGS={arguments} --chdir={wwwroot}", gunicorn, "app:app"]
    argvs: dict[str, list[str | Path]] = {"gunicorn": bare}
    for name in [name for name in PORTS if name != "gunicorn"]:
        argvs[name] = [ROLEPACK, *name.split()[:1], place, *name.split()[1:], "--port", str(PORTS[name])]
    rates: dict[str, list[float]] = {name: [] for name in argvs}
    with ExitStack() as stack:
        for name, argv in argvs.items():
            stack.enter_context(running(argv, url_of(name), wwwroot))
        for number in range(RUNS + 1):
            for name in argvs:
                measured = rate(name)
                if number:
                    rates[name].append(measured)
    medians = {name: statistics.median(all_of_it) for name, all_of_it in rates.items()}
    print(f"Requests a second, {CONNECTIONS} connections (median of {RUNS} times {SECONDS} s)")
    for name, median in medians.items():
        print(f"  {name:42} {median:8.0f}    ratio {median / medians['gunicorn']:6.2f}")


def main() -> None:
    """Run what is named, or everything."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary) / "shop"
        place.mkdir()
        (place / "app.py").write_text(APP)
        (place / "requirements.txt").write_text("flask\n")
        for wanted in sys.argv[1:] or ["build", "serve"]:
            {"build": build, "serve": serve}[wanted](place)


if __name__ == "__main__":
    main()
