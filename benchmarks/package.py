"""How long packaging takes beside `pip download`, which evaluates markers for the wrong machine.

.venv/bin/python benchmarks/package.py
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from interleaved import compare

BIN = Path(sys.executable).parent
REQUIREMENTS = "flask\nnumpy\ncryptography\nlxml\npandas\npsycopg2-binary\npillow\n"


def main() -> None:
    """Make a service with two roles that need the same, then compare."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "service"
        cache = Path(folder) / "cache"
        environ = {**os.environ, "XDG_CACHE_HOME": str(cache), "UV_CACHE_DIR": str(cache / "uv")}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([BIN / "rolepack", "new-service", "big", "--service", place], check=True, **quiet)
        for name, kind in (("web", "web"), ("jobs", "worker")):
            subprocess.run([BIN / "rolepack", "new-role", name, "--kind", kind], cwd=place, check=True, **quiet)
            (place / "roles" / name / "requirements.txt").write_text(REQUIREMENTS)
        versions = subprocess.run([BIN / "uv", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        pip = subprocess.run([BIN / "pip", "--version"], capture_output=True, text=True, check=True).stdout.split()[:2]
        print(f"{versions}, {' '.join(pip)}, Windows x64 CPython 3.12, two roles")

        def forget() -> None:
            shutil.rmtree(cache, ignore_errors=True)

        def download() -> None:
            target = ["--platform", "win_amd64", "--python-version", "3.12", "--only-binary=:all:"]
            for name in ("web", "jobs"):
                source = place / "roles" / name / "requirements.txt"
                argv = [BIN / "pip", "download", "-q", "--no-cache-dir", *target, "-d", cache / "pip", "-r", source]
                subprocess.run(argv, env=environ, check=True, **quiet)

        def package() -> None:
            subprocess.run([BIN / "rolepack", "package"], cwd=place, env=environ, check=True, **quiet)

        def cold() -> None:
            forget()
            package()

        def cold_pip() -> None:
            forget()
            download()

        compare("cold", {"invoke package": cold, "pip download, twice": cold_pip})
        package()
        compare("warm", {"invoke --list": lambda: listed(place), "invoke package, nothing changed": package})


def listed(place: Path) -> None:
    """What any command line costs."""
    subprocess.run([BIN / "invoke", "--list"], cwd=place, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
