"""The one-way order between our packages, and the one owner of each outside thing."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from publisher import archive

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "cloudservice": {"cloudservice"},
    "packager": {"cloudservice", "packager"},
    "emulator": {"cloudservice", "emulator"},
    "publisher": {"cloudservice", "publisher"},
    "rolepack": {"cloudservice", "packager", "emulator", "publisher", "rolepack"},
}
OURS = {*MAY_IMPORT, "templates", "tasks", "roles", "tests"}
OWNERS = {
    "invoke": {"rolepack"},
    "rich": {"rolepack/progress.py"},
    "lxml": {"cloudservice"},
    "jinja2": {"packager/scaffold.py"},
    "uv": {"packager"},
    "packaging": {"packager"},
    "wheel": {"packager/wheelfile.py"},
    "requests": {"packager/fetch.py", "publisher/remote.py"},
    "platformdirs": {"packager"},
    "pathspec": {"packager/contents.py"},
    "deflate": {"packager/archive.py"},
    "cryptography": {"packager/signature.py", "packager/certificate.py"},
    "cyclonedx": {"packager/bill.py"},
    "packageurl": {"packager/bill.py"},
    "granian": {"emulator/hosts"},
    "debugpy": {"emulator/hosts"},
    "semantic_version": {"packager/appservice/runtimes.py"},
    "dotenv": {"cloudservice/app_settings.py"},
    "flask": {"emulator/appservice/defaultsite"},
    "watchfiles": {"emulator/watch.py"},
    "winrm": {"publisher/remote.py"},
    "spnego": {"publisher/remote.py"},
    "keyring": {"publisher/passwords.py"},
    "yaml": {"publisher/hosts.py", "rolepack/options.py", "packager/appservice"},
    "subprocess": {
        "publisher/agent",
        "packager/tools.py",
        "emulator/spawn.py",
        "emulator/client.py",
        "emulator/appservice/places.py",
        "emulator/hosts/process.py",
        "emulator/hosts/program.py",
    },
}
MAY_PRINT = {"rolepack", "emulator/console.py", "emulator/hosts", "publisher/agent/loader.py"}
MODULES = [path.relative_to(ROOT) for name in MAY_IMPORT for path in sorted((ROOT / name).rglob("*.py"))]

each_module = pytest.mark.parametrize("module", MODULES, ids=Path.as_posix)


def tree_of(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def imported(module: Path) -> Iterator[str]:
    """Top-level names that a module imports, anywhere in it."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield str(node.module).partition(".")[0]


def imported_whole(module: Path) -> Iterator[str]:
    """The modules that a module imports, by their whole names."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def imported_modules(module: Path) -> Iterator[str]:
    """The modules that a module imports, also where it imports them from their package."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = (ROOT / str(node.module).replace(".", "/")).is_dir()
            yield from (f"{node.module}.{alias.name}" for alias in node.names) if package else (str(node.module),)


def belongs_to(module: Path, owners: set[str]) -> bool:
    return any(module.as_posix() == owner or module.as_posix().startswith(f"{owner}/") for owner in owners)


@each_module
def test_imports_point_downwards(module):
    assert set(imported(module)) & OURS <= MAY_IMPORT[module.parts[0]]


@each_module
def test_a_role_s_interpreter_finds_all_that_its_programs_import(module):
    if belongs_to(module, {"emulator/hosts"}):
        ours = [name for name in imported_whole(module) if name.partition(".")[0] in OURS]
        assert all(name == "emulator.hosts" or name.startswith("emulator.hosts.") for name in ours)


@each_module
def test_a_host_s_python_finds_all_that_its_programs_import(module):
    if belongs_to(module, {"publisher/agent"}):
        ours = {name for name in imported_modules(module) if name.partition(".")[0] in OURS}
        shared = {f"cloudservice.{name}" for name in archive.SHARED}
        assert {name for name in ours if not name.startswith("publisher.agent")} <= shared
        outside = {name.partition(".")[0] for name in imported_modules(module)} - OURS
        assert outside <= sys.stdlib_module_names


@each_module
def test_each_outside_thing_has_one_owner(module):
    strays = {name for name in imported(module) if name in OWNERS and not belongs_to(module, OWNERS[name])}
    assert not strays


@each_module
def test_only_the_face_prints(module):
    prints = [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.Name) and node.id == "print"]
    assert not prints or belongs_to(module, MAY_PRINT)
