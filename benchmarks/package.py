"""How long packaging takes beside its peers, and how much memory: two roles with seven packages, for Windows.

`pip download` evaluates markers for the wrong machine; pex3 does not. Both resolve and fetch for one role at a time.
The roles are workers, since a web role gets one package more, which has to be built.

.venv/bin/python benchmarks/package.py
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from interleaved import compare

BIN = Path(sys.executable).parent
REQUIREMENTS = "flask\nnumpy\ncryptography\nlxml\npandas\npsycopg2-binary\npillow\n"
ROLES = ("jobs", "more")
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
PLATFORM = """
import json
from packager.target import parse
target = parse("win_amd64", "3.12")
markers, tags = dict(target.environment()), list(map(str, target.tags()))
print(json.dumps({"path": "", "marker_environment": markers, "compatible_tags": tags}))
"""
MEMORY = """
import resource, sys
from rolepack.program import main
sys.argv = ["rolepack", "package"]
try:
    main()
except SystemExit:
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""


class Contest:
    """A service, an empty cache, and what each contender does with them."""

    def __init__(self, folder: Path) -> None:
        self.place, self.cache, self.peer = folder / "service", folder / "cache", folder / "peer"
        self.environ = {**os.environ, "XDG_CACHE_HOME": str(self.cache), "UV_CACHE_DIR": str(self.cache / "uv")}
        self.make(self.place, [word for name in ROLES for word in ("--worker", name)], ROLES)
        self.site = folder / "site"
        self.make(self.site, ["--web", "web", "--worker", "jobs"], ("web", "jobs"))
        subprocess.run([sys.executable, "-m", "venv", self.peer], check=True)
        subprocess.run([self.peer / "bin/pip", "install", "-q", "pex"], check=True, **QUIET)
        told = subprocess.run([sys.executable, "-c", PLATFORM], capture_output=True, text=True, check=True).stdout
        (folder / "platform.json").write_text(told)

    def make(self, place: Path, roles: list[str], names: Iterable[str]) -> None:
        """A service whose roles all need the same."""
        subprocess.run([BIN / "rolepack", "new-service", "big", *roles, "--service", place], check=True, **QUIET)
        for name in names:
            (place / "roles" / name / "requirements.txt").write_text(REQUIREMENTS)

    def forget(self) -> None:
        """As on a machine that has never packaged; the locks stay, as they do in a clone."""
        shutil.rmtree(self.cache, ignore_errors=True)
        for place in (self.place, self.site):
            shutil.rmtree(place / ".rolepack", ignore_errors=True)

    def package(self, place: Path | None = None) -> None:
        """Our own."""
        subprocess.run([BIN / "rolepack", "package"], cwd=place or self.place, env=self.environ, check=True, **QUIET)

    def cold(self, place: Path | None = None) -> None:
        """Nothing is there, and no lock either."""
        self.forget()
        for lock in (place or self.place).glob("roles/*/*.lock"):
            lock.unlink()
        self.package(place)

    def cold_with_locks(self) -> None:
        """A fresh clone."""
        self.forget()
        self.package()

    def edited(self) -> None:
        """One source file is another."""
        path = self.place / "roles" / ROLES[0] / "worker.py"
        path.write_text(f"{path.read_text()}\n# edited\n")
        self.package()

    def pip(self) -> None:
        """Each role by itself."""
        self.forget()
        target = ["--platform", "win_amd64", "--python-version", "3.12", "--only-binary=:all:"]
        for name in ROLES:
            source = self.place / "roles" / name / "requirements.txt"
            argv = [BIN / "pip", "download", "-q", "--no-cache-dir", *target, "-d", self.cache / "pip", "-r", source]
            subprocess.run(argv, env=self.environ, check=True, **QUIET)

    def pex(self) -> None:
        """Each role by itself, the second with what the first has left in its cache."""
        self.forget()
        platform = ["--complete-platform", self.place.parent / "platform.json"]
        environ = {**self.environ, "PEX_ROOT": str(self.cache / "pex-root")}
        for name in ROLES:
            source = self.place / "roles" / name / "requirements.txt"
            argv = [self.peer / "bin/pex3", "download", *platform, "-d", self.cache / "pex" / name, "-r", source]
            subprocess.run(argv, env=environ, check=True, **QUIET)

    def listed(self) -> None:
        """What any command line costs."""
        subprocess.run([BIN / "invoke", "--list"], cwd=self.place, check=True, stdout=subprocess.DEVNULL)

    def many(self) -> dict[str, Callable[[], None]]:
        """Packaging for 1, 5 and 25 roles after a source has changed."""
        found = {}
        for count in (1, 5, 25):
            place = self.place.parent / f"roles{count}"
            names = [f"jobs{number}" for number in range(count)]
            self.make(place, [word for name in names for word in ("--worker", name)], names)
            self.package(place)

            def edited(place: Path = place) -> None:
                path = place / "roles" / "jobs0" / "worker.py"
                path.write_text(f"{path.read_text()}\n# edited\n")
                self.package(place)

            found[f"{count} roles" if count > 1 else "1 role"] = edited
        return found

    def memory(self) -> int:
        """The peak of the packaging process in MB, with everything to do."""
        self.forget()
        argv = [sys.executable, "-c", MEMORY]
        done = subprocess.run(argv, cwd=self.place, env=self.environ, capture_output=True, text=True, check=True)
        return int(done.stderr.split()[-1])


def main() -> None:
    """Make a service with two roles that need the same, then compare."""
    with tempfile.TemporaryDirectory() as folder:
        contest = Contest(Path(folder))
        versions = subprocess.run([BIN / "uv", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        pip = subprocess.run([BIN / "pip", "--version"], capture_output=True, text=True, check=True).stdout.split()[:2]
        asked = [contest.peer / "bin/pex", "--version"]
        pex = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        print(f"{versions}, {' '.join(pip)}, pex {pex}, Windows x64 CPython 3.12, two roles")
        compare(
            "cold",
            {
                "invoke package": contest.cold,
                "invoke package, with locks": contest.cold_with_locks,
                "invoke package, a web role with its bridge": lambda: contest.cold(contest.site),
                "pip download, twice": contest.pip,
                "pex3 download, twice": contest.pex,
            },
        )
        contest.package()
        contest.package()
        compare(
            "warm",
            {
                "invoke --list": contest.listed,
                "invoke package, nothing changed": contest.package,
                "invoke package, one source changed": contest.edited,
            },
            runs=9,
        )
        size = (contest.place / "dist" / "big.cspkg").stat().st_size / 1e6
        contest.package()
        compare("roles that need the same, with all that they need in the store", contest.many())
        print(f"peak memory {contest.memory()} MB for a bundle of {size:.0f} MB")


if __name__ == "__main__":
    main()
