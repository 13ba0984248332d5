"""How long until a web role answers: a bare server, the emulator, the command line, and honcho as peer.

.venv/bin/python benchmarks/start.py
"""

import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from interleaved import compare

from cloudservice import folder
from emulator.run import Run, Runtime, write
from packager import environment

BIN = Path(sys.executable).parent
APP = b"""
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
"""


@dataclass
class Prepared:
    """A service of one web role whose environment is ready; its site, and a bare server of the same, have addresses."""

    place: Path
    run: Run
    url: str = "http://127.0.0.1:18080/"
    bare_url: str = "http://127.0.0.1:18081/"

    @property
    def role(self) -> Path:
        """The folder of the site."""
        return self.run.sources["web"]

    def emulator(self) -> list[str]:
        """The command line of the emulator."""
        return [sys.executable, "-P", "-m", "emulator", str(write(self.run))]

    def bare(self, workers: int = 1) -> list[str]:
        """The command line of the server that the emulator uses, for the same site, by itself."""
        runtime = self.run.runtimes["web"]
        words = ["--interface", "wsgi", "--port", "18081", "--no-log", "--workers", str(workers), "app:app"]
        return ["env", f"PYTHONPATH={runtime.kit}", str(runtime.python), "-m", "granian", *words]


def prepare(place: Path, instances: int = 1) -> Prepared:
    """Make the service in an empty folder."""
    subprocess.run([BIN / "rolepack", "new-service", "hello", "--service", "."], cwd=place, check=True)
    subprocess.run([BIN / "rolepack", "new-role", "web", "--kind", "web"], cwd=place, check=True)
    role = place / "roles/web"
    (role / "requirements.txt").write_text("")
    (role / "app.py").write_bytes(APP)
    config = role / "web.config"
    config.write_text(config.read_text().replace("app.wsgi_app", "app.app"))
    shutil.rmtree(role / "bin")
    definition = place / "ServiceDefinition.csdef"
    text = definition.read_text()
    begin, end = text.index("    <Startup>"), text.index("</Startup>") + len("</Startup>\n")
    definition.write_text((text[:begin] + text[end:]).replace('port="80"', 'port="18080"'))
    configuration = folder.configuration_file(place, "Local")
    configuration.write_text(configuration.read_text().replace('count="1"', f'count="{instances}"'))
    subprocess.run([BIN / "rolepack", "emulate", "--detach"], cwd=place, check=True)
    subprocess.run([BIN / "rolepack", "stop"], cwd=place, check=True)
    python = next((place / ".rolepack/environments/web").glob("*/bin/python"))
    runtimes = {"web": Runtime(python, environment.runtime_kit(python, lambda *_: None))}
    service = folder.load(place, "Local")
    sites = {"web": folder.site_folders(place, service.role("web"), service.sources["web"])}
    return Prepared(place, Run(place, service, ("web",), {"web": role}, sites, runtimes, False, place, configuration))


def wait_for_answer(url: str) -> None:
    """Wait until a server answers 200."""
    while True:
        try:
            with urllib.request.urlopen(url) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.002)


def until_answer(argv: list[str], place: Path, url: str) -> float:
    """Seconds from the start of a program to its first 200; then the program is ended."""
    began = time.perf_counter()
    with subprocess.Popen(argv, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for_answer(url)
        taken = time.perf_counter() - began
        process.terminate()
    return taken


def main() -> None:
    """Prepare one role, then compare."""
    with tempfile.TemporaryDirectory() as scratch:
        made = prepare(Path(scratch))
        (made.role / "Procfile").write_text(f"web: {' '.join(made.bare())}\n")
        peer = made.place / "peer"
        subprocess.run([sys.executable, "-m", "venv", peer], check=True)
        subprocess.run([peer / "bin/pip", "install", "-q", "honcho"], check=True)
        found = subprocess.run([peer / "bin/pip", "show", "honcho"], capture_output=True, text=True, check=True)
        ours = f"Python {sys.version.split()[0]}, rolepack {version('rolepack')}"
        print(f"{ours}, honcho {found.stdout.splitlines()[1].lower()}")
        compare(
            "start to first 200 of one web instance",
            {
                "bare granian": lambda: until_answer(made.bare(), made.role, made.bare_url),
                "python -m emulator": lambda: until_answer(made.emulator(), made.place, made.url),
                "invoke emulate": lambda: until_answer([str(BIN / "invoke"), "emulate"], made.place, made.url),
                "honcho start": lambda: until_answer([str(peer / "bin/honcho"), "start"], made.role, made.bare_url),
            },
        )


if __name__ == "__main__":
    main()
