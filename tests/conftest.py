"""What the tests share: the command line as a user runs it, services as data, wheels that are real zips."""

import base64
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudservice import lock
from cloudservice.service import Kind
from packager import blueprint
from packager.appservice import environments, runtimes
from packager.blueprint import Blueprint, NewRole
from packager.scaffold import Templates

ROOT = Path(__file__).parent.parent
SERVICES = Path(__file__).parent / "services"
LIMIT = 60.0


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One store for all workers of a test run, apart from the user's; uv keeps its own cache."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_CACHE_DIR", os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv")))
        patch.setenv("XDG_CACHE_HOME", str(shared))
        yield


@pytest.fixture
def service(tmp_path: Path) -> Callable[[str], Path]:
    """Copies an example service to a folder of the test's own and returns it."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(SERVICES / name, tmp_path / name))

    return copy


class Rolepack:
    """The command line, in a process of its own; whatever it left running is stopped at the end."""

    def __init__(self) -> None:
        self.folders: set[Path] = set()

    def __call__(self, *words: str | Path, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
        if "emulate" in words:
            self.folders.add(cwd)
        return subprocess.run(
            self.argv(*words),
            cwd=cwd,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=10 * LIMIT,
            check=False,
        )

    def ok(self, *words: str | Path, cwd: Path, **environ: str) -> str:
        """Run a command that must succeed; its output."""
        done = self(*words, cwd=cwd, **environ)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def refused(self, *words: str | Path, cwd: Path, **environ: str) -> str:
        """Run a command that must fail as a user's mistake does: exit 1, a message, no traceback."""
        done = self(*words, cwd=cwd, **environ)
        assert done.returncode == 1, f"{words}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stderr

    def status(self, folder: Path) -> dict:
        """What `status --json` says."""
        return json.loads(self.ok("status", "--json", cwd=folder))

    def start(self, folder: Path, *words: str, new_group: bool = False) -> subprocess.Popen[str]:
        """Run `emulate` in the foreground, output to a pipe; in a process group of its own if a test signals that."""
        self.folders.add(folder)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        argv = self.argv("emulate", *words)
        return subprocess.Popen(argv, cwd=folder, process_group=0 if new_group else None, text=True, **pipes)

    @staticmethod
    def argv(*words: str | Path) -> list[str]:
        return [str(Path(sys.executable).parent / "rolepack"), *map(str, words)]


@pytest.fixture
def rolepack() -> Iterator[Rolepack]:
    program = Rolepack()
    yield program
    for folder in program.folders:
        program("stop", cwd=folder)


def add_role(root: Path, name: str, kind: Kind, framework: str = "", **wanted: Any) -> Blueprint:
    """Add a role to a service as `new-role` does; a web role is one of Flask unless told otherwise."""
    role = NewRole(name, kind, framework or ("flask" if kind == "web" else ""), **wanted)
    made = blueprint.plan_role(root, role, Templates())
    blueprint.write(made)
    return made


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A new service with a web role and a worker role."""
    roles = [NewRole("web", "web", "flask"), NewRole("jobs", "worker")]
    blueprint.write(blueprint.plan_service(tmp_path / "shop", "shop", roles, Templates()))
    return tmp_path / "shop"


def until(condition: Callable[[], object], limit: float = LIMIT) -> object:
    """Wait until the condition gives something true, and return it; fail after `limit` seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {limit} s: {condition}")


def one(status: dict, name: str) -> dict:
    """What a status says of an instance."""
    return next(instance for instance in status["instances"] if instance["name"] == name)


def said(place: Path) -> str:
    """What a detached emulator has said of itself."""
    return (place / ".rolepack/emulator/console.log").read_text(encoding="utf-8")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=LIMIT) as answer:
        return answer.read()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):  # gone before the file was opened, or while it was read
        return False


def pids() -> list[int]:
    """The processes of this machine (Linux)."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def command_of(pid: int) -> list[str]:
    """The command line of a process (Linux); nothing if it has ended."""
    return _strings_of(pid, "cmdline")


def variables_of(pid: int) -> list[str]:
    """The environment that a process was started with, as NAME=VALUE (Linux); nothing if it has ended."""
    return _strings_of(pid, "environ")


def _strings_of(pid: int, name: str) -> list[str]:
    try:
        return os.fsdecode(Path(f"/proc/{pid}/{name}").read_bytes()).split("\0")[:-1]
    except OSError:
        return []


def make_wheel(
    folder: Path, name: str, version: str, tag: str = "py3-none-any", requires: tuple[str, ...] = ()
) -> Path:
    """A wheel with one module and a right RECORD."""
    info = f"{name}-{version}.dist-info"
    needed = "".join(f"Requires-Dist: {one}\n" for one in requires)
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return wheel


_BACKEND = """
import base64, hashlib, os, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    tag = {tag!r} if not os.environ.get("CC", "").endswith("false") else {without_compiler!r}
    if tag is None:
        raise SystemExit("no compiler")
    info, name = "{name}-{version}.dist-info", "{name}-{version}-" + tag + ".whl"
    files = {{
        "{name}.py": open("{name}.py").read(),
        info + "/METADATA": open("PKG-INFO").read(),
        info + "/WHEEL": "Wheel-Version: 1.0\\nGenerator: tiny 1.0\\nRoot-Is-Purelib: true\\nTag: " + tag + "\\n",
    }}
    digest = lambda text: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    record = "".join(f"{{path}},sha256={{digest(text)}},{{len(text.encode())}}\\n" for path, text in files.items())
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as archive:
        for path, text in {{**files, info + "/RECORD": record + info + "/RECORD,,\\n"}}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return name
"""


def make_project(folder: Path, name: str, version: str, tag: str = "py3-none-any", **more: Any) -> Path:
    """A project in a folder, with a build backend of its own that needs no index.

    `without_compiler` is the tag of the wheel where there is no compiler (None: the build fails), `requires` what it
    needs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    needed = "".join(f"Requires-Dist: {one}\n" for one in more.get("requires", ()))
    metadata = f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n"
    (folder / "PKG-INFO").write_text(metadata + needed)
    (folder / f"{name}.py").write_text(f"VERSION = {version!r}\n")
    requires = json.dumps(list(more.get("requires", ())))
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "tiny"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = {requires}\n'
    )
    values = {"name": name, "version": version, "tag": tag, "without_compiler": more.get("without_compiler", tag)}
    (folder / "tiny.py").write_text(_BACKEND.format(**values))
    return folder


def make_sdist(folder: Path, name: str, version: str, tag: str = "py3-none-any", **more: Any) -> Path:
    """The source distribution of such a project."""
    project = make_project(folder / f"{name}-{version}", name, version, tag, **more)
    sdist = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        archive.add(project, project.name)
    shutil.rmtree(project)
    return sdist


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class Index:
    """A package index in a folder, the only one that pip's settings name while the fixture lives."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def add(self, wheel: Path, sha256: str | None = None) -> Path:
        """Offer a file, with its own hash or a false one."""
        sha256 = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
        name = wheel.name.partition("-")[0].lower().replace("_", "-")
        page = self.root / name / "index.html"
        page.parent.mkdir(exist_ok=True)
        before = page.read_text() if page.exists() else ""
        page.write_text(f'{before}<a href="{wheel.as_uri()}#sha256={sha256}">{wheel.name}</a>\n')
        return wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    made = Index(tmp_path / "index")
    for name in ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_FIND_LINKS", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", made.root.as_uri())
    return made


def status_of(url: str) -> int:
    """The HTTP status of an answer, whatever it is."""
    try:
        with urllib.request.urlopen(url, timeout=LIMIT) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.fixture(scope="session")
def image(_own_cache: None) -> Path:
    """The runtime kit of apps for App Service, made once: it comes from the index of this machine."""
    return environments.image(runtimes.own(), lambda *_: None)


@pytest.fixture(scope="session")
def fresh(_own_cache: None) -> Path:
    """The environment that builds begin with."""
    return environments.fresh(runtimes.own(), lambda *_: None)


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter for Windows and the doubles, made by the first worker of a run that needs them."""
    import machines
    import windows

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    done = shared / "windows" / "done"
    with lock.take(shared / "windows.lock", 300):
        if not done.exists():
            shutil.rmtree(done.parent, ignore_errors=True)
            done.parent.mkdir()
            windows.build(done.parent)
            machines.build(done.parent)
            done.touch()
    return done.parent


@pytest.fixture(scope="session")
def installation(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An installation of wine for machines: any number of `machines.Machine(installation, folder, address)`."""
    import machines
    import windows

    there = windows.Windows(tools, tmp_path_factory.mktemp("machines"))
    machines.equip(there)
    yield there
    there.close()


@pytest.fixture
def machine(installation: Any, tmp_path: Path) -> Iterator[Any]:
    """A Windows machine."""
    import machines

    there = machines.Machine(installation, tmp_path / "machine")
    yield there
    there.close()


@pytest.fixture
def farm_of(installation: Any, tmp_path: Path, rolepack: Rolepack) -> Iterator[Callable[[int], Any]]:
    """Makes a service with so many Windows machines of its own."""
    from farm import Farm
    from machines import Machine

    made: list[Machine] = []

    def make(count: int) -> Farm:
        made.extend(Machine(installation, tmp_path / f"m{number}", f"127.0.0.{number + 2}") for number in range(count))
        folder = tmp_path / "shop"
        folder.mkdir()
        return Farm(folder, made, rolepack)

    yield make
    for machine in made:
        machine.close()


@pytest.fixture(name="one")
def farm_of_one(farm_of: Callable[[int], Any]) -> Iterator[Any]:
    """A service with one machine that can be reached."""
    with farm_of(1).open() as farm:
        yield farm


@pytest.fixture(name="two")
def farm_of_two(farm_of: Callable[[int], Any]) -> Iterator[Any]:
    """The same with two machines, in two update domains."""
    with farm_of(2).open() as farm:
        yield farm
